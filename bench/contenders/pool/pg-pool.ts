/** node-postgres's own pool. */
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { SELECT_ITEM, nextId } from '../../harness/pool-workloads.js'

export const open: Open = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 })
  return {
    runs: {
      acquire: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const client = await pool.connect()
          client.release()
        }
      },
      query: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const client = await pool.connect()
          await client.query({ name: 'select_item', text: SELECT_ITEM, values: [nextId()] })
          client.release()
        }
      },
    },
    close: () => pool.end(),
  }
}
