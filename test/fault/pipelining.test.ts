/** Pipelined autocommit: what a slow read, an abort, a timeout or a lost connection does to the reads that share its connection. */
import { describe, expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import { AbortedError } from '../../src/errors.js'
import { waitUntil } from '../helpers/wait-until.js'
import { numbers, usePipelining, values } from '../integration/pipelining-support.js'
import { backendsOf, errorOf } from '../integration/session-support.js'

const fixture = usePipelining()
const { shared } = fixture

describe('a slow read', () => {
  const SLOW = 'select count(*)::int from songs'

  /** The table is locked for others until `unlock`. */
  async function lockSongs(engine: Engine): Promise<() => Promise<void>> {
    const connection = await engine.connect()
    await connection.execute('lock table songs in access exclusive mode')
    return async () => {
      await connection.rollback()
      await connection.close()
    }
  }

  test('holds up the reads behind it for a short time only, and takes a connection of its own then', async () => {
    const { engine, alone, together } = await shared({ poolSize: 2 })
    const other = fixture.engine({ poolSize: 1 })
    const unlock = await lockSongs(other)
    const ends: string[] = []
    const told = together(() => [
      ...['slow'].map((name) =>
        alone.withSession((session) => session.scalar(SLOW)).then((count) => (ends.push(name), count)),
      ),
      ...['a', 'b', 'c'].map((name) =>
        alone
          .withSession((session) => session.scalar('select $1::text', [name]))
          .then((value) => (ends.push(name), value)),
      ),
    ])
    await waitUntil(() => ends.length === 3)
    expect(ends.sort()).toEqual(['a', 'b', 'c'])
    // It waits on a connection of its own, with nothing behind it.
    await waitUntil(async () => (await waitingForLock()) === 1)
    expect(await alone.withSession((session) => session.scalar('select 1'))).toBe(1)
    await unlock()
    expect(values(await told)).toEqual([100, 'a', 'b', 'c'])
    expect(engine.stats().borrowed).toBe(0)
  })

  async function waitingForLock(): Promise<number> {
    const [row] = await fixture.db.query<{ count: number }>(
      "select count(*)::int from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    )
    return row?.count ?? 0
  }

  test('that is aborted is cancelled on the server; no neighbour is', async () => {
    const { alone, together } = await shared()
    const other = fixture.engine({ poolSize: 1 })
    const unlock = await lockSongs(other)
    const controller = new AbortController()
    const told = together(() => [
      alone.withSession((session) => session.scalar(SLOW, { signal: controller.signal })),
      ...numbers(3).map((n) => alone.withSession((session) => session.scalar('select $1::int', [n]))),
    ])
    await waitUntil(async () => (await waitingForLock()) === 1)
    controller.abort()
    const [aborted, ...others] = await told
    expect((aborted as PromiseRejectedResult).reason).toBeInstanceOf(AbortedError)
    expect(values(others)).toEqual([0, 1, 2])
    await waitUntil(async () => (await waitingForLock()) === 0)
    await unlock()
  })

  test('one behind it is aborted without a cancel', async () => {
    const { alone, together } = await shared()
    const other = fixture.engine({ poolSize: 1 })
    const unlock = await lockSongs(other)
    const controller = new AbortController()
    let aborted: Error | undefined
    const told = together(() => [
      alone.withSession((session) => session.scalar(SLOW)),
      alone
        .withSession((session) => session.scalar('select 1', { signal: controller.signal }))
        .catch((error: Error) => (aborted = error)),
      alone.withSession((session) => session.scalar('select 2')),
    ])
    await waitUntil(async () => (await waitingForLock()) === 1)
    controller.abort()
    await waitUntil(() => aborted)
    expect(aborted).toBeInstanceOf(AbortedError)
    await unlock()
    const [slow, , last] = values(await told)
    expect([slow, last]).toEqual([100, 2])
  })

  test('goes on alone if the server does not hear the cancel, and its connection is dropped for the others', async () => {
    const { alone, together } = await shared({ poolSize: 2 })
    const other = fixture.engine({ poolSize: 1 })
    const unlock = await lockSongs(other)
    // It is sent again and again.
    const loseCancels = async (): Promise<never> => {
      for (;;)
        await fixture.proxy.cutAt({
          from: 'client',
          when: 'before',
          message: ({ name }) => name === 'CancelRequest',
        })
    }
    void loseCancels()
    const ends: unknown[] = []
    const told = together(() => [
      alone.withSession((session) => session.scalar(SLOW)),
      ...numbers(3).map((n) =>
        alone
          .withSession((session) => session.scalar('select $1::int', [n]))
          .then((value) => (ends.push(value), value)),
      ),
    ])
    await waitUntil(() => ends.length === 3)
    await unlock()
    expect(values(await told)).toEqual([100, 0, 1, 2])
  })

  test('its own time limit ends it', async () => {
    const { alone, together } = await shared()
    const other = fixture.engine({ poolSize: 1 })
    const unlock = await lockSongs(other)
    const told = await together(() => [
      alone.withSession((session) => session.scalar(SLOW, { timeoutMillis: 20 })),
      alone.withSession((session) => session.scalar('select 2')),
    ])
    expect(values(told)).toEqual([expect.stringContaining('20 ms'), 2])
    await unlock()
  })
})

describe('a lost connection', () => {
  const told = (results: readonly PromiseSettledResult<unknown>[]): unknown[] =>
    results.map((result) =>
      result.status === 'fulfilled' ? result.value : (result.reason as { code?: string }).code,
    )

  test('whose backend is killed: the read that was running fails as it does alone, the others are answered', async () => {
    const { alone, together } = await shared()
    const blocker = await fixture.engine({ poolSize: 1 }).connect()
    await blocker.execute('lock table songs in access exclusive mode')
    const ending = together(() => [
      alone.withSession((session) => session.scalar('select 0')),
      alone.withSession((session) => session.scalar('select count(*)::int from songs')),
      ...numbers(3).map((n) => alone.withSession((session) => session.scalar('select $1::int', [n]))),
    ])
    const killed = await waitUntil(async () => {
      const rows = await fixture.db.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where wait_event_type = 'Lock' and datname = current_database()`,
      )
      return rows.length > 0
    })
    expect(killed).toBe(true)
    expect(told(await ending)).toEqual([0, 'CONNECTION_LOST', 0, 1, 2])
    await blocker.rollback()
    await blocker.close()
  })

  test.each(['reset', 'end'] as const)('that is cut (%s) in the middle of the batch', async (style) => {
    const { alone, together } = await shared()
    let answers = 0
    const cut = fixture.proxy.cutAt({
      from: 'server',
      when: 'before',
      message: ({ name, text }) => name === 'CommandComplete' && text.startsWith('SELECT') && ++answers === 4,
      style,
    })
    const results = await together(() =>
      numbers(6).map((n) => alone.withSession((session) => session.scalar('select $1::int', [n]))),
    )
    await cut
    // One answer was that of the first statement of the engine, if the rule was there already.
    const codes = told(results)
    expect(codes.filter((code) => code === 'CONNECTION_LOST')).toHaveLength(1)
    const at = codes.indexOf('CONNECTION_LOST')
    expect(codes).toEqual(numbers(6).map((n) => (n === at ? 'CONNECTION_LOST' : n)))
  })

  test('after a write of the same session: the read is not taken for one that may be stored', async () => {
    const { alone } = await shared({ pipelining: false })
    await using session = alone()
    await session.execute("insert into songs values (5000, 'new')")
    const lost = errorOf(session.scalar('select pg_sleep(60)::text'))
    await waitUntil(async () => {
      const rows = await fixture.db.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where state = 'active' and query like 'select pg_sleep(60)%' and datname = current_database()`,
      )
      return rows.length > 0
    })
    expect(await lost).toMatchObject({ code: 'CONNECTION_LOST' })
    await fixture.db.query('delete from songs where id = 5000')
  })
})

test('dispose waits for a slow read that is under way, though others wait behind it', async () => {
  const { engine, alone, together } = await shared()
  const told = together(() =>
    ['select count(*)::int from pg_sleep(1)', 'select 2', 'select 3'].map((text) =>
      alone.withSession((session) => session.scalar(text)),
    ),
  )
  await waitUntil(() => engine.stats().waiting === 3)
  await waitUntil(() => engine.stats().waiting === 0)
  await engine.dispose()
  expect(values(await told)).toEqual([1, 2, 3])
})

test('dispose ends what is under way, and tells each caller', async () => {
  const { engine, alone, together } = await shared()
  const blocker = fixture.engine({ poolSize: 1 })
  const connection = await blocker.connect()
  await connection.execute('lock table songs in access exclusive mode')
  const told = together(() =>
    numbers(4).map((n) =>
      alone.withSession((session) => session.scalar('select count(*)::int + $1 from songs', [n])),
    ),
  )
  await waitUntil(
    async () => (await backendsOf(fixture.db, 'lifeguard')).length >= 0 && engine.stats().waiting === 0,
  )
  await engine.dispose({ timeoutMillis: 0 })
  for (const result of await told) expect(result.status).toBe('rejected')
  await connection.close()
})
