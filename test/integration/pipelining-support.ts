/** Sessions that wait for the connections of one pool, so that their reads are sent together (`pipelining`). */
import { afterEach, beforeEach } from 'vitest'
import type { Connection } from '../../src/engine/connection.js'
import { Engine } from '../../src/engine/engine.js'
import { type EngineOptions, resolveEngineOptions } from '../../src/engine/options.js'
import { systemClock } from '../../src/internal/clock.js'
import { createSessionFactory, type SessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useDatabase, type Fixture } from './session-support.js'

const SONGS = 100

export interface Shared {
  readonly engine: Engine
  readonly alone: SessionFactory
  /** Lets the sessions wait until all of them do, and then gives them the connection. */
  together<Value>(work: () => Promise<Value>[], waiting?: number): Promise<PromiseSettledResult<Value>[]>
}

/** What the tests of one file share. */
export interface PipeliningFixture extends Fixture {
  readonly proxy: Proxy
  shared(options?: EngineOptions, make?: (options: EngineOptions) => Engine): Promise<Shared>
}

/** Call it at the top of a test file. */
export function usePipelining(): PipeliningFixture {
  const fixture = useDatabase(
    'create table songs (id int primary key, title text not null)',
    `insert into songs select i, 'song ' || i from generate_series(1, ${SONGS}) i`,
    "create function leave_state() returns int volatile language sql as $$ select length(set_config('TimeZone', 'Asia/Tokyo', false)) $$",
    'create view leaving as select leave_state() as length',
  )
  let proxy: Proxy
  beforeEach(async () => {
    proxy = await startProxy(fixture.db.url)
  })
  afterEach(() => proxy.close())

  const shared: PipeliningFixture['shared'] = async (options = {}, make) => {
    const common = { url: proxy.url, poolSize: 1, maxOverflow: 0, pipelining: true }
    const engine = fixture.engine({ ...common, ...options }, make)
    const alone = createSessionFactory({ bind: engine, autocommit: true })
    // Known statements need no Parse, so that every round trip below is one of the reads.
    await alone.withSession((session) => session.scalar('select 1'))
    return {
      engine,
      alone,
      async together(work, waiting) {
        const held = await hold(engine, options.poolSize ?? 1)
        const calls = work()
        for (const call of calls) call.catch(() => undefined)
        await waitUntil(() => engine.stats().waiting === (waiting ?? calls.length))
        proxy.reset()
        await Promise.all(held.map((connection) => connection.close()))
        return Promise.allSettled(calls)
      },
    }
  }

  return {
    get db() {
      return fixture.db
    },
    get proxy() {
      return proxy
    },
    engine: fixture.engine,
    factory: fixture.factory,
    shared,
  }
}

/**
 * An engine that sees no time pass, so that no read of a batch is slow, however long the machine stands still: a slow read would be
 * sent again alone.
 */
export function createPatientEngine(options: EngineOptions): Engine {
  return new Engine({ options: resolveEngineOptions(options), clock: { ...systemClock, now: () => 0 } })
}

/** Takes all connections. */
export async function hold(engine: Engine, poolSize: number): Promise<Connection[]> {
  return Promise.all(Array.from({ length: poolSize }, () => engine.connect()))
}

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
export const values = (results: readonly PromiseSettledResult<unknown>[]): unknown[] =>
  results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason)))
export const titleOf = (session: Session, id: number): Promise<string | null> =>
  session.scalar<string>('select title from songs where id = $1', [id])
