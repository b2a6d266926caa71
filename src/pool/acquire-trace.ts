/** Publishes an acquire on the channel `lifeguard:acquire`. Used only while the channel has subscribers. */
import { acquireChannel, type AcquireMessage } from '../internal/channels.js'
import type { Lease } from './pool.js'
import type { PoolContext } from './pool-context.js'

export function traceAcquire(
  { name, engineId, statistics: { counters } }: PoolContext,
  acquire: () => Promise<Lease>,
): Promise<Lease> {
  const message: AcquireMessage = { pool: name, engineId, waited: false }
  return acquireChannel.tracePromise(async () => {
    const before = counters.waited
    const acquiring = acquire()
    // An acquire joins the queue at once or never.
    message.waited = counters.waited > before
    const lease = await acquiring
    message.connectionId = lease.connection.id
    return lease
  }, message)
}
