/** Lifeguard's pool, alone and as `engine.connect()`. Variants: `no pre-ping`, `FIFO`, `captureStacks`. */
import { createEngine } from 'lifeguard'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { SELECT_ITEM, nextId } from '../../harness/pool-workloads.js'
import { createPgDriver } from '../../../src/driver/pg-driver.js'
import type { PoolOptions } from '../../../src/pool/options.js'
import { resolvePoolOptions } from '../../../src/pool/resolve-options.js'
import { QueuePool } from '../../../src/pool/queue-pool.js'

const VARIANTS: Readonly<Record<string, PoolOptions>> = {
  'no pre-ping': { poolPrePing: false },
  FIFO: { poolUseLifo: false },
  captureStacks: { captureStacks: true },
}

export const open: Open = (url, variant = '') => {
  const options: PoolOptions = {
    poolSize: POOL_SIZE,
    maxOverflow: 0,
    captureStacks: false,
    ...VARIANTS[variant],
  }
  const driver = createPgDriver({ url, statementCacheSize: 256 })
  const pool = new QueuePool({ driver, name: 'bench', options: resolvePoolOptions(options) })
  const engine = createEngine({ url, ...options })

  return {
    runs: {
      acquire: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const lease = await pool.acquire()
          lease.release()
        }
      },
      query: async (cycles) => {
        for (let cycle = 0; cycle < cycles; cycle += 1) {
          const connection = await engine.connect({ autocommit: true })
          await connection.execute(SELECT_ITEM, [nextId()])
          await connection.close()
        }
      },
    },
    close: () => Promise.all([pool.dispose(), engine.dispose()]),
  }
}
