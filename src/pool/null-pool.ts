/** A pool that keeps no connection: each lease opens one, and its release closes it. */
import { IllegalStateError } from '../errors.js'
import { limitsOf } from './limits.js'
import type { PoolParts } from './options.js'
import { QueuePool } from './queue-pool.js'

const UNLIMITED = { poolSize: 0, maxOverflow: -1 }

/**
 * Opens a connection for each lease and closes it on release: for serverless functions, and where something else (a
 * PgBouncer) does the pooling. Everything else is as in QueuePool: deadlines, retries, leaks, events, statistics.
 */
export class NullPool extends QueuePool {
  constructor(parts: PoolParts) {
    super(parts, { ...limitsOf(UNLIMITED), keep: 0 })
  }

  /** @throws IllegalStateError always: there is no size to change. */
  override resize(): never {
    throw new IllegalStateError('A NullPool has no size: every lease opens a connection of its own')
  }
}
