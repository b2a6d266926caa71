/** tarn, the pool of Knex, with connections of node-postgres. */
import pg from 'pg'
import { Pool } from 'tarn'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { SELECT_ITEM, nextId } from '../../harness/pool-workloads.js'

export const open: Open = (connectionString) => {
  const pool = new Pool<pg.Client>({
    create: async () => {
      const client = new pg.Client({ connectionString })
      await client.connect()
      return client
    },
    destroy: (client) => client.end(),
    min: POOL_SIZE,
    max: POOL_SIZE,
  })
  return {
    runs: {
      acquire: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const client = await pool.acquire().promise
          pool.release(client)
        }
      },
      query: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const client = await pool.acquire().promise
          await client.query({ name: 'select_item', text: SELECT_ITEM, values: [nextId()] })
          pool.release(client)
        }
      },
    },
    close: () => pool.destroy(),
  }
}
