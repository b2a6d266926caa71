import { expect, test } from 'vitest'
import { SessionClosedError, TransactionAbortedError } from '../../src/errors.js'
import { InvalidStatementError } from '../../src/errors.js'
import type { Session } from '../../src/session/session.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (id int generated always as identity, text text not null)')

const add = (session: Session, text: string) =>
  session.execute('insert into notes (text) values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by id')
  return rows.map(({ text }) => text)
}

async function open(...options: Parameters<typeof fixture.factory>): Promise<Session> {
  await fixture.db.query('truncate notes')
  return fixture.factory(...options)()
}

test('statements given at once are run in order, and each gets its own answer', async () => {
  await using session = await open()
  const numbers = Array.from({ length: 200 }, (_, index) => index)
  const results = await Promise.all(
    numbers.map((number) => session.scalar<number>('select $1::int', [number])),
  )
  expect(results).toEqual(numbers)
  await Promise.all(numbers.map((number) => add(session, String(number))))
  await session.commit()
  expect(await stored()).toEqual(numbers.map(String))
})

test('statements of many tasks, given at any time, are run in the order in which they were given', async () => {
  await using session = await open()
  const given: string[] = []
  await Promise.all(
    Array.from({ length: 8 }, async (_, task) => {
      for (let step = 0; step < 10; step++) {
        const text = `${task}.${step}`
        given.push(text)
        await add(session, text)
        if (step % 3 === task % 3) await new Promise(setImmediate)
      }
    }),
  )
  await session.commit()
  expect(await stored()).toEqual(given)
})

test('commit does not overtake statements, and later statements are another transaction', async () => {
  await using session = await open()
  await Promise.all([add(session, 'one'), add(session, 'two'), session.commit(), add(session, 'three')])
  expect(await stored()).toEqual(['one', 'two'])
  await session.rollback()
  expect(await stored()).toEqual(['one', 'two'])
})

test('rollback does not overtake statements', async () => {
  await using session = await open()
  await Promise.all([add(session, 'one'), session.rollback(), add(session, 'two'), session.commit()])
  expect(await stored()).toEqual(['two'])
})

test('many transactions in one tick', async () => {
  await using session = await open()
  await Promise.all(
    ['one', 'two', 'three', 'four'].flatMap((text, index) => [
      add(session, text),
      index % 2 === 0 ? session.commit() : session.rollback(),
    ]),
  )
  expect(session.inTransaction).toBe(false)
  expect(await stored()).toEqual(['one', 'three'])
})

test('close waits for what was given before it, and refuses what comes after', async () => {
  const session = await open()
  const before = [add(session, 'one'), session.commit(), session.scalar<number>('select 2')]
  const closing = session.close()
  expect(await errorOf(add(session, 'late'))).toBeInstanceOf(SessionClosedError)
  expect((await Promise.all(before))[2]).toBe(2)
  await closing
  expect(await stored()).toEqual(['one'])
})

test('a failure fails later statements, and none before it', async () => {
  await using session = await open()
  const [one, failed, behind, committed] = await Promise.allSettled([
    add(session, 'one'),
    session.execute('insert into notes (text) values (null)'),
    add(session, 'two'),
    session.commit(),
  ])
  expect(one.status).toBe('fulfilled')
  expect((failed as PromiseRejectedResult).reason).toMatchObject({ sqlState: '23502' })
  for (const outcome of [behind, committed]) {
    const { reason } = outcome as PromiseRejectedResult
    expect(reason).toBeInstanceOf(TransactionAbortedError)
    expect((reason as Error).cause).toMatchObject({ sqlState: '23502' })
  }
  await session.rollback()
  expect(await stored()).toEqual([])
})

test('a rollback after a failure in the same tick recovers, and later statements are run', async () => {
  await using session = await open()
  const outcomes = await Promise.allSettled([
    session.execute('insert into notes (text) values (null)'),
    session.rollback(),
    add(session, 'two'),
    session.commit(),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
  expect(await stored()).toEqual(['two'])
})

test('a value that cannot be sent fails its own statement, and nothing else', async () => {
  await using session = await open()
  const [one, refused, two] = await Promise.allSettled([
    add(session, 'one'),
    session.execute('insert into notes (text) values ($1)', [() => 'x']),
    add(session, 'two'),
  ])
  expect([one.status, two.status]).toEqual(['fulfilled', 'fulfilled'])
  expect((refused as PromiseRejectedResult).reason).toBeInstanceOf(InvalidStatementError)
  await session.commit()
  expect(await stored()).toEqual(['one', 'two'])
})

test('a text that PostgreSQL cannot read as the type leaves the connection in step', async () => {
  await using session = await open()
  const failure = await errorOf(session.execute('select $1::int', ['not a number']))
  expect(failure['sqlState']).toBe('22P02')
  await session.rollback()
  expect(await session.scalar('select $1::int', ['7'])).toBe(7)
})

test('too few values leave the connection in step', async () => {
  await using session = await open()
  expect((await errorOf(session.execute('select $1::int, $2::int', [1])))['sqlState']).toBe('08P01')
  await session.rollback()
  expect(await session.scalar('select $1::int + $2::int', [1, 2])).toBe(3)
})

test('a type parser that throws fails its own statement, and later rows are read correctly', async () => {
  const types = {
    getTypeParser: (oid: number) => (text: string) => {
      if (text === 'bad') throw new Error(`no parser for ${oid}`)
      return text
    },
  }
  await using session = await open({ types }, { autocommit: true })
  const [one, bad, two] = await Promise.allSettled([
    session.scalar("select 'one'"),
    session.execute("select 'bad' from generate_series(1, 3)"),
    session.scalar("select 'two'"),
  ])
  expect([one, two]).toMatchObject([{ value: 'one' }, { value: 'two' }])
  expect((bad as PromiseRejectedResult).reason).toMatchObject({ message: 'no parser for 25' })
})

test('in autocommit mode statements given at once stand alone', async () => {
  await using session = await open({}, { autocommit: true })
  const outcomes = await Promise.allSettled([
    add(session, 'one'),
    session.execute('insert into notes (text) values (null)'),
    add(session, 'two'),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(await stored()).toEqual(['one', 'two'])
})

test('a statement that tries to end the transaction by itself is refused before it is sent', async () => {
  await using session = await open()
  for (const text of ['commit', ' ROLLBACK', '/* x */ begin', 'savepoint x']) {
    const failure = await errorOf(session.execute(text))
    expect(failure).toBeInstanceOf(InvalidStatementError)
  }
  await add(session, 'one')
  await session.commit()
  expect(await stored()).toEqual(['one'])
})

test('a script that ends the transaction is found out', async () => {
  await using session = await open()
  await add(session, 'one')
  for (const use of [() => session.executeScript('commit'), () => add(session, 'two')]) {
    const error = await errorOf(use())
    expect(error['code']).toBe('ILLEGAL_STATE')
    expect(error.message).toContain('is stored')
  }
  await session.rollback()
  expect(await stored()).toEqual(['one'])
})

test('a script runs within the transaction, in order', async () => {
  await using session = await open()
  await Promise.all([
    add(session, 'one'),
    session.executeScript(
      "insert into notes (text) values ('two'); insert into notes (text) values ('three')",
    ),
    add(session, 'four'),
    session.commit(),
  ])
  expect(await stored()).toEqual(['one', 'two', 'three', 'four'])
  const failure = await errorOf(session.executeScript("insert into notes (text) values ('five'); not sql"))
  expect(failure['sqlState']).toBe('42601')
  expect(failure.message).toContain('syntax error')
  expect((await errorOf(session.commit())).cause).toBe(failure)
  await session.rollback()
  expect(await stored()).toEqual(['one', 'two', 'three', 'four'])
})
