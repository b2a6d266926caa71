/** The pool itself: what libraries look at, its events and counts, its end, and pg's options. */
import { createRequire } from 'node:module'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { InvalidOptionError, PoolTimeoutError } from '../../src/index.js'
import { Pool, poolFrom, type PoolClient, type PoolConfig } from '../../src/integrations/pg-pool.js'
import { faced } from './pg-pool-support.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const ONE = { poolSize: 1, maxOverflow: 0 }

/** A pool in place of pg's. */
async function withPool<Value>(config: PoolConfig, work: (pool: Pool) => Promise<Value>): Promise<Value> {
  const pool = new Pool({ connectionString: fixture.db.url, ...config })
  try {
    return await work(pool)
  } finally {
    if (!pool.ending) await pool.end()
  }
}

describe('what libraries look at', () => {
  test('instanceof, the name of the class, and names that it must not have', () => {
    const { pool } = faced(fixture)
    expect(pool).toBeInstanceOf(pg.Pool)
    expect(pool).toBeInstanceOf(Pool)
    expect(pool.constructor.name).toBe('Pool')
    expect('connect' in pool).toBe(true)
    // better-auth would take it for another database, and a promise would be waited for.
    const others = [
      'then',
      'db',
      'dialect',
      'createDriver',
      'aggregate',
      'getConnection',
      'fileControl',
      'createSession',
      'batch',
    ]
    expect(others.filter((name) => name in pool)).toEqual([])
    expect(pool.listeners('error').length + pool.listeners('connect').length).toBeGreaterThan(1)
  })

  test('a subclass keeps its methods', async () => {
    class Counted extends Pool {
      queries = 0
      override query(...parameters: never[]): never {
        this.queries++
        return super.query(...(parameters as unknown as Parameters<Pool['query']>)) as never
      }
    }
    const pool = new Counted({ connectionString: fixture.db.url })
    await (pool as Pool).query('select 1')
    expect(pool.queries).toBe(1)
    expect(pool).toBeInstanceOf(pg.Pool)
    await pool.end()
  })

  test('options: limits and names, the password not in sight', async () => {
    const { pool } = faced(fixture, { poolSize: 3, maxOverflow: 4, idleTimeoutMillis: 5_000 })
    expect(pool.options).toMatchObject({ max: 7, min: 0, idleTimeoutMillis: 5_000 })
    expect(JSON.stringify(pool.options)).not.toContain(fixture.db.url)
    await withPool({ password: 'secret', max: 2 }, (own) => {
      expect(own.options).toMatchObject({ max: 2 })
      expect(JSON.stringify(own.options)).not.toContain('secret')
      return Promise.resolve()
    })
  })
})

describe('events and counts', () => {
  test('connect once for each connection, before its first caller; acquire and release for each checkout', async () => {
    const { pool } = faced(fixture, ONE)
    const seen: string[] = []
    pool.on('connect', (client: PoolClient) => {
      seen.push('connect')
      void client.query("set application_name = 'from the listener'")
    })
    pool.on('acquire', () => seen.push('acquire'))
    pool.on('release', () => seen.push('release'))
    expect((await pool.query('show application_name')).rows).toEqual([
      { application_name: 'from the listener' },
    ])
    await pool.query('select 1')
    expect(seen).toEqual(['connect', 'acquire', 'release', 'acquire', 'release'])
  })

  test('counts of total, idle and waiting', async () => {
    const { pool } = faced(fixture, ONE)
    const counts = () => [pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount]
    expect(counts()).toEqual([0, 0, 0, 0])
    const connecting = pool.connect()
    expect(counts()).toEqual([1, 0, 0, 0])
    const client = await connecting
    const second = pool.connect()
    expect(counts()).toEqual([1, 0, 1, 0])
    client.release()
    ;(await second).release()
    expect(counts()).toEqual([1, 1, 0, 0])
  })

  test('a listener that throws does not lose the connection', async () => {
    const { pool, engine } = faced(fixture, ONE)
    pool.once('connect', () => {
      throw new Error('listener')
    })
    expect((await errorOf(pool.query('select 1'))).message).toBe('listener')
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    expect(engine.stats().borrowed).toBe(0)
  })
})

describe('end', () => {
  test('of a pool on an engine waits for its clients, and leaves the engine', async () => {
    const { pool, engine } = faced(fixture, ONE)
    const client = await pool.connect()
    const waiting = pool.query('select 1 as x')
    const ending = pool.end()
    expect([pool.ending, pool.ended]).toEqual([true, false])
    client.release()
    expect((await waiting).rows).toEqual([{ x: 1 }])
    await ending
    expect(pool.ended).toBe(true)
    expect((await errorOf(pool.query('select 1'))).message).toBe(
      'Cannot use a pool after calling end on the pool',
    )
    expect((await errorOf(pool.end())).message).toBe('Called end on pool more than once')
    expect((await poolFrom(engine).query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })

  test('of a pool of its own closes every connection, also by callback', async () => {
    await withPool({ max: 3, application_name: 'ending' }, async (pool) => {
      await Promise.all([pool.query('select 1'), pool.query('select 2')])
      await new Promise<void>((resolve) => {
        expect(pool.end(() => resolve())).toBeUndefined()
      })
      await expect
        .poll(() => fixture.db.query("select 1 from pg_stat_activity where application_name = 'ending'"))
        .toEqual([])
    })
  })
})

describe('pg options', () => {
  test('lead to settings of the session, limits and hooks', async () => {
    const seen: string[] = []
    const config: PoolConfig = {
      application_name: 'mapped',
      statement_timeout: 12_345,
      lock_timeout: 1_234,
      idle_in_transaction_session_timeout: 54_321,
      max: 1,
      maxUses: 2,
      connectionTimeoutMillis: 200,
      onConnect: async (client) => {
        await client.query("set search_path = 'public'")
        seen.push('onConnect')
      },
      verify: (_client, done) => {
        seen.push('verify')
        done()
      },
    }
    await withPool(config, async (pool) => {
      const show = async (name: string) =>
        Object.values((await pool.query(`show ${name}`)).rows[0] as object)[0] as string
      expect(await show('application_name')).toBe('mapped')
      expect(await show('statement_timeout')).toBe('12345ms')
      // The third use is of a second connection.
      expect(await show('lock_timeout')).toBe('1234ms')
      expect(seen).toEqual(['onConnect', 'verify', 'onConnect', 'verify'])
      const client = await pool.connect()
      expect(await errorOf(pool.query('select 1'))).toBeInstanceOf(PoolTimeoutError)
      client.release()
    })
  })

  test('a hook that throws rejects the connect, and the connection is closed', async () => {
    let fails = true
    const onConnect = (): void => {
      if (fails) throw new Error('hook')
    }
    await withPool({ onConnect, max: 1 }, async (pool) => {
      expect((await errorOf(pool.connect())).message).toBe('hook')
      expect(pool.totalCount).toBe(0)
      fails = false
      expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    })
  })

  test.each([
    [{ poolTimeoutMillis: 1 }, /no option 'poolTimeoutMillis'; pg calls it connectionTimeoutMillis/],
    [{ echo: true }, /no option 'echo'.*poolFrom\(createEngine/],
    [{ Client: class {} }, /Client: /],
    [{ Promise: class {} }, /Promise: /],
    [{ client_encoding: 'latin1' }, /UTF8/],
    [{ max: -1 }, /max is a number of at least 0, not -1/],
    ['postgres://x', /takes an object/],
  ] as const)('%o is refused', (options, message) => {
    const make = () => new Pool(options as never)
    expect(make).toThrow(InvalidOptionError)
    expect(make).toThrow(message)
  })

  test('a server that cannot be reached, or refuses, gives the error of pg at once', async () => {
    await withPool({ connectionString: undefined, host: '127.0.0.1', port: 1 }, async (pool) => {
      expect(await errorOf(pool.query('select 1'))).toMatchObject({ code: 'ECONNREFUSED' })
    })
    const url = new URL(fixture.db.url)
    url.pathname = '/nowhere'
    await withPool({ connectionString: url.href }, async (pool) => {
      const error = await errorOf(pool.connect())
      expect(error).toMatchObject({ code: '3D000' })
      expect(error.stack).toContain('pg-pool-pool.test.ts')
    })
  })
})

test('an application with a copy of pg of its own names it, and `instanceof` holds for that copy', async () => {
  const require = createRequire(import.meta.url)
  const paths = Object.keys(require.cache).filter((path) =>
    /node_modules.pg(?:-pool)?.(?:lib|index)/.test(path),
  )
  const kept = paths.map((path) => [path, require.cache[path]] as const)
  for (const path of paths) delete require.cache[path]
  const copy = require('pg') as typeof pg
  for (const [path, module] of kept) require.cache[path] = module
  const pool = poolFrom(fixture.engine(), { pg: copy })
  expect(copy.Pool).not.toBe(pg.Pool)
  expect(pool).toBeInstanceOf(copy.Pool)
  expect(pool.constructor.name).toBe('Pool')
  expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
})
