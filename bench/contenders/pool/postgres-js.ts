/** postgres.js, whose `reserve()` is its acquire. */
import postgres from 'postgres'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextId } from '../../harness/pool-workloads.js'

export const open: Open = (url) => {
  const sql = postgres(url, { max: POOL_SIZE, ssl: false })
  return {
    runs: {
      acquire: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const reserved = await sql.reserve()
          reserved.release()
        }
      },
      query: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const reserved = await sql.reserve()
          await reserved`SELECT id, name, price, note FROM item WHERE id = ${nextId()}`
          reserved.release()
        }
      },
    },
    close: () => sql.end(),
  }
}
