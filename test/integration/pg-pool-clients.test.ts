/** Clients of pg.Pool's face: who they are, how they are released, what happens when their connection is lost. */
import { once } from 'node:events'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { describe, expect, test } from 'vitest'
import { IllegalStateError, isDisconnect, isRetryable } from '../../src/index.js'
import type { PoolClient } from '../../src/integrations/pg-pool.js'
import { faced, warningsOf } from './pg-pool-support.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const ONE = { poolSize: 1, maxOverflow: 0 }

async function kill(client: PoolClient): Promise<void> {
  await fixture.db.query(`select pg_terminate_backend(${String(client.processID)})`)
}

const stored = async (): Promise<string[]> => {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

describe('a client', () => {
  test('is the same for each checkout of its connection, and keeps what is noted on it', async () => {
    const { pool } = faced(fixture, ONE)
    const first = await pool.connect()
    Object.assign(first, { __knexUid: 'x' })
    first.release()
    const again = await pool.connect()
    expect(again).toBe(first)
    expect(again).toHaveProperty('__knexUid', 'x')
    again.release()
  })

  test('is a client of pg, with a process id, an emitter and escapes', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    expect(client).toBeInstanceOf(pg.Client)
    expect((await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid).toBe(
      client.processID,
    )
    expect([client.escapeIdentifier('a"b'), client.escapeLiteral("it's")]).toEqual(['"a""b"', "'it''s'"])
    expect(client.host).not.toBe('')
    const notice = once(client, 'notice')
    await client.query("do $$ begin raise notice 'hello'; end $$")
    expect(await notice).toMatchObject([{ message: 'hello', severity: 'NOTICE' }])
    const notification = once(client, 'notification')
    await client.query('listen songs; select pg_notify($$songs$$, $$changed$$)')
    expect(await notification).toMatchObject([{ channel: 'songs', payload: 'changed' }])
    const calls: string[] = []
    client.on('custom', () => calls.push('late'))
    client.prependListener('custom', () => calls.push('early'))
    client.emit('custom')
    expect(calls).toEqual(['early', 'late'])
    expect(await errorOf(client.connect())).toBeInstanceOf(IllegalStateError)
    client.release()
  })

  test('tells the status of its transaction', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    const statuses = [client.getTransactionStatus()]
    await client.query('begin')
    statuses.push(client.getTransactionStatus())
    await errorOf(client.query('selec'))
    statuses.push(client.getTransactionStatus())
    await client.query('rollback')
    statuses.push(client.getTransactionStatus())
    expect(statuses).toEqual(['I', 'T', 'E', 'I'])
    client.release()
  })

  test('that is forgotten gives its connection back', async () => {
    const { pool, engine } = faced(fixture, { ...ONE, leakDetectionMillis: 20 })
    engine.on('leak', () => undefined)
    await (async () => {
      await (await pool.connect()).query('select 1')
    })()
    await expect
      .poll(
        () => {
          ;(globalThis as { gc?: () => void }).gc?.()
          return engine.stats().closed.reclaimed
        },
        { timeout: 20_000 },
      )
      .toBe(1)
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })
})

describe('release', () => {
  test('twice throws, and names the line of the first', async () => {
    const { pool, engine } = faced(fixture, ONE)
    const client = await pool.connect()
    client.release()
    const other = await pool.connect()
    const old = client.release
    expect(() => client.release()).not.toThrow()
    expect(() => old()).toThrow(/already been released to the pool.*pg-pool-clients\.test\.ts/)
    expect(other).toBe(client)
    expect(engine.stats().borrowed).toBe(0)
  })

  test('of an earlier checkout does not end a later one', async () => {
    const { pool, engine } = faced(fixture, ONE)
    const first = await pool.connect()
    const { release } = first
    release()
    const second = await pool.connect()
    expect(() => release()).toThrow(IllegalStateError)
    expect(engine.stats().borrowed).toBe(1)
    second.release()
  })

  test('refuses queries that come after it, in every form', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    client.release()
    expect((await errorOf(client.query('select 1'))).message).toMatch(
      /after its release\(\).*pg-pool-clients/,
    )
    const called = new Promise((resolve) => client.query('select 1', (error: Error) => resolve(error)))
    expect(await called).toMatchObject({ code: 'CONNECTION_CLOSED' })
    expect(await errorOf(client.query(new Cursor('select 1')).read(1))).toMatchObject({
      code: 'CONNECTION_CLOSED',
    })
  })

  test('waits for queries that were not awaited, also from their callbacks', async () => {
    const { pool, engine } = faced(fixture, ONE)
    const client = await pool.connect()
    const running = client.query("insert into notes values ('not awaited')")
    client.release()
    await running
    expect(await stored()).toContain('not awaited')
    const other = await pool.connect()
    await new Promise<void>((resolve) =>
      other.query('select 1', () => {
        other.release()
        resolve()
      }),
    )
    await expect.poll(() => engine.stats().idle).toBe(1)
    expect(engine.stats().closed.busy).toBe(0)
  })

  test('at the end of a cursor keeps the connection; with an open cursor it is closed', async () => {
    const { pool, engine } = faced(fixture, ONE)
    const client = await pool.connect()
    const cursor = client.query(new Cursor('select * from generate_series(1, 10)'))
    await cursor.read(1)
    await new Promise<void>((resolve) =>
      cursor.close(() => {
        client.release()
        resolve()
      }),
    )
    await expect.poll(() => engine.stats().idle).toBe(1)
    const next = await pool.connect()
    await next.query(new Cursor('select * from generate_series(1, 10)')).read(1)
    next.release()
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    expect(engine.stats().closed.busy).toBe(1)
  })

  test.each([new Error('broken'), true])('with %s closes the connection', async (error) => {
    const { pool, engine } = faced(fixture, ONE)
    const client = await pool.connect()
    const released: unknown[] = []
    pool.on('release', (...parameters: unknown[]) => released.push(parameters))
    client.release(error)
    expect(released).toEqual([[error, client]])
    const next = await pool.connect()
    expect(next).not.toBe(client)
    expect(engine.stats().closed.invalidated).toBe(1)
    next.release()
  })

  test.each(['begin', 'begin; selec'])(
    'inside of a transaction (%s) rolls back and warns with the line',
    async (text) => {
      const { pool } = faced(fixture, ONE)
      const client = await pool.connect()
      await client.query('begin')
      await client.query("insert into notes values ('left open')")
      if (text !== 'begin') await errorOf(client.query('selec'))
      const warnings = await warningsOf(() => {
        client.release()
        return Promise.resolve()
      })
      expect(warnings.join()).toMatch(
        /released inside a transaction, which is rolled back.*pg-pool-clients\.test\.ts/s,
      )
      expect(
        (await pool.query('select count(*)::int as n from notes where text = $1', ['left open'])).rows,
      ).toEqual([{ n: 0 }])
    },
  )
})

describe('COMMIT', () => {
  test('that PostgreSQL answers with ROLLBACK rejects with what had failed', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    await client.query('begin')
    await client.query("insert into notes values ('a')")
    const first = await errorOf(client.query("insert into notes values ('a')"))
    const error = await errorOf(client.query('/* x */ COMMIT'))
    expect(error).toMatchObject({ code: 'TRANSACTION_ABORTED', cause: first })
    expect(error.message).toContain('nothing was stored')
    expect(error.message).toContain('savepoint')
    expect(await stored()).not.toContain('a')
    expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    client.release()
  })

  test.each([
    ['END', 'end'],
    ['PREPARE TRANSACTION', "prepare transaction 'x'"],
    ['a script that begins with it', 'commit; select 1'],
  ])('as %s as well', async (_name, text) => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    await client.query('begin')
    await errorOf(client.query('selec'))
    expect(await errorOf(client.query(text))).toMatchObject({ code: 'TRANSACTION_ABORTED' })
    client.release()
  })

  test('after ROLLBACK TO a savepoint stores the rest', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    await client.query("begin; insert into notes values ('kept'); savepoint s")
    await errorOf(client.query('selec'))
    await client.query('rollback to savepoint s')
    expect(await client.query('commit')).toMatchObject({ command: 'COMMIT' })
    expect(await stored()).toContain('kept')
    client.release()
  })

  test('whose connection is lost has an unknown outcome', async () => {
    const { pool } = faced(fixture)
    await fixture.db.query(
      'create table if not exists later (id int primary key deferrable initially deferred)',
    )
    await fixture.db.query(
      "create or replace function wait() returns trigger language plpgsql as 'begin perform pg_sleep(60); return null; end'",
    )
    await fixture.db.query(
      'create constraint trigger slow after insert on later deferrable initially deferred for each row execute function wait()',
    )
    const client = await pool.connect()
    await client.query('begin')
    await client.query('insert into later values (1)')
    const committing = errorOf(client.query('commit'))
    await expect
      .poll(
        async () =>
          (
            await fixture.db.query(
              'select 1 from pg_stat_activity where wait_event = $$PgSleep$$ and datname = current_database()',
            )
          ).length,
      )
      .toBe(1)
    await kill(client)
    const error = await committing
    expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
    expect(isRetryable(error)).toBe(false)
    client.release()
  })
})

describe('a killed backend', () => {
  test('rejects the running query with the error of the server, and the next one as not sent', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    await client.query('begin')
    const running = errorOf(client.query('select pg_sleep(60)'))
    await expect
      .poll(
        async () =>
          (
            await fixture.db.query(
              'select 1 from pg_stat_activity where wait_event = $$PgSleep$$ and datname = current_database()',
            )
          ).length,
      )
      .toBe(1)
    await kill(client)
    expect(await running).toMatchObject({ code: '57P01' })
    const next = await errorOf(client.query('select 1'))
    expect(next).toMatchObject({ code: 'CONNECTION_LOST' })
    expect(next.message).toContain('is not queryable')
    expect(isDisconnect(next)).toBe(true)
    client.release()
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })

  test('of a client that does nothing is told by its event, and does not end the process', async () => {
    const { pool } = faced(fixture)
    const quiet = await pool.connect()
    await kill(quiet)
    await expect.poll(() => (quiet as unknown as { _queryable: boolean })._queryable).toBe(false)
    quiet.release()
    const heard = await pool.connect()
    const failed = once(heard, 'error')
    await kill(heard)
    expect(await failed).toMatchObject([{ message: expect.stringContaining('terminat') as string }])
    heard.release()
  })

  test('of an idle client is told by the event of the pool, with the client', async () => {
    const { pool, engine } = faced(fixture, ONE)
    const client = await pool.connect()
    client.release()
    const removed = new Promise((resolve) => pool.once('remove', resolve))
    const failed = new Promise((resolve) => pool.once('error', (_error, lost) => resolve(lost)))
    await kill(client)
    expect(await failed).toBe(client)
    expect(await removed).toBe(client)
    expect(pool.totalCount).toBe(0)
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    expect(engine.stats().closed.lost).toBe(1)
  })

  test('ends a cursor, a stream and a query of several statements', async () => {
    const { pool } = faced(fixture)
    const ends = async (run: (client: PoolClient) => Promise<unknown>) => {
      const client = await pool.connect()
      const running = errorOf(run(client))
      await kill(client)
      const error = await running
      client.release()
      return isDisconnect(error)
    }
    const SLOW = 'select pg_sleep(60)'
    expect(await ends((client) => client.query(new Cursor(SLOW)).read(1))).toBe(true)
    expect(await ends((client) => client.query(new QueryStream(SLOW)).toArray())).toBe(true)
    expect(await ends((client) => client.query(`${SLOW}; ${SLOW}`))).toBe(true)
  })

  test('of a write outside of a transaction has an unknown outcome; of a read it is the error of the server', async () => {
    const { pool } = faced(fixture)
    const run = async (text: string) => {
      const client = await pool.connect()
      const running = errorOf(client.query(text))
      await kill(client)
      const error = await running
      client.release()
      return error.code
    }
    expect(await run("insert into notes select 'x' from pg_sleep(60)")).toBe('COMMIT_OUTCOME_UNKNOWN')
    expect(await run('select pg_sleep(60)')).toBe('57P01')
  })
})
