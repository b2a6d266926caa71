/** generic-pool without anything around it, with connections of node-postgres. */
import genericPool from 'generic-pool'
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { SELECT_ITEM, nextId } from '../../harness/pool-workloads.js'

export const open: Open = (connectionString) => {
  const pool = genericPool.createPool<pg.Client>(
    {
      create: async () => {
        const client = new pg.Client({ connectionString })
        await client.connect()
        return client
      },
      destroy: (client) => client.end(),
    },
    { min: POOL_SIZE, max: POOL_SIZE },
  )
  return {
    runs: {
      acquire: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const client = await pool.acquire()
          void pool.release(client)
        }
      },
      query: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const client = await pool.acquire()
          await client.query({ name: 'select_item', text: SELECT_ITEM, values: [nextId()] })
          void pool.release(client)
        }
      },
    },
    close: async () => {
      await pool.drain()
      await pool.clear()
    },
  }
}
