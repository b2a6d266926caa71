/** COMMIT after reads only: the next waiting caller goes on behind it, and each gets its own answer. */
import { expect, test } from 'vitest'
import { CommitOutcomeUnknownError } from '../../src/errors.js'
import type { Session } from '../../src/session/session.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, terminate, useDatabase, waitForBackend, type Backend } from './session-support.js'

// A function hides what it writes: for its caller the command is SELECT. A trigger lets COMMIT wait for a lock.
const fixture = useDatabase(
  'create table rows (id int)',
  'create table waiting (id int)',
  'create table once (id int unique deferrable initially deferred)',
  `create function add_row(id int) returns int language sql as 'insert into rows values (id); select id'`,
  `create function add_twice() returns int language sql as 'insert into once values (1), (1); select 1'`,
  `create function add_waiting() returns int language sql as 'insert into waiting values (1); select 1'`,
  `create function wait() returns trigger language plpgsql as
     $$ begin perform pg_advisory_xact_lock(7); return null; end $$`,
  `create constraint trigger waits after insert on waiting deferrable initially deferred
     for each row execute function wait()`,
)

const ONE = { poolSize: 1, maxOverflow: 0 }

const ids = async (table = 'rows'): Promise<number[]> =>
  (await fixture.db.query<{ id: number }>(`select id from ${table} order by id`)).map(({ id }) => id)

const fresh = async (...options: Parameters<typeof fixture.factory>) => {
  await fixture.db.query('truncate rows, waiting')
  const factory = fixture.factory(...options)
  // So that no session waits for the connect.
  await factory.withSession((session) => session.execute('select'))
  return factory
}

/** A block whose value is known before it commits. */
const reading =
  (text: string) =>
  async (session: Session): Promise<unknown> => {
    const value = await session.scalar(text)
    return value
  }

/** Lets no COMMIT end that has rows in `waiting`, until the function is called that it gives. */
async function holdCommits(): Promise<() => Promise<void>> {
  const { withSession } = fixture.factory(ONE)
  let release!: () => void
  const released = new Promise<void>((resolve) => (release = resolve))
  let locked!: () => void
  const isLocked = new Promise<void>((resolve) => (locked = resolve))
  const holding = withSession(async (session) => {
    await session.execute('select pg_advisory_xact_lock(7)')
    locked()
    await released
  })
  await isLocked
  return async () => {
    release()
    await holding
  }
}

const commitIsUnderWay = () =>
  waitUntil(async () => {
    const text = `select from pg_stat_activity where query = 'COMMIT' and state = 'active' and datname = current_database()`
    return (await fixture.db.query(text)).length === 1
  })

/** A connection at rest has a COMMIT behind it, too. */
const isCommitting = ({ query, state }: Backend): boolean => query === 'COMMIT' && state === 'active'

test('each gets its own answer, and the first does not wait for the second', async () => {
  const { withSession, bind } = await fresh(ONE)
  await using holder = fixture.factory(ONE)()
  await holder.execute('select pg_advisory_xact_lock(8)')
  const first = withSession(reading('select add_row(1)'))
  const second = withSession(reading('select count(*)::int, pg_advisory_xact_lock(8) from rows'))
  expect(await first).toBe(1)
  expect(bind.stats().borrowed).toBe(1)
  await holder.commit()
  expect(await second).toBe(1)
  expect(bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
})

test('a transaction that has written keeps its connection until its COMMIT is answered', async () => {
  using proxy = await startProxy(fixture.db.url)
  const { withSession } = await fresh({ url: proxy.url, ...ONE })
  proxy.reset()
  const write = () =>
    withSession(async (session) => {
      await session.execute('insert into rows values (1)')
    })
  await Promise.all([write(), write()])
  const [connection] = proxy.connections
  const ends = connection?.messages.filter(({ name }) => name === 'Sync' || name === 'ReadyForQuery')
  expect(ends?.map(({ name }) => name)).toEqual(
    Array.from({ length: 4 }, () => ['Sync', 'ReadyForQuery']).flat(),
  )
})

test('a refused COMMIT fails its own transaction, and not the next one', async () => {
  const { withSession, bind } = await fresh(ONE)
  const first = errorOf(withSession(reading('select add_twice()')))
  const second = withSession(reading('select add_row(2)'))
  expect(await first).toMatchObject({ sqlState: '23505' })
  expect(await second).toBe(2)
  expect(await ids()).toEqual([2])
  expect(await ids('once')).toEqual([])
  expect(bind.stats().counters.connected).toBe(1)
})

test('statements of a session after its own COMMIT wait for the answer', async () => {
  const { withSession } = await fresh(ONE)
  const first = withSession(async (session) => {
    await session.execute('select add_row(1)')
    const committing = session.commit()
    const count = session.scalar('select count(*)::int from rows')
    await committing
    return await count
  })
  const second = withSession(reading('select add_row(2)'))
  expect(await second).toBe(2)
  // It took its turn behind the other one.
  expect(await first).toBe(2)
})

test.each(['client', 'server'] as const)(
  'both tell the truth wherever the connection dies (cut behind a message of the %s)',
  async (from) => {
    const outcomes = new Set<string>()
    for (let nth = 1, fired = true; fired; nth++) {
      using proxy = await startProxy(fixture.db.url)
      const { withSession, bind } = await fresh({ url: proxy.url, ...ONE })
      let seen = 0
      fired = false
      void proxy.cutAt({ from, when: 'after', message: () => (fired = ++seen === nth) })
      const outcome = (promise: Promise<unknown>): Promise<string> =>
        promise.then(
          () => 'stored',
          (error: unknown) => (error as { code: string }).code,
        )
      // Rows of their own: a COMMIT whose connection was cut may come to the server late.
      const added = [2 * nth, 2 * nth + 1]
      const both = await Promise.all(
        added.map((id) => outcome(withSession(reading(`select add_row(${String(id)})`)))),
      )
      await bind.dispose()
      const rows = await ids()
      for (const [index, code] of both.entries()) {
        const found = rows.filter((id) => id === added[index])
        if (code === 'stored') expect(found).toEqual([added[index]])
        else if (code !== 'COMMIT_OUTCOME_UNKNOWN') expect(found).toEqual([])
      }
      outcomes.add(both.join(' '))
    }
    expect(outcomes).toContain('stored stored')
    expect(outcomes).toContain('COMMIT_OUTCOME_UNKNOWN stored')
    expect(outcomes).toContain('stored COMMIT_OUTCOME_UNKNOWN')
  },
)

test('an abort of the second does not cancel the COMMIT of the first', async () => {
  const { withSession, bind } = await fresh(ONE)
  const letGo = await holdCommits()
  const first = withSession(reading('select add_waiting()'))
  const controller = new AbortController()
  const second = errorOf(withSession(reading('select pg_sleep(60)'), { signal: controller.signal }))
  await commitIsUnderWay()
  expect(bind.stats()).toMatchObject({ borrowed: 1, waiting: 0 })
  controller.abort()
  expect(await ids('waiting')).toEqual([])
  await letGo()
  expect(await first).toBe(1)
  expect(await second).toMatchObject({ code: 'ABORTED' })
  expect(await ids('waiting')).toEqual([1])
})

test('no caller waits for another COMMIT longer than its pool timeout', async () => {
  const { withSession, bind } = await fresh({ ...ONE, prePingTimeoutMillis: 300, poolTimeoutMillis: 2_000 })
  const letGo = await holdCommits()
  const first = errorOf(withSession(reading('select add_waiting()')))
  const second = withSession(reading('select add_row(2)'))
  expect(await first).toBeInstanceOf(CommitOutcomeUnknownError)
  // It had not begun: it goes on on another connection.
  expect(await second).toBe(2)
  expect(bind.stats().counters.connected).toBe(2)
  await letGo()
})

test('a COMMIT does not fail because the next caller has a short timeout', async () => {
  const { withSession } = await fresh(ONE)
  const letGo = await holdCommits()
  const first = withSession(reading('select add_waiting()'))
  const second = errorOf(withSession(reading('select add_row(2)'), { poolTimeoutMillis: 100 }))
  expect(await second).toMatchObject({ code: 'POOL_TIMEOUT' })
  await letGo()
  expect(await first).toBe(1)
  expect(await ids()).toEqual([])
})

test('the proof that a connection lives does not count the time of a COMMIT that goes first', async () => {
  const { withSession, bind } = await fresh({ ...ONE, prePingSkipMillis: 0, prePingTimeoutMillis: 1_000 })
  const letGo = await holdCommits()
  const first = withSession(reading('select add_waiting()'))
  const second = withSession(reading('select add_row(2)'))
  await commitIsUnderWay()
  const startedAt = performance.now()
  await waitUntil(() => performance.now() - startedAt > 1_200)
  await letGo()
  expect(await first).toBe(1)
  expect(await second).toBe(2)
  expect(bind.stats().counters.connected).toBe(1)
})

test.each([
  'with added as (insert into rows values (1) returning id) select id from added',
  'select id into temp copied from rows',
  'select id from rows for update',
  'explain analyze insert into rows values (1)',
  'create temp table copied as select id from rows',
])('%s keeps its connection until COMMIT is answered, though PostgreSQL may call it a read', async (text) => {
  using proxy = await startProxy(fixture.db.url)
  const { withSession } = await fresh({ url: proxy.url, ...ONE })
  proxy.reset()
  await Promise.all([withSession(reading(text)), withSession(reading('select 1'))])
  const [connection] = proxy.connections
  expect(connection?.names('client')).not.toContain('Query')
})

test('without a waiting caller COMMIT is sent at once', async () => {
  for (const options of [ONE, { ...ONE, poolTimeoutMillis: 0 }]) {
    const { withSession } = await fresh(options)
    expect(await withSession(reading('select add_row(1)'))).toBe(1)
    expect(await ids()).toEqual([1])
  }
})

test('a backend killed at COMMIT leaves its outcome unknown, and the next transaction uses another connection', async () => {
  const application = { serverSettings: { application_name: 'parting' } }
  const { withSession } = await fresh({ ...ONE, connectArgs: application })
  const letGo = await holdCommits()
  const first = errorOf(withSession(reading('select add_waiting()')))
  const second = withSession(reading('select add_row(2)'))
  const { pid } = await waitForBackend(fixture.db, 'parting', isCommitting)
  await terminate(fixture.db, pid)
  expect(await first).toBeInstanceOf(CommitOutcomeUnknownError)
  expect(await second).toBe(2)
  await letGo()
  expect(await ids('waiting')).toEqual([])
})

test('an autocommit statement after a COMMIT whose backend was killed was not run, and its error says so', async () => {
  const application = { serverSettings: { application_name: 'parting alone' } }
  const { withSession } = await fresh({ ...ONE, connectArgs: application })
  const letGo = await holdCommits()
  const first = errorOf(withSession(reading('select add_waiting()')))
  const second = errorOf(
    withSession((session) => session.execute('insert into rows values (2)'), { autocommit: true }),
  )
  const { pid } = await waitForBackend(fixture.db, 'parting alone', isCommitting)
  await terminate(fixture.db, pid)
  expect(await first).toBeInstanceOf(CommitOutcomeUnknownError)
  expect(await second).toMatchObject({ code: 'CONNECTION_LOST' })
  await letGo()
  expect(await ids()).toEqual([])
})

test('an engine that is disposed of lets both finish', async () => {
  const { withSession, bind } = await fresh(ONE)
  const first = withSession(reading('select add_row(1)'))
  const second = withSession(reading('select add_row(2)'))
  expect(await first).toBe(1)
  expect(await bind.dispose()).toMatchObject({ closed: 1, forced: 0 })
  expect(await second).toBe(2)
  expect(await ids()).toEqual([1, 2])
})
