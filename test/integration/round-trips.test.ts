/** How often a caller waits for the server, counted by a proxy. Round trips are the budget: these numbers only ever go down. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { EngineOptions } from '../../src/engine/options.js'
import type { TransactionOptions } from '../../src/pipeline/transaction-options.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (title text)')
let proxy: Proxy

beforeEach(async () => {
  proxy = await startProxy(fixture.db.url)
})
afterEach(() => proxy.close())

const READ = 'select count(*) from songs'
const WRITE = "insert into songs values ('Help!')"

/** A factory whose one connection is open. */
async function connected(options: EngineOptions = {}): Promise<SessionFactory> {
  // On a slow machine more than its default could pass between two transactions: their connection would be checked.
  const isAlive = { prePingSkipMillis: 60_000 }
  const factory = fixture.factory({ url: proxy.url, poolSize: 1, maxOverflow: 0, ...isAlive, ...options })
  await factory.withSession((session) => session.execute('select'))
  // Bursts that belong together arrive together: an answer cannot come between two of them.
  proxy.delay(3)
  return factory
}

interface Trips {
  /** Until the caller had its value. */
  readonly untilValue: number
  /** Until the connection was back in the pool, and what had been sent by then was answered. */
  readonly inAll: number
}

async function trips(factory: SessionFactory, work: () => Promise<unknown>): Promise<Trips> {
  proxy.reset()
  await work()
  const untilValue = proxy.roundTrips
  await waitUntil(() => {
    const messages = proxy.connections.flatMap((connection) => connection.messages)
    return factory.bind.stats().borrowed === 0 && messages.at(-1)?.from !== 'client'
  })
  return { untilValue, inAll: proxy.roundTrips }
}

/** The same with statements that the server has to parse, and with statements that it knows. */
async function tripsColdAndWarm(factory: SessionFactory, work: () => Promise<unknown>): Promise<Trips> {
  const cold = await trips(factory, work)
  expect(await trips(factory, work)).toEqual(cold)
  return cold
}

/** For what the caller does not wait for. */
async function untilValueColdAndWarm(factory: SessionFactory, work: () => Promise<unknown>): Promise<number> {
  const cold = await trips(factory, work)
  const warm = await trips(factory, work)
  expect(warm.untilValue).toBe(cold.untilValue)
  return warm.untilValue
}

const sent = (): string[] => proxy.connections.flatMap((connection) => connection.names('client'))

describe('a session', () => {
  test('in which nothing happens costs nothing, not even a connection', async () => {
    const factory = fixture.factory({ url: proxy.url })
    proxy.reset()
    await factory.withSession(() => 1)
    {
      await using session = factory()
      await session.commit()
      await session.rollback()
      await session.beginNested(() => 1)
    }
    expect(proxy.connections.filter(({ open }) => open)).toEqual([])
    expect(factory.bind.stats().size).toBe(0)
  })

  test('costs nothing beyond its connection when it only begins and ends blocks', async () => {
    const factory = await connected()
    const { inAll } = await trips(factory, () =>
      factory.withSession(async (session) => {
        await session.beginNested(() => session.beginNested(() => 1))
      }),
    )
    expect(inAll).toBe(0)
    expect(sent()).toEqual([])
  })

  test('with one statement that is returned: 1, COMMIT included', async () => {
    const factory = await connected()
    expect(await tripsColdAndWarm(factory, () => factory.withSession((s) => s.execute(WRITE)))).toEqual({
      untilValue: 1,
      inAll: 1,
    })
    expect(await tripsColdAndWarm(factory, () => factory.withSession((s) => s.scalar(READ)))).toEqual({
      untilValue: 1,
      inAll: 1,
    })
  })

  test('with one statement that is awaited: 2', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession(async (session) => {
        const count = await session.scalar(READ)
        return count
      })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('that is read-only, with one awaited statement: 1 until its value, COMMIT after it', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession(
        async (session) => {
          const count = await session.scalar(READ)
          return count
        },
        { readOnly: true },
      )
    expect(await untilValueColdAndWarm(factory, work)).toBe(1)
    await waitUntil(() => proxy.connections.some((one) => one.messages.at(-2)?.text === 'COMMIT'))
    expect(proxy.roundTrips).toBe(2)
  })

  test('after nothing but reads its COMMIT is sent in the batch of the next waiting caller', async () => {
    const factory = await connected()
    const read = () =>
      factory.withSession(async (session) => {
        const count = await session.scalar(READ)
        return count
      })
    const { inAll } = await trips(factory, () => Promise.all([read(), read(), read()]))
    // Two each without that.
    expect(inAll).toBe(4)
    // Each COMMIT has an answer of its own, before what travels with it is run; no caller waits behind the last one.
    expect(sent().filter((name) => name === 'Sync' || name === 'Query')).toEqual([
      'Sync',
      'Query',
      'Sync',
      'Query',
      'Sync',
      'Sync',
    ])
  })

  test('begins in the batch that ends a read-only one before it, whose modes do not go over', async () => {
    const factory = await connected()
    const read = (options: TransactionOptions = {}) =>
      factory.withSession(
        async (session) => session.execute("select now()::text, current_setting('transaction_read_only')"),
        { readOnly: true, ...options },
      )
    const syncs = (): number =>
      proxy.connections.flatMap(({ messages }) => messages.filter(({ name }) => name === 'Sync')).length
    proxy.reset()
    const results = await Promise.all([read(), read(), read()])
    // The COMMIT of the last one is a query of its own.
    expect(syncs()).toBe(3)
    const rows = results.map((result) => result.one() as { now: string; current_setting: string })
    expect(new Set(rows.map(({ now }) => now)).size).toBe(3)
    expect(rows.map(({ current_setting }) => current_setting)).toEqual(['on', 'on', 'on'])
    // Nothing goes over to a transaction that begins differently.
    await Promise.all([
      read({ isolationLevel: 'REPEATABLE READ', settings: { 'app.tenant': '7' } }),
      factory.withSession(async (session) => {
        const level = await session.scalar(
          "select current_setting('transaction_isolation') || coalesce(current_setting('app.tenant', true), '')",
        )
        expect(level).toBe('read committed')
        await session.execute(WRITE)
      }),
    ])
  })

  test('that is read-only sends COMMIT in the batch of the next waiting caller, or at once', async () => {
    const factory = await connected()
    const read = () => factory.withSession(async (session) => session.scalar(READ), { readOnly: true })
    const inTurn = async () => {
      for (let count = 0; count < 3; count++) await read()
    }
    // No caller waits: COMMIT is sent before the code that follows the block runs.
    const alone = ['Sync', 'Query', 'Sync', 'Query', 'Sync', 'Query']
    const together = ['Sync', 'Sync', 'Sync', 'Query']
    for (const [work, expected] of [
      [inTurn, alone],
      [() => Promise.all([read(), read(), read()]), together],
    ] as const) {
      await trips(factory, work)
      await waitUntil(() => sent().at(-1) === 'Query')
      expect(sent().filter((name) => name === 'Sync' || name === 'Query')).toEqual(expected)
    }
  })

  test('that is read-only and serializable waits for COMMIT, which can still fail', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession((session) => session.scalar(READ).then((count) => count), {
        readOnly: true,
        isolationLevel: 'SERIALIZABLE',
      })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('that is read-only, on a database whose transactions are serializable, waits for COMMIT, too', async () => {
    await fixture.db.query(
      `alter database "${fixture.db.name}" set default_transaction_isolation to 'serializable'`,
    )
    const factory = await connected()
    const work = () =>
      factory.withSession((session) => session.scalar(READ).then((count) => count), { readOnly: true })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
    await fixture.db.query(`alter database "${fixture.db.name}" reset default_transaction_isolation`)
  })

  test('with three statements at once: no more than with one', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession((session) =>
        Promise.all([session.execute(READ), session.execute(WRITE), session.execute(READ)]),
      )
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('with a hundred writes at once: no more than with one', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession((session) => Promise.all(Array.from({ length: 100 }, () => session.execute(WRITE))))
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('with a statement and commit() in one tick: 1', async () => {
    const factory = await connected()
    const work = async () => {
      await using session = factory()
      const writing = session.execute(WRITE)
      await session.commit()
      await writing
    }
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 1, inAll: 1 })
  })

  test('with one statement and rollback(): 2', async () => {
    const factory = await connected()
    const work = async () => {
      await using session = factory()
      await session.execute(WRITE)
      await session.rollback()
    }
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('whose only statement fails: 2, ROLLBACK included', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession((session) => session.execute('select 1 / 0')).catch(() => undefined)
    expect(await trips(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('a statement after a failure costs nothing', async () => {
    const factory = await connected()
    const work = async () => {
      await using session = factory()
      await session.execute('select 1 / 0').catch(() => undefined)
      await session.execute(READ).catch(() => undefined)
      await session.commit().catch(() => undefined)
      await session.rollback()
    }
    expect(await trips(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })
})

describe('autocommit', () => {
  test('costs 1 for one statement', async () => {
    const factory = await connected()
    const work = () => factory.withSession((session) => session.execute(WRITE), { autocommit: true })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 1, inAll: 1 })
  })

  test('costs 1 for three statements at once', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession(
        (session) => Promise.all([session.execute(WRITE), session.execute(WRITE), session.execute(READ)]),
        { autocommit: true },
      )
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 1, inAll: 1 })
  })
})

describe('a savepoint block', () => {
  test('with one statement costs nothing beyond that statement', async () => {
    const factory = await connected()
    const plain = await tripsColdAndWarm(factory, () =>
      factory.withSession(async (session) => {
        await session.execute(WRITE)
        await session.execute(WRITE)
      }),
    )
    const nested = await tripsColdAndWarm(factory, () =>
      factory.withSession(async (session) => {
        await session.execute(WRITE)
        await session.beginNested(() => session.execute(WRITE))
      }),
    )
    expect(nested).toEqual(plain)
  })

  test('that throws costs no more than the failing statement, where another statement follows', async () => {
    const factory = await connected()
    const work = () =>
      factory.withSession(async (session) => {
        await session.execute(WRITE)
        await session.beginNested(() => session.execute('select 1 / 0')).catch(() => undefined)
        await session.execute(WRITE)
      })
    expect(await trips(factory, work)).toEqual({ untilValue: 4, inAll: 4 })
  })
})

describe('what a transaction begins with costs nothing', () => {
  const OPTIONS: Readonly<Record<string, TransactionOptions>> = {
    isolation: { isolationLevel: 'REPEATABLE READ' },
    'a read-only mode': { readOnly: true },
    'a deferrable snapshot': { isolationLevel: 'SERIALIZABLE', readOnly: true, deferrable: true },
    timeouts: { statementTimeoutMillis: 5000, lockTimeoutMillis: 1000, idleInTransactionTimeoutMillis: 9000 },
    settings: { settings: { 'app.tenant': '7', 'app.user': 'ringo' } },
    'a role': { role: 'pg_monitor' },
    'all of it': {
      isolationLevel: 'REPEATABLE READ',
      readOnly: true,
      statementTimeoutMillis: 5000,
      lockTimeoutMillis: 1000,
      settings: { 'app.tenant': '7' },
      role: 'pg_monitor',
    },
  }

  test.each(Object.entries(OPTIONS))('%s', async (_name, options) => {
    const factory = await connected()
    const work = () => factory.withSession((session) => session.execute('select 1'), options)
    const { untilValue, inAll } = await tripsColdAndWarm(factory, work)
    expect({ untilValue, inAll }).toEqual({ untilValue: 1, inAll: 1 })
  })
})

describe('the proof that an idle connection is alive', () => {
  const idle: EngineOptions = { prePingSkipMillis: 0 }

  test('costs nothing before a transaction of several round trips', async () => {
    const factory = await connected(idle)
    const work = () =>
      factory.withSession(async (session) => {
        await session.execute(WRITE)
      })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
    expect(sent()).toContain('Flush')
  })

  test('costs nothing before a read-only read', async () => {
    const factory = await connected(idle)
    const awaited = () =>
      factory.withSession((session) => session.scalar(READ).then((count) => count), { readOnly: true })
    expect(await untilValueColdAndWarm(factory, awaited)).toBe(1)
  })

  test('keeps COMMIT from riding: it goes when BEGIN was answered', async () => {
    const factory = await connected(idle)
    const work = () => factory.withSession((session) => session.execute(WRITE))
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('does not keep a COMMIT from riding that can store nothing', async () => {
    const factory = await connected(idle)
    const work = () => factory.withSession((session) => session.execute(READ), { readOnly: true })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 1, inAll: 1 })
    expect(sent()).toContain('Flush')
  })

  test('keeps COMMIT from riding in a read-only transaction that may have made itself a writing one', async () => {
    const factory = await connected(idle)
    const work = () =>
      factory.withSession((session) => session.execute('set transaction read write'), { readOnly: true })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })

  test('is a round trip of its own only in autocommit mode', async () => {
    const factory = await connected(idle)
    const work = () => factory.withSession((session) => session.execute(WRITE), { autocommit: true })
    expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
  })
})

test('connections on loan cost nothing when they come and go', async () => {
  const factory = await connected()
  const work = async () => {
    await using connection = await factory.bind.connect()
    await connection.execute(WRITE)
    await connection.commit()
  }
  expect(await tripsColdAndWarm(factory, work)).toEqual({ untilValue: 2, inAll: 2 })
})
