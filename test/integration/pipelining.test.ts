/** Pipelined autocommit: reads of several sessions that wait for a connection are sent in one batch. */
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import { describe, expect, test } from 'vitest'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { createPatientEngine, hold, numbers, titleOf, usePipelining, values } from './pipelining-support.js'
import { errorOf } from './session-support.js'

const fixture = usePipelining()
const { shared } = fixture

test('reads that wait for a connection take one round trip together', async () => {
  const { alone, together } = await shared({}, createPatientEngine)
  const told = await together(() =>
    numbers(20).map((id) => alone.withSession((session) => titleOf(session, id + 1))),
  )
  expect(values(told)).toEqual(numbers(20).map((id) => `song ${id + 1}`))
  expect(fixture.proxy.roundTrips).toBe(1)
})

test('without the option each read takes a round trip', async () => {
  const { alone, together } = await shared({ pipelining: false })
  await together(() => numbers(5).map((id) => alone.withSession((session) => titleOf(session, id + 1))))
  expect(fixture.proxy.roundTrips).toBe(5)
})

test('a batch has 32 reads at most', async () => {
  const { alone, together } = await shared({}, createPatientEngine)
  const told = await together(() =>
    numbers(80).map((id) => alone.withSession((session) => titleOf(session, id + 1))),
  )
  expect(values(told)).toEqual(numbers(80).map((id) => `song ${id + 1}`))
  expect(fixture.proxy.roundTrips).toBe(3)
})

test('a pool with a free connection shares none', async () => {
  const { engine, alone } = await shared({ poolSize: 3 })
  for (const connection of await hold(engine, 3)) await connection.close()
  const pids = await Promise.all(
    numbers(3).map(() => alone.withSession((session) => session.scalar('select pg_backend_pid()'))),
  )
  expect(new Set(pids).size).toBe(3)
  expect(engine.stats().waiting).toBe(0)
})

describe('alone', () => {
  test.each([
    ['a write', "insert into songs values ($1 + 1000, 'new')"],
    ['a function of the user', 'select leave_state() + $1::int'],
    ['a session lock', 'select pg_advisory_lock_shared($1::int)'],
    ['a setting', "select set_config('app.n', $1::int::text, false)"],
    ['a row lock', 'select * from songs where id = $1 for update'],
  ])('%s', async (_, text) => {
    const { alone, together } = await shared()
    await together(() => numbers(4).map((id) => alone.withSession((session) => session.execute(text, [id]))))
    expect(fixture.proxy.roundTrips).toBe(4)
    await fixture.db.query('delete from songs where id >= 1000')
  })

  test('with poolResetOnReturn session, which promises each session a clean connection', async () => {
    const { alone, together } = await shared({ poolResetOnReturn: 'session' })
    await together(() => numbers(3).map((id) => alone.withSession((session) => titleOf(session, id + 1))))
    expect(fixture.proxy.roundTrips).toBeGreaterThanOrEqual(3)
  })

  test('several statements of one session, in their order', async () => {
    const { alone, together } = await shared({}, createPatientEngine)
    const told = await together(() => [
      alone.withSession((session) => Promise.all(numbers(3).map((id) => titleOf(session, id + 1)))),
      alone.withSession((session) => Promise.all(numbers(3).map((id) => titleOf(session, id + 4)))),
    ])
    expect(values(told)).toEqual([
      ['song 1', 'song 2', 'song 3'],
      ['song 4', 'song 5', 'song 6'],
    ])
    expect(fixture.proxy.roundTrips).toBe(2)
  })
})

test('each read has its own error, and its neighbours are not harmed', async () => {
  const { alone, together } = await shared({}, createPatientEngine)
  const told = await together(() =>
    [2, 0, 1, 0, 4].map((n) =>
      alone.withSession(async (session) => await session.scalar('select 8 / $1::int', [n])),
    ),
  )
  expect(fixture.proxy.roundTrips).toBe(1)
  expect(values(told)).toEqual([
    4,
    expect.stringContaining('division by zero'),
    8,
    expect.stringContaining('division by zero'),
    2,
  ])
  const [, refused] = told
  expect((refused as PromiseRejectedResult).reason).toMatchObject({ sqlState: '22012' })
  // The line of the caller.
  expect((refused as PromiseRejectedResult).reason.stack).toContain('pipelining.test.ts')
})

test('a session goes on with its next statement after the shared one', async () => {
  const { alone, together } = await shared()
  const told = await together(() =>
    numbers(4).map((id) =>
      alone.withSession(async (session) => {
        const first = await titleOf(session, id + 1)
        await session.execute("insert into songs values ($1, 'added')", [id + 2000])
        return [first, await titleOf(session, id + 2000)]
      }),
    ),
  )
  expect(values(told)).toEqual(numbers(4).map((id) => [`song ${id + 1}`, 'added']))
  await fixture.db.query('delete from songs where id >= 1000')
})

test('rows of any size, each to its own reader', async () => {
  const { alone, together } = await shared()
  const told = await together(() =>
    numbers(6).map((n) =>
      alone.withSession(
        async (session) => (await session.scalar<string>('select repeat($1::text, 2000000)', [n]))?.length,
      ),
    ),
  )
  // On a slow machine a row may take longer than a shared batch waits for it: then its read is sent again alone.
  expect(values(told)).toEqual(numbers(6).map(() => 2_000_000))
})

test('a read that changes a setting behind a view: no other session sees it', async () => {
  const { engine, alone, together } = await shared()
  const told = await together(() => [
    alone.withSession((session) => session.scalar("select current_setting('TimeZone')")),
    alone.withSession((session) => session.scalar('select length from leaving')),
    alone.withSession((session) => session.scalar("select current_setting('TimeZone')")),
    alone.withSession((session) => session.scalar("select current_setting('TimeZone')")),
  ])
  const [before, , behind, last] = values(told)
  expect(before).not.toBe('Asia/Tokyo')
  expect([behind, last]).toEqual([before, before])
  expect(await alone.withSession((session) => session.scalar("select current_setting('TimeZone')"))).toBe(
    before,
  )
  expect(engine.stats().borrowed).toBe(0)
})

test('settings that end with a COMMIT before the batch are none of its reads', async () => {
  const { engine, alone } = await shared()
  const { withSession } = createSessionFactory({ bind: engine })
  const before = await alone.withSession((session) => session.scalar("select current_setting('TimeZone')"))
  let end = (): void => undefined
  const ending = new Promise<void>((resolve) => (end = resolve))
  const block = withSession(
    async (session) => {
      const zone = await session.scalar("select current_setting('TimeZone')")
      await ending
      return zone
    },
    { settings: { TimeZone: 'Asia/Tokyo' } },
  )
  await waitUntil(() => engine.stats().borrowed === 1)
  const reading = numbers(4).map(() =>
    alone.withSession((session) => session.scalar("select current_setting('TimeZone')")),
  )
  await waitUntil(() => engine.stats().waiting === 4)
  const { acquired } = engine.stats().counters
  end()
  expect(await block).toBe('Asia/Tokyo')
  expect(await Promise.all(reading)).toEqual(numbers(4).map(() => before))
  const { counters, closed } = engine.stats()
  expect(counters.acquired - acquired).toBe(1)
  expect([counters.connected, closed.invalidated]).toEqual([1, 0])
})

test('a read whose rows are unreadable, and that has changed a setting: no other session sees it', async () => {
  const types = { getTypeParser: () => (text: string) => (text === '10' ? JSON.parse('{') : text) }
  const { alone, together } = await shared({ types })
  const zone = "select current_setting('TimeZone')"
  const before = await alone.withSession((session) => session.scalar(zone))
  const told = await together(() => [
    alone.withSession((session) => session.scalar('select length from leaving')),
    alone.withSession((session) => session.scalar(zone)),
    alone.withSession((session) => session.scalar(zone)),
  ])
  const [unreadable, ...others] = values(told)
  expect(unreadable).toContain('Error')
  expect(others).toEqual([before, before])
})

test('fake timers of a test runner do not hold reads back', async () => {
  const { alone, together } = await shared()
  const real = timers.setImmediate
  // As fake timers do for CommonJS, and here for ES modules as well.
  timers.setImmediate = (() => ({})) as never
  syncBuiltinESMExports()
  try {
    const told = await together(() =>
      numbers(80).map((id) => alone.withSession((session) => titleOf(session, id + 1))),
    )
    expect(values(told)).toEqual(numbers(80).map((id) => `song ${id + 1}`))
  } finally {
    timers.setImmediate = real
    syncBuiltinESMExports()
  }
})

describe('the queue of the pool', () => {
  test('a block that waits gets the next connection, however many reads come', async () => {
    const { engine, alone } = await shared()
    const { withSession } = createSessionFactory({ bind: engine })
    let isOver = false
    let reads = 0
    const reading = numbers(20).map(async () => {
      while (!isOver) {
        await alone.withSession((session) => session.scalar('select 1'))
        reads += 1
      }
    })
    await waitUntil(() => reads > 100)
    for (let block = 0; block < 20; block++) {
      const before = reads
      await withSession(async (session) => {
        await session.scalar('select 1')
        await session.scalar('select 2')
      })
      // It waited for batches that were under way or before it, not for all reads that came.
      expect(reads - before).toBeLessThan(400)
    }
    isOver = true
    await Promise.all(reading)
  })

  test('reads get a connection among blocks', async () => {
    const { engine, alone } = await shared()
    const { withSession } = createSessionFactory({ bind: engine })
    let isOver = false
    let blocks = 0
    const working = numbers(10).map(async () => {
      while (!isOver) {
        await withSession(async (session) => {
          await session.scalar('select 1')
          await session.scalar('select 2')
        })
        blocks += 1
      }
    })
    await waitUntil(() => blocks > 20)
    for (let read = 0; read < 20; read++) {
      const before = blocks
      await alone.withSession((session) => session.scalar('select 1'))
      expect(blocks - before).toBeLessThan(100)
    }
    isOver = true
    await Promise.all(working)
  })

  test('a read that waits too long fails as before, and nothing else', async () => {
    const { engine, alone } = await shared()
    const [held] = await hold(engine, 1)
    const waiting = alone.withSession((session) => session.scalar('select 1'), { poolTimeoutMillis: 50 })
    const error = await errorOf(waiting)
    expect(error).toMatchObject({ code: 'POOL_TIMEOUT' })
    await held?.close()
    expect(await alone.withSession((session) => session.scalar('select 1'))).toBe(1)
  })

  test('a read that is aborted while it waits is not sent', async () => {
    const { alone, together } = await shared()
    const controller = new AbortController()
    const told = await together(() => {
      const calls = numbers(3).map((n) =>
        alone.withSession((session) =>
          session.scalar('select $1::int', [n], n === 1 ? { signal: controller.signal } : {}),
        ),
      )
      setImmediate(() => controller.abort())
      return calls
    })
    expect(values(told)).toEqual([0, expect.stringContaining('abort'), 2])
  })

  test('subscribers of the pool see an acquire of each read', async () => {
    const { engine, alone, together } = await shared({}, createPatientEngine)
    const acquired: number[] = []
    const off = engine.on('acquire', ({ connection }) => acquired.push(connection.id))
    const told = await together(() =>
      numbers(4).map((n) => alone.withSession((session) => session.scalar('select $1::int', [n]))),
    )
    off()
    expect(values(told)).toEqual([0, 1, 2, 3])
    expect(fixture.proxy.roundTrips).toBe(1)
    // The first is that of the holder.
    expect(acquired).toHaveLength(5)
    expect(new Set(acquired).size).toBe(1)
  })
})

test('the echo tells each read with its connection', async () => {
  const lines: string[] = []
  const log = (...parts: unknown[]): void =>
    void lines.push(parts.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join(' '))
  const { alone, together } = await shared({ echo: { info: log, debug: log, error: log } as never })
  await together(() =>
    numbers(3).map((n) => alone.withSession((session) => session.scalar(`select ${n} as shared`))),
  )
  for (const n of numbers(3))
    expect(lines.filter((line) => line.includes(`select ${n} as shared`))).toHaveLength(1)
})
