/** What pg.Pool does beside its queries: how many connections it opens, when an idle one goes, what ends with the process. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { Pool, type PoolConfig } from '../../src/integrations/pg-pool.js'
import { compileProgram } from '../helpers/programs.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

function open(config: PoolConfig = {}): Pool {
  return new Pool({ connectionString: fixture.db.url, ...config })
}

test('as many connections are opened at a time as callers ask for, up to `max`', async () => {
  const pool = open({ max: 4 })
  const connecting = Array.from({ length: 6 }, () => pool.connect())
  expect([pool.totalCount, pool.waitingCount]).toEqual([4, 2])
  for (const client of connecting) void client.then((each) => each.release())
  await Promise.all(connecting)
  await pool.end()
})

test('`min` spares idle clients from the idle timeout; it opens none, and does not spare one that is spent', async () => {
  const pool = open({ max: 2, min: 1, idleTimeoutMillis: 10, maxUses: 2 })
  expect(pool.totalCount).toBe(0)
  const clients = await Promise.all([pool.connect(), pool.connect()])
  for (const client of clients) client.release()
  await waitUntil(() => pool.totalCount === 1)
  expect(pool.idleCount).toBe(1)
  await pool.query('select 1')
  await waitUntil(() => pool.totalCount === 0)
  await pool.end()
})

test('`_clients` are those of the open connections; end() of one rejects its query, and the pool goes on', async () => {
  const pool = open({ max: 1 })
  expect(pool._clients).toEqual([])
  const client = await pool.connect()
  expect(pool._clients).toEqual([client])
  client.release()
  const holder = new pg.Client({ connectionString: fixture.db.url })
  await holder.connect()
  await holder.query('select pg_advisory_lock(4711)')
  const failed = errorOf(pool.query('select pg_advisory_lock(4711)'))
  await waitUntil(async () => {
    const waiting = "select 1 from pg_locks where locktype = 'advisory' and objid = 4711 and not granted"
    return (await fixture.db.query(waiting)).length === 1
  })
  await pool._clients[0]?.end()
  expect((await failed).message).toMatch(/terminated|closed/i)
  await holder.end()
  expect(pool._clients).toEqual([])
  expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
  await pool.end()
})

test('an error of an idle client ends its connection in an orderly way: the stream sees the end of the server', async () => {
  const pool = open({ max: 1 })
  const client = await pool.connect()
  client.release()
  const told = new Promise<[Error, unknown]>((resolve) => {
    pool.on('error', (error: Error, from: unknown) => resolve([error, from]))
  })
  const ended = new Promise<void>((resolve) => void client.connection.stream.on('end', resolve))
  client.emit('error', new Error('on purpose'))
  const [error, from] = await told
  expect([error.message, (error as { client?: unknown }).client, from]).toEqual([
    'on purpose',
    client,
    client,
  ])
  await ended
  expect(pool.totalCount).toBe(0)
  await pool.end()
})

test('`binary` is for every query, and shows on the clients', async () => {
  const pool = open({ binary: true, max: 1 })
  const client = await pool.connect()
  expect(client).toMatchObject({ binary: true })
  const { rows, fields } = await client.query('select $1::int4 as n, $2::text as t', [7, 'x'])
  expect(rows).toEqual([{ n: 7, t: 'x' }])
  expect(fields.map(({ format }: { format: string }) => format)).toEqual(['binary', 'binary'])
  client.release()
  const one = { text: 'select $1::int4 as n', values: [7], binary: false }
  expect((await pool.query(one)).fields[0]?.format).toBe('text')
  await pool.end()
})

describe('the process', () => {
  const FILE = 'test/integration/pg-pool-process.fixture.ts'

  test.each([
    [false, 'removed', 'stays until the idle connection is closed'],
    [true, '', 'may end before'],
  ])('with allowExitOnIdle %s writes %j: it %s', async (allowExitOnIdle, written) => {
    const env = { ...process.env, DATABASE_URL: fixture.db.url }
    const args = [compileProgram(FILE), String(allowExitOnIdle)]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    expect(stdout).toBe(written)
  })
})
