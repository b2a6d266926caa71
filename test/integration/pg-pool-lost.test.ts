/** A client whose connection is lost does not keep its place in the pool, whether its caller ever releases it or not. */
import Cursor from 'pg-cursor'
import { expect, test } from 'vitest'
import type { PoolClient } from '../../src/integrations/pg-pool.js'
import { waitUntil } from '../helpers/wait-until.js'
import { faced } from './pg-pool-support.js'
import { errorOf, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase()
const ONE = { poolSize: 1, maxOverflow: 0 }

/** Terminates the backend of a client that does nothing, and waits until the pool has heard of it. */
async function lose(client: PoolClient, isForgotten: () => boolean): Promise<void> {
  await terminate(fixture.db, client.processID)
  await waitUntil(isForgotten)
}

test('a client that is lost while it does nothing makes room for the next caller, and refuses what its own caller asks', async () => {
  const { pool, engine } = faced(fixture, ONE)
  const client = await pool.connect()
  await client.query('begin')
  await lose(client, () => engine.stats().borrowed === 0)
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  expect(await errorOf(client.query('select 1'))).toMatchObject({ code: 'CONNECTION_LOST' })
  client.release()
  expect(engine.stats()).toMatchObject({ borrowed: 0, size: 1 })
})

test('a client whose BEGIN finds that the connection is lost makes room, although it is never released', async () => {
  const { pool, engine } = faced(fixture, ONE)
  for (let time = 0; time < 3; time++) {
    const client = await pool.connect()
    const lost = errorOf(client.query('begin; select pg_sleep(60)'))
    await terminate(fixture.db, client.processID)
    await lost
    await waitUntil(() => engine.stats().borrowed === 0)
  }
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})

test('a client that is lost with an open cursor makes room when the cursor has ended', async () => {
  const { pool, engine } = faced(fixture, ONE)
  const client = await pool.connect()
  const cursor = client.query(new Cursor('select generate_series(1, 100)'))
  expect(await cursor.read(1)).toHaveLength(1)
  await lose(client, () => engine.stats().borrowed === 0)
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})

test('a lost client is released once, which the pool tells its listeners, and a second release throws', async () => {
  const { pool, engine } = faced(fixture, ONE)
  const released: unknown[] = []
  pool.on('release', (_error, client) => released.push(client))
  const client = await pool.connect()
  await lose(client, () => engine.stats().borrowed === 0)
  expect(released).toEqual([])
  client.release(new Error('mine'))
  expect(released).toEqual([client])
  expect(() => client.release()).toThrow('already been released')
  const next = await pool.connect()
  expect(next).not.toBe(client)
  next.release()
  expect(engine.stats()).toMatchObject({ borrowed: 0, size: 1, idle: 1 })
})

test('end() does not wait for a lost client that is never released', async () => {
  const { pool, engine } = faced(fixture, ONE)
  const client = await pool.connect()
  await lose(client, () => engine.stats().borrowed === 0)
  await pool.end()
  expect(pool.ended).toBe(true)
})
