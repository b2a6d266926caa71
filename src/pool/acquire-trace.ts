/** Publishes an acquire on the channel `lifeguard:acquire`. Used only while the channel has subscribers. */
import { acquireChannel, type AcquireMessage } from '../internal/channels.js'
import type { Lease } from './pool.js'
import type { PoolContext } from './pool-context.js'
import type { TracedRequest } from './wait-queue.js'

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

/** Tells the receiver what becomes of its acquire, unless it was taken along. */
export function tellReceiver(request: TracedRequest, acquiring: Promise<Lease>): void {
  const { receiver } = request
  acquiring.then(
    (lease) => {
      if (!request.isTakenAlong) receiver.leased(lease)
    },
    (error: unknown) => receiver.refused(error),
  )
}
