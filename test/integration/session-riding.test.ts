/** COMMIT that travels with the statement which a block returns, and COMMIT that is not awaited. */
import { setImmediate } from 'node:timers/promises'
import { types } from 'pg'
import { expect, test } from 'vitest'
import { ForeignKeyViolationError, isRetryable, UniqueViolationError } from '../../src/database-errors.js'
import { IllegalStateError, UnreadableResultError } from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import type { Session } from '../../src/session/session.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, terminate, useDatabase, waitForBackend } from './session-support.js'

const fixture = useDatabase(
  'create table parents (id int primary key)',
  `create table rows (id int, parent int references parents deferrable initially deferred)`,
)

const ids = async (): Promise<number[]> =>
  (await fixture.db.query<{ id: number }>('select id from rows order by id')).map(({ id }) => id)

const fresh = async (...options: Parameters<typeof fixture.factory>) => {
  await fixture.db.query('truncate rows')
  return fixture.factory(...options)
}

test('a statement after one that was sent with COMMIT is refused, and the result of the block is correct', async () => {
  const { withSession } = await fresh()
  let late: Promise<unknown> | undefined
  const result = await withSession((session) => {
    const inserting = session.execute('insert into rows values (1)')
    void inserting.then(() => (late = errorOf(session.execute('insert into rows values (2)'))))
    return inserting
  })
  expect(result.rowCount).toBe(1)
  expect(await late).toBeInstanceOf(IllegalStateError)
  expect(await ids()).toEqual([1])
})

test('while the block waits for a connection, a statement from outside of it comes after its COMMIT', async () => {
  const { withSession, bind } = await fresh({ poolSize: 1, maxOverflow: 0 })
  const lease = await bind.connect()
  let session: Session | undefined
  const done = withSession((own) => (session = own).execute('insert into rows values (1)'))
  await waitUntil(() => bind.stats().waiting === 1)
  const beside = errorOf(session?.execute('insert into nowhere values (2)') ?? fail())
  await lease.close()
  await done
  await beside
  expect(await ids()).toEqual([1])
})

test.each([
  ['no connection comes', async (session: Session) => session.execute('insert into rows values (1)')],
  [
    'no connection comes, COMMIT with it',
    (session: Session) => session.execute('insert into rows values (1)'),
  ],
])('if %s, nothing is stored, and only afterRollback is heard', async (_, work) => {
  const factory = await fresh({ poolSize: 1, maxOverflow: 0 })
  const called: string[] = []
  for (const event of ['begin', 'afterCommit', 'afterRollback'] as const)
    factory.on(event, () => void called.push(event))
  const lease = await factory.bind.connect()
  expect(await errorOf(factory.withSession(work, { poolTimeoutMillis: 50 }))).toBeInstanceOf(PoolTimeoutError)
  await lease.close()
  expect([called, await ids()]).toEqual([['afterRollback'], []])
  await factory.withSession(work)
  expect([called, await ids()]).toEqual([['afterRollback', 'begin', 'afterCommit'], [1]])
})

test('a result that cannot be read does not hide that the transaction was committed', async () => {
  const parsers = { getTypeParser: (oid: number) => (oid === 23 ? () => fail() : types.getTypeParser(oid)) }
  const { withSession } = await fresh({ types: parsers })
  const error = await errorOf(
    withSession((session) => session.scalar('insert into rows values (1) returning id')),
  )
  expect(error).toBeInstanceOf(UnreadableResultError)
  expect(error.cause).toMatchObject({ message: 'unreadable' })
  expect(isRetryable(error)).toBe(false)
  expect(await ids()).toEqual([1])
  const { withSession: plain } = fixture.factory()
  const doubled = await errorOf(
    plain((session) => session.scalar('insert into rows values (2) returning id, id')),
  )
  expect(doubled).toBeInstanceOf(UnreadableResultError)
  expect(await ids()).toEqual([1, 2])
})

test('if COMMIT is not in its batch, an unreadable result rolls the block back', async () => {
  const { withSession } = await fresh()
  await errorOf(
    withSession(async (session) => await session.scalar('insert into rows values (1) returning id, id')),
  )
  expect(await ids()).toEqual([])
})

test('afterCommit is heard while COMMIT is on its way, beforeCommit refused', async () => {
  const { withSession } = await fresh()
  let heard = 0
  let refused: unknown
  await withSession((session) => {
    const inserting = session.execute('insert into rows values (1)')
    void Promise.resolve().then(() => {
      session.afterCommit(() => heard++)
      try {
        session.beforeCommit(() => undefined)
      } catch (error) {
        refused = error
      }
    })
    return inserting
  })
  expect(heard).toBe(1)
  expect(refused).toBeInstanceOf(IllegalStateError)
})

test('a read-only block that has made itself a writing one waits for COMMIT, and sees it fail', async () => {
  const { withSession, bind } = await fresh({ poolSize: 1, maxOverflow: 0 })
  const error = await errorOf(
    withSession(
      async (session) => {
        await session.execute('set transaction read write')
        await session.execute('insert into rows values (1, 99)')
        return 'stored'
      },
      { readOnly: true },
    ),
  )
  expect(error).toMatchObject({ sqlState: '23503' })
  expect(await withSession((session) => session.scalar('select 1'))).toBe(1)
  expect(bind.stats().counters.connected).toBe(1)
})

test('a refused read-only COMMIT fails its block and no other', async () => {
  const { withSession, bind } = await fresh({ poolSize: 1, maxOverflow: 0 })
  await withSession((session) =>
    session.executeScript('create temp table once (id int unique deferrable initially deferred)'),
  )
  // A function hides the write: the command is SELECT.
  await withSession((session) =>
    session.executeScript(
      `create or replace function twice() returns int language sql as
         'insert into once values (1), (1); select 1'`,
    ),
  )
  const read = () => withSession(async (session) => session.scalar('select twice()'), { readOnly: true })
  // It calls a function that is not known, so its COMMIT is awaited.
  for (let count = 0; count < 2; count++) {
    expect(await errorOf(read())).toBeInstanceOf(UniqueViolationError)
    expect(await withSession((session) => session.scalar('insert into rows values (1) returning id'))).toBe(1)
  }
  expect(await ids()).toEqual([1, 1])
  expect(bind.stats().counters.connected).toBe(1)
})

test('a refused COMMIT still closes the statements of its batch', async () => {
  const { withSession } = await fresh({ poolSize: 1, maxOverflow: 0, statementCacheSize: 2 })
  await withSession((session) =>
    session.executeScript(
      `create temp table once (id int unique deferrable initially deferred);
       create or replace function twice() returns int language sql as 'insert into once values (1), (1); select 1'`,
    ),
  )
  for (let count = 0; count < 20; count++) {
    const text = `select twice(), ${String(count)}`
    const refused = withSession(async (session) => session.execute(text), { readOnly: true })
    expect(await errorOf(refused)).toBeInstanceOf(UniqueViolationError)
  }
  const kept = await withSession((session) =>
    session.scalar<number>('select count(*)::int from pg_prepared_statements'),
  )
  expect(kept).toBeLessThan(8)
})

test('an un-awaited COMMIT is sent before a script, an autocommit statement and a Terminate message', async () => {
  const { withSession, bind } = await fresh({ poolSize: 1, maxOverflow: 0 })
  const read = () => withSession(async (session) => session.scalar('select 1'), { readOnly: true })
  await read()
  // Each in the same turn of the event loop: inside the read-only transaction it would be refused.
  await withSession((session) =>
    session.executeScript('insert into rows values (1); insert into rows values (2)'),
  )
  await read()
  await withSession((session) => session.execute('insert into rows values (3)'), { autocommit: true })
  await read()
  expect(await bind.dispose()).toMatchObject({ closed: 1, forced: 0 })
  expect(await ids()).toEqual([1, 2, 3])
})

test.each(['client', 'server'] as const)(
  'a packet that took such a COMMIT along tells the truth wherever the connection dies (%s)',
  async (from) => {
    const outcomes = new Set<string>()
    for (let nth = 1, fired = true; fired; nth++) {
      using proxy = await startProxy(fixture.db.url)
      const { withSession, bind } = await fresh({ url: proxy.url, poolSize: 1, maxOverflow: 0 })
      const read = () => withSession(async (session) => session.scalar('select 1'), { readOnly: true })
      // A row of its own: a COMMIT whose connection was cut may come to the server late.
      const write = () =>
        withSession((session) => session.execute(`insert into rows values (${String(nth)})`))
      await read()
      let seen = 0
      fired = false
      const value = await read()
      void proxy.cutAt({ from, when: 'after', message: () => (fired = ++seen === nth) })
      const outcome = await write().then(
        () => 'stored',
        (error: unknown) => (error as { code: string }).code,
      )
      expect(value).toBe(1)
      await bind.dispose()
      const rows = (await ids()).filter((id) => id === nth)
      if (outcome === 'stored') expect(rows).toEqual([nth])
      else if (outcome !== 'COMMIT_OUTCOME_UNKNOWN') expect(rows).toEqual([])
      outcomes.add(outcome)
    }
    expect(outcomes).toContain('stored')
    expect(outcomes).toContain('COMMIT_OUTCOME_UNKNOWN')
  },
)

test('a COMMIT that the server has forgotten how to run leaves a clean connection', async () => {
  const { withSession, bind } = await fresh({ poolSize: 1, maxOverflow: 0 })
  await withSession((session) =>
    session.executeScript(
      `create or replace function forget() returns int language plpgsql as
         $$ begin execute 'deallocate all'; return 1; end $$`,
    ),
  )
  for (const text of ['select 1', 'select forget()']) {
    // The function makes the server forget COMMIT: that is told, as it is awaited.
    await Promise.allSettled([withSession(async (session) => session.scalar(text), { readOnly: true })])
    await withSession(async (session) => session.execute('insert into rows values (1)'))
  }
  expect(await ids()).toEqual([1, 1])
  expect(bind.stats().counters.connected).toBe(1)
})

test('a read-only block whose connection dies has lost nothing, and is run again', async () => {
  const application = { serverSettings: { application_name: 'riding' } }
  const { withSession } = await fresh({ poolSize: 1, maxOverflow: 0, connectArgs: application })
  let attempts = 0
  const reading = withSession(
    (session) => {
      attempts++
      return session.scalar(attempts === 1 ? 'select 1 from pg_sleep(30)' : 'select 1')
    },
    { readOnly: true, retry: { attempts: 2, backoff: () => 0 } },
  )
  const { pid } = await waitForBackend(fixture.db, 'riding', ({ query }) => query.includes('pg_sleep'))
  await terminate(fixture.db, pid)
  expect(await reading).toBe(1)
  expect(attempts).toBe(2)
})

test('a connection whose last COMMIT stays unanswered is given up, and its next user gets another one', async () => {
  using proxy = await startProxy(fixture.db.url)
  const { withSession, bind } = await fresh({ url: proxy.url, poolSize: 1, maxOverflow: 0 })
  await withSession((session) => session.scalar('select 1'), { readOnly: true })
  await withSession(
    async (session) => {
      const value = await session.scalar('select 2')
      proxy.blackHole()
      return value
    },
    { readOnly: true },
  )
  // In a later turn of the event loop, so that COMMIT goes by itself.
  await setImmediate()
  const next = withSession(async (session) => session.scalar('select 3'))
  await waitUntil(() => proxy.connections.length > 1)
  proxy.pass()
  expect(await next).toBe(3)
  expect(bind.stats().counters.connected).toBe(2)
})

test('listen gives up a connection that does not answer LISTEN, and ends with its engine', async () => {
  using proxy = await startProxy(fixture.db.url)
  const engine = fixture.engine({ url: proxy.url, connectTimeoutMillis: 300 })
  const held = proxy.holdAt({ from: 'client', when: 'before', message: isListen })
  const listening = engine.listen('silent')
  const first = listening.next()
  const connection = await held
  await engine.dispose()
  expect((await first).done).toBe(true)
  connection.resume()
  await waitUntil(() => proxy.openConnections === 0)
})

function isListen({ text }: { readonly text: string }): boolean {
  return /^listen/i.test(text)
}

function fail(): never {
  throw new Error('unreadable')
}

test.each([
  ['travels with the statement', (inserting: Promise<unknown>) => inserting],
  ['follows it', async (inserting: Promise<unknown>) => void (await inserting)],
])('a COMMIT that %s and is refused leads to the line of withSession', async (_, returns) => {
  const { withSession } = await fresh()
  async function theService(): Promise<void> {
    await withSession((session) => returns(session.execute('insert into rows values (1, 7)')))
  }
  const error = await errorOf(theService())
  expect(error).toBeInstanceOf(ForeignKeyViolationError)
  expect(error.stack).toContain('theService')
})

test('the stack of a refused statement leads to the line of withSession, with and without COMMIT in its batch', async () => {
  const { withSession } = await fresh()
  async function theRide(): Promise<void> {
    await withSession((session) => session.execute('select 1 / 0'))
  }
  async function theCaller(): Promise<void> {
    await withSession(async (session) => await session.scalar('select 1 / 0'))
  }
  expect((await errorOf(theRide())).stack).toContain('theRide')
  expect((await errorOf(theCaller())).stack).toContain('theCaller')
})
