/** Statements that cannot work, and statements that no longer work: each fails alone and leaves the connection in step. */
import { describe, expect, test } from 'vitest'
import {
  DatabaseError,
  InvalidTextRepresentationError,
  UniqueViolationError,
  isRetryable,
} from '../../src/database-errors.js'
import { InvalidStatementError, TransactionAbortedError } from '../../src/errors.js'
import type { Session } from '../../src/session/session.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table numbers (id int primary key)')

const add = (session: Session, id: unknown) => session.execute('insert into numbers values ($1)', [id])

async function stored(): Promise<number[]> {
  const rows = await fixture.db.query<{ id: number }>('select id from numbers order by id')
  return rows.map(({ id }) => id)
}

async function open(
  options: { readonly autocommit?: boolean; readonly url?: string } = {},
): Promise<Session> {
  const { autocommit = false, url = fixture.db.url } = options
  await fixture.db.query('truncate numbers')
  return fixture.factory({ url, poolSize: 1, maxOverflow: 0 }, { autocommit })()
}

const UNSENDABLE: readonly (readonly [string, unknown])[] = [
  ['a promise', Promise.resolve(1)],
  ['a function', () => 1],
  ['a symbol', Symbol('one')],
  ['an invalid date', new Date(NaN)],
  ['a circle', circle()],
  [
    'an object whose toPostgres throws',
    {
      toPostgres(): never {
        throw new Error('not today')
      },
    },
  ],
]

function circle(): object {
  const object: { self?: object } = {}
  object.self = object
  return object
}

describe('a value that cannot be sent', () => {
  test.each(UNSENDABLE)('%s fails its statement only, not the transaction', async (_name, value) => {
    await using session = await open()
    const [first, second, third] = await Promise.allSettled([
      add(session, 1),
      add(session, value),
      add(session, 2),
    ])
    expect([first.status, third.status]).toEqual(['fulfilled', 'fulfilled'])
    expect((second as PromiseRejectedResult).reason).toBeInstanceOf(InvalidStatementError)
    expect((second as PromiseRejectedResult).reason.message).toContain('$1')
    await session.commit()
    expect(await stored()).toEqual([1, 2])
  })
})

describe('a value that the server does not take', () => {
  test('fails its statement in autocommit mode, and neither those before nor those after', async () => {
    await using session = await open({ autocommit: true })
    const outcomes = await Promise.allSettled([add(session, 1), add(session, 'two'), add(session, 3)])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((outcomes[1] as PromiseRejectedResult).reason).toBeInstanceOf(InvalidTextRepresentationError)
    expect(await session.scalars('select id from numbers order by id')).toEqual([1, 3])
  })

  test('fails the transaction, as every error of the server does; the connection is in step after the rollback', async () => {
    await using session = await open()
    const outcomes = await Promise.allSettled([add(session, 1), add(session, 'two'), add(session, 3)])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    expect((outcomes[1] as PromiseRejectedResult).reason).toBeInstanceOf(InvalidTextRepresentationError)
    const aborted = (outcomes[2] as PromiseRejectedResult).reason as Error
    expect(aborted).toBeInstanceOf(TransactionAbortedError)
    expect(aborted.message).toContain('let the error out of its block, or call rollback()')
    await session.rollback()
    await add(session, 4)
    await session.commit()
    expect(await stored()).toEqual([4])
  })

  test('is rolled back with its savepoint', async () => {
    await using session = await open()
    await add(session, 1)
    await errorOf(session.beginNested(() => add(session, 'two')))
    await add(session, 3)
    await session.commit()
    expect(await stored()).toEqual([1, 3])
  })

  test.each([
    ['too few', 'insert into numbers values ($1), ($2)', [1]],
    ['too many', 'insert into numbers values ($1)', [1, 2]],
  ])('%s values fail their statement, and cost no connection', async (_name, text, values) => {
    await using session = await open({ autocommit: true })
    const before = await session.scalar('select pg_backend_pid()')
    const error = await errorOf(session.execute(text, values))
    expect(error).toBeInstanceOf(DatabaseError)
    expect(error['sqlState']).toBe('08P01')
    expect(isRetryable(error)).toBe(false)
    expect(await session.scalar('select pg_backend_pid()')).toBe(before)
    expect(await stored()).toEqual([])
  })

  test.each([
    ['too few', 'insert into numbers values ($1), ($2)', [1]],
    ['too many', 'insert into numbers values ($1)', [1, 2]],
  ])(
    '%s values fail a transaction for that reason, not for a lost connection',
    async (_name, text, values) => {
      await using session = await open()
      await add(session, 7)
      const before = await session.scalar('select pg_backend_pid()')
      expect(await errorOf(session.execute(text, values))).toMatchObject({ sqlState: '08P01' })
      await session.rollback()
      expect(await session.scalar('select pg_backend_pid()')).toBe(before)
      await session.commit()
      expect(await stored()).toEqual([])
    },
  )
})

test('several commands in one statement are refused by the server, and none of them runs', async () => {
  await using session = await open({ autocommit: true })
  const error = await errorOf(
    session.execute('insert into numbers values (1); insert into numbers values (2)'),
  )
  expect(error).toMatchObject({ sqlState: '42601' })
  expect(await stored()).toEqual([])
})

test('an empty statement is no error', async () => {
  await using session = await open()
  expect((await session.execute('')).all()).toEqual([])
  expect((await session.execute('-- nothing')).all()).toEqual([])
})

describe('a prepared statement whose result has changed', () => {
  const change = 'alter table numbers add column if not exists extra int default 9'
  const restore = 'alter table numbers drop column if exists extra'
  const read = 'select * from numbers'

  test('is prepared anew in autocommit mode, unnoticed', async () => {
    await using session = await open({ autocommit: true })
    await add(session, 1)
    expect((await session.execute(read)).all()).toEqual([{ id: 1 }])
    await fixture.db.query(change)
    const results = await Promise.all([session.execute(read), session.execute(read)])
    expect(results.map((result) => result.all())).toEqual([[{ id: 1, extra: 9 }], [{ id: 1, extra: 9 }]])
    await fixture.db.query(restore)
  })

  test('in a transaction runs once more unseen, where nothing came before it', async () => {
    await using session = await open()
    await add(session, 1)
    await session.execute(read)
    await session.commit()
    await fixture.db.query(change)
    expect((await session.execute(read)).all()).toEqual([{ id: 1, extra: 9 }])
    await session.rollback()
    await fixture.db.query(restore)
  })

  test('after other statements fails its transaction once, which may be repeated, and works in the next one', async () => {
    await using session = await open()
    await add(session, 1)
    // A text has a plan that is kept from its second use on.
    for (const _ of [1, 2]) await session.execute(read)
    await session.commit()
    await fixture.db.query(change)
    await session.execute('select 1')
    const error = await errorOf(session.execute(read))
    expect([error['sqlState'], isRetryable(error)]).toEqual(['0A000', true])
    await session.rollback()
    expect((await session.execute(read)).all()).toEqual([{ id: 1, extra: 9 }])
    await session.rollback()
    await fixture.db.query(restore)
  })
})

describe.each(['deallocate all', 'discard all'])('after %s', (forget) => {
  test('nothing fails in autocommit mode', async () => {
    await using session = await open({ autocommit: true })
    await add(session, 1)
    await session.execute(forget)
    await add(session, 2)
    expect(await session.scalars('select id from numbers order by id')).toEqual([1, 2])
  })

  test('nothing fails in transactions, neither BEGIN, nor statements known before, nor COMMIT', async () => {
    await using session = await open()
    for (const id of [1, 2]) {
      await add(session, id)
      await session.beginNested(() => add(session, id + 10))
      await session.commit()
    }
    // DISCARD ALL cannot run in a transaction.
    if (forget === 'deallocate all') await session.execute(forget)
    await add(session, 3)
    await session.beginNested(() => add(session, 13))
    await session.commit()
    expect(await stored()).toEqual([1, 2, 3, 11, 12, 13])
  })
})

test('statements that something else forgot fail at most one transaction, not one each', async () => {
  await using session = await open()
  await fixture.db.query(
    'create or replace function forget() returns void language plpgsql as $$ begin deallocate all; end $$',
  )
  const work = async (id: number): Promise<void> => {
    await add(session, id)
    await session.beginNested(() => add(session, id + 10))
    await session.commit()
  }
  await work(1)
  await session.execute('select forget()')
  await session.commit().catch(() => session.rollback())
  const failures: unknown[] = []
  for (const id of [2, 3, 4]) {
    await work(id).catch(async (error: unknown) => {
      failures.push(error)
      await session.rollback()
    })
  }
  expect(failures.length).toBeLessThan(2)
  expect(await stored()).toContain(14)
})

test('a stale statement in autocommit mode is repeated alone: those that worked run once', async () => {
  using proxy = await startProxy(fixture.db.url)
  await using session = await open({ autocommit: true, url: proxy.url })
  await session.execute('select * from numbers')
  await fixture.db.query('alter table numbers add column more int')
  proxy.reset()
  const outcomes = await Promise.allSettled([
    add(session, 1),
    session.execute('select * from numbers'),
    add(session, 1),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect((outcomes[2] as PromiseRejectedResult).reason).toBeInstanceOf(UniqueViolationError)
  expect(await stored()).toEqual([1])
  await fixture.db.query('alter table numbers drop column more')
})

describe('transaction control as a plain statement', () => {
  test.each([
    'begin',
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'start transaction',
    'commit',
    'Commit work',
    'end',
    'rollback',
    'abort',
    'savepoint a',
    'release savepoint a',
    'rollback to savepoint a',
    "prepare transaction 'x'",
    '  \n commit',
    ';commit',
    ' ; ; rollback',
    '-- a comment\ncommit',
    '-- a comment\rcommit',
    '/* a comment */ commit',
    '/* a /* nested */ comment */ commit',
    '/* a /* nested */ comment */ ; -- and\n /* more */ commit',
  ])('%j is refused before it is sent, with the remedy', async (text) => {
    await using session = await open()
    await add(session, 1)
    const error = await errorOf(session.execute(text))
    expect(error).toBeInstanceOf(InvalidStatementError)
    expect(error.message).toMatch(/commit\(\), rollback\(\), begin\(\) or beginNested\(\)/)
    await session.commit()
    expect(await stored()).toEqual([1])
  })

  test('what only looks like it runs', async () => {
    await using session = await open()
    expect(await session.scalar("select 'commit'")).toBe('commit')
    await session.execute('create temp table committed (end_at int)')
    await session.execute("prepare transactions as select 'x'")
    await session.execute('deallocate transactions')
    await session.execute('/* commit */ select 1')
    await session.rollback()
  })
})

describe('COPY as a plain statement', () => {
  test.each([
    'copy numbers from stdin',
    'COPY numbers (id) FROM STDIN WITH (FORMAT csv)',
    'copy (select 1) to stdout',
    '/* comment */ copy numbers to stdout',
    'copy numbers from /* the terminal */ stdin',
  ])('%j is refused before it is sent, with the remedy', async (text) => {
    await using session = await open()
    await add(session, 1)
    const error = await errorOf(session.execute(text))
    expect(error).toBeInstanceOf(InvalidStatementError)
    expect(error.message).toMatch(/copyFrom\(\) or session\.copyTo\(\)/)
    await session.commit()
    expect(await stored()).toEqual([1])
  })

  test('one that is not recognised costs its connection, not the process', async () => {
    await using session = await open()
    await add(session, 1)
    // PostgreSQL nests comments.
    const error = await errorOf(session.execute('copy numbers from /* the /* old */ terminal */ stdin'))
    expect(String((error.cause as Error).message)).toContain('COPY')
    await session.rollback()
    await add(session, 2)
    await session.commit()
    expect(await stored()).toEqual([2])
  })
})

describe('another client_encoding, in which texts cannot be read', () => {
  const TEXT = 'grün €'

  test.each(['latin1', 'sql_ascii', 'win1252'])(
    '%s ends the connection; the next one reads texts',
    async (to) => {
      await using session = await open()
      const error = await errorOf(session.execute(`set client_encoding = '${to}'`))
      expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
      expect((error.cause as Error).message).toContain('leave it at UTF8')
      await session.rollback()
      expect(await session.scalar('select $1::text', [TEXT])).toBe(TEXT)
    },
  )

  test('ends the connection of a script, too', async () => {
    await using session = await open()
    const error = await errorOf(session.executeScript("select 1; set names 'latin1'"))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
    expect((error.cause as Error).message).toContain('LATIN1')
  })

  test.each(['utf8', 'UTF-8', 'unicode'])('%s is none', async (to) => {
    await using session = await open()
    await session.execute(`set client_encoding = '${to}'`)
    expect(await session.scalar('select $1::text', [TEXT])).toBe(TEXT)
  })
})
