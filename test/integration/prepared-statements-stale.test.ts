/** Plans that a migration of another process has made stale, which nothing here has seen. */
import { beforeEach, describe, expect, test } from 'vitest'
import { isRetryable } from '../../src/database-errors.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { createUnhurriedEngine } from '../helpers/unhurried-engine.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(
  `create function forget() returns void language plpgsql as $$ begin execute 'deallocate all'; end $$`,
)

const INSERT = 'insert into events (n, mood) values ($1, $2)'
const LARGE = 3_000_000_000

beforeEach(async () => {
  await fixture.db.query('drop table if exists events, log')
  await fixture.db.query('drop type if exists mood')
  await fixture.db.query("create type mood as enum ('a', 'b')")
  await fixture.db.query('create table events (n integer, mood mood)')
  await fixture.db.query('create table log (line text)')
})

/** Sessions on so many connections, each of which knows the statements as prepared ones. */
async function warm(connections = 1) {
  const engine = fixture.engine({ poolSize: connections, maxOverflow: 0 }, createUnhurriedEngine)
  const factory = createSessionFactory({ bind: engine })
  for (let round = 0; round < 3; round++) {
    const sessions = Array.from({ length: connections }, () => factory())
    // Each has a connection of its own from here on: none of the connections is left out.
    await Promise.all(sessions.map((session) => session.execute('select 1')))
    await Promise.all(
      sessions.map(async (session) => {
        await session.execute(INSERT, [1, 'a'])
        await session.execute('select * from events limit 1')
        await session.close()
      }),
    )
  }
  return { ...factory, engine, withSession: factory.withSession }
}

const WIDEN = 'alter table events alter n type bigint'
async function recreateEnum(): Promise<void> {
  await fixture.db.query('alter table events alter mood type text')
  await fixture.db.query('drop type mood')
  await fixture.db.query("create type mood as enum ('a', 'c')")
  await fixture.db.query('alter table events alter mood type mood using mood::mood')
}
const counted = async (table = 'events'): Promise<number | undefined> =>
  (await fixture.db.query<{ count: number }>(`select count(*)::int from ${table}`))[0]?.count

describe('where nothing else has happened in the transaction, the statement runs again unseen', () => {
  test.each([
    ['a wider type', () => fixture.db.query(WIDEN), [LARGE, 'a']],
    ['an enum that was created again', recreateEnum, [1, 'c']],
    ['another type altogether', () => fixture.db.query('alter table events alter n type text'), ['x', 'a']],
  ] as const)('%s', async (_what, migrate, values) => {
    const { withSession } = await warm()
    await migrate()
    let runs = 0
    await withSession(async (session) => {
      runs++
      await session.execute(INSERT, [...values])
      await session.execute("insert into log values ('behind')")
    })
    expect([runs, await counted(), await counted('log')]).toEqual([1, 1, 1])
  })

  test('also with COMMIT in the same batch: stored once', async () => {
    const { withSession } = await warm()
    await fixture.db.query(WIDEN)
    await withSession((session) => session.execute(INSERT, [LARGE, 'a']))
    expect(await counted()).toBe(1)
  })

  test('also in autocommit mode', async () => {
    const { withSession } = await warm()
    await fixture.db.query(WIDEN)
    await withSession((session) => session.execute(INSERT, [LARGE, 'a']), { autocommit: true })
    expect(await counted()).toBe(1)
  })

  test('also in a read-only transaction, and with settings: new columns are read', async () => {
    const { withSession } = await warm()
    await fixture.db.query("insert into events values (1, 'a')")
    await fixture.db.query('alter table events add title text')
    const read = (session: Session) => session.execute('select * from events limit 1')
    const rows = await withSession(read, { readOnly: true, settings: { 'app.tenant': '7' } })
    expect(rows.one()).toEqual({ n: 1, mood: 'a', title: null })
  })

  test('also when all prepared statements were forgotten by a function', async () => {
    const { withSession } = await warm()
    await withSession((session) => session.execute('select forget()'))
    await withSession((session) => session.execute(INSERT, [1, 'a']))
    expect(await counted()).toBe(1)
  })

  test('what is wrong without any migration fails as ever, once', async () => {
    const { withSession } = await warm()
    let runs = 0
    const error = await errorOf(
      withSession(
        (session) => {
          runs++
          return session.execute(INSERT, ['seven', 'a'])
        },
        { retry: { attempts: 3 } },
      ),
    )
    expect(error).toMatchObject({ sqlState: '22P02' })
    expect([isRetryable(error), runs, await counted()]).toEqual([false, 1, 0])
  })
})

describe('in a transaction that has done something', () => {
  const work = async (session: Session, values: unknown[] = [LARGE, 'a']): Promise<void> => {
    await session.execute("insert into log values ('before')")
    await session.execute(INSERT, values)
  }

  test.each([
    ['a wider type', () => fixture.db.query(WIDEN), [LARGE, 'a']],
    ['an enum that was created again', recreateEnum, [1, 'c']],
  ] as const)('%s: the error is retryable, and retry succeeds', async (_what, migrate, values) => {
    const { withSession } = await warm()
    await migrate()
    const error = await errorOf(withSession((session) => work(session, [...values])))
    expect(isRetryable(error)).toBe(true)
    expect([await counted(), await counted('log')]).toEqual([0, 0])
    const again = await warm()
    await fixture.db.query('alter table events alter n type numeric')
    await again.withSession((session) => work(session, ['1.5', 'a']), { retry: { attempts: 2 } })
    expect([await counted(), await counted('log')]).toEqual([1, 1])
  })

  test('no other connection uses the old plan after that', async () => {
    const { withSession } = await warm(3)
    await fixture.db.query(WIDEN)
    await errorOf(withSession((session) => work(session)))
    await Promise.all(Array.from({ length: 3 }, () => withSession((session) => work(session))))
    expect(await counted()).toBe(3)
  })

  test('a result of another shape is retryable', async () => {
    const { withSession } = await warm()
    await fixture.db.query('alter table events add title text')
    const read = async (session: Session) => {
      await session.execute("insert into log values ('before')")
      return session.execute('select * from events limit 1')
    }
    const error = await errorOf(withSession(read))
    expect(error).toMatchObject({ sqlState: '0A000' })
    expect(isRetryable(error)).toBe(true)
    await withSession(read, { retry: { attempts: 2 } })
  })

  test.each([false, true])(
    'a mistake of the caller is not retryable (hideParameters: %s)',
    async (hideParameters) => {
      await warm()
      const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0, hideParameters })
      for (let use = 0; use < 3; use++) await withSession((session) => work(session, [1, 'a']))
      let runs = 0
      const error = await errorOf(
        withSession(
          (session) => {
            runs++
            return work(session, ['seven', 'a'])
          },
          { retry: { attempts: 3 } },
        ),
      )
      expect(error).toMatchObject({ sqlState: '22P02' })
      expect([isRetryable(error), runs]).toEqual([false, 1])
    },
  )

  test('with hideParameters, the proof is found as well', async () => {
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0, hideParameters: true })
    for (let use = 0; use < 3; use++) await withSession((session) => work(session, [1, 'a']))
    await fixture.db.query(WIDEN)
    expect(isRetryable(await errorOf(withSession((session) => work(session))))).toBe(true)
  })

  test('what was answered in the same batch is not run again', async () => {
    const { withSession } = await warm()
    await fixture.db.query('create sequence if not exists numbers')
    await fixture.db.query(WIDEN)
    const seen: unknown[] = []
    const error = await errorOf(
      withSession((session) =>
        Promise.all([
          session.scalar("select nextval('numbers')").then((value) => seen.push(value)),
          session.execute(INSERT, [LARGE, 'a']),
        ]),
      ),
    )
    expect(isRetryable(error)).toBe(true)
    expect(seen).toHaveLength(1)
    const [row] = await fixture.db.query<{ last: string }>('select last_value as last from numbers')
    expect(String(row?.last)).toBe(String(seen[0]))
  })
})

test('in autocommit mode no statement is run again after a later one', async () => {
  const { withSession } = await warm()
  await fixture.db.query(WIDEN)
  const outcomes = await withSession(
    (session) =>
      Promise.allSettled([
        session.execute(INSERT, [LARGE, 'a']),
        session.execute("insert into log values ('later')"),
      ]),
    { autocommit: true },
  )
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
  expect([await counted(), await counted('log')]).toEqual([0, 1])
})
