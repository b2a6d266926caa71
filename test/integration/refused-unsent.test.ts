/**
 * An operation that is refused before it is sent (its session is aborted, no connection is to be had) counts for its own
 * transaction, whatever ROLLBACK or COMMIT stands before it: no later commit() is fulfilled without it.
 */
import { describe, expect, test } from 'vitest'
import { AbortedError, TransactionAbortedError } from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import type { Session } from '../../src/session/session.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

/** What is refused: each kind of operation that a session sends. */
const REFUSED: readonly (readonly [name: string, give: (session: Session) => Promise<unknown>])[] = [
  ['a statement', (session) => add(session, 'refused')],
  ['a statement with a limit', (session) => session.execute('select 1', [], { timeoutMillis: 60_000 })],
  ['a script', (session) => session.executeScript("insert into notes values ('refused')")],
  ['a stream', (session) => session.stream('select 1')[Symbol.asyncIterator]().next()],
  ['a nested block', (session) => session.beginNested(() => add(session, 'refused'))],
  ['COPY', (session) => session.copyTo('copy notes to stdout').then((stream) => stream.toArray())],
]

/** What stands before it. */
const BEFORE: readonly (readonly [name: string, end: (session: Session) => Promise<unknown>])[] = [
  ['nothing', () => Promise.resolve()],
  ['ROLLBACK', (session) => Promise.all([add(session, 'undone'), session.rollback()])],
  ['two of them', (session) => Promise.all([session.rollback(), add(session, 'undone'), session.rollback()])],
]

const CASES = BEFORE.flatMap(([before, end]) => REFUSED.map(([what, give]) => ({ before, end, what, give })))

describe('no connection is to be had', () => {
  test.each(CASES)('$what, with $before in front', async ({ end, give }) => {
    await fixture.db.query('truncate notes')
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0 })
    await using session = sessions()
    await add(session, 'kept')
    await session.commit()
    await using holder = sessions()
    await holder.execute('select 1')
    const [, refused] = await Promise.allSettled([end(session), give(session)])
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'POOL_TIMEOUT' } })
    expect(await errorOf(session.commit())).toBeInstanceOf(TransactionAbortedError)
    await session.rollback()
    await session.commit()
    expect(await stored()).toEqual(['kept'])
  })

  test('a nested block that gives up before: nothing is asked of the pool a second time', async () => {
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    const timeouts: unknown[] = []
    sessions.bind.on('timeout', (event) => timeouts.push(event))
    await using session = sessions({ poolTimeoutMillis: 500 })
    await using holder = sessions()
    await holder.execute('select 1')
    const controller = new AbortController()
    const block = session.beginNested(() => session.execute('select 2', { signal: controller.signal }))
    const after = errorOf(session.execute('select 3'))
    await waitUntil(() => sessions.bind.stats().waiting === 1)
    controller.abort()
    expect(await errorOf(block)).toBeInstanceOf(AbortedError)
    expect(await after).toBeInstanceOf(PoolTimeoutError)
    expect(sessions.bind.stats()).toMatchObject({ waiting: 0, borrowed: 1 })
    expect(await errorOf(session.commit())).toBeInstanceOf(TransactionAbortedError)
    await session.rollback()
    expect(timeouts).toHaveLength(1)
  })
})

describe('the session is aborted', () => {
  test.each(CASES)('$what, with $before in front, behind a block', async ({ end, give }) => {
    await fixture.db.query('truncate notes')
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    const controller = new AbortController()
    await using session = sessions({ signal: controller.signal })
    await add(session, 'kept')
    await session.commit()
    const [entered, leave] = [gate(), gate()]
    const block = session.beginNested(async () => {
      await add(session, 'in the block')
      entered.open()
      await leave.opened
      throw new Error('undo')
    })
    block.catch(() => undefined)
    await entered.opened
    const given = Promise.allSettled([end(session), give(session)])
    controller.abort()
    leave.open()
    expect((await given)[1]).toMatchObject({ status: 'rejected', reason: { code: 'ABORTED' } })
    expect(await errorOf(session.commit())).toBeInstanceOf(AbortedError)
    await session.rollback()
    await session.commit()
    expect(await stored()).toEqual(['kept'])
  })

  test('while it waits for a connection, and a nested block has given up: each call is settled', async () => {
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    await using holder = sessions()
    await holder.execute('select 1')
    const [own, whole] = [new AbortController(), new AbortController()]
    await using session = sessions({ signal: whole.signal })
    const block = session.beginNested(() => session.execute('select 2', { signal: own.signal }))
    await waitUntil(() => sessions.bind.stats().waiting === 1)
    own.abort()
    expect(await errorOf(block)).toBeInstanceOf(AbortedError)
    whole.abort()
    expect(await errorOf(session.execute('select 3'))).toBeInstanceOf(AbortedError)
    expect(await errorOf(session.commit())).toBeInstanceOf(AbortedError)
    await session.rollback()
    expect(sessions.bind.stats()).toMatchObject({ waiting: 0, borrowed: 1 })
  })
})

test('the engine is disposed: a commit after a refused statement is refused as well', async () => {
  await fixture.db.query('truncate notes')
  const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
  await using holder = sessions()
  await holder.execute('select 1')
  await using session = sessions()
  const given = Promise.allSettled([add(session, 'one'), session.rollback(), add(session, 'two')])
  await waitUntil(() => sessions.bind.stats().waiting === 1)
  const disposal = sessions.bind.dispose({ timeoutMillis: 0 })
  expect((await given).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected'])
  expect(await errorOf(session.commit())).toBeInstanceOf(TransactionAbortedError)
  await disposal
  expect(await stored()).toEqual([])
})

test('a statement that is taken back by its own signal before it is sent: the transaction goes on without it', async () => {
  await fixture.db.query('truncate notes')
  const sessions = fixture.factory()
  await using session = sessions()
  await add(session, 'kept')
  const controller = new AbortController()
  const taken = session.execute("insert into notes values ('taken back')", { signal: controller.signal })
  controller.abort()
  expect(await errorOf(taken)).toBeInstanceOf(AbortedError)
  await session.commit()
  expect(await stored()).toEqual(['kept'])
})
