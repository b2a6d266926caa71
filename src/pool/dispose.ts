/** The disposal of a pool, within its time limit. */
import { checkMillis, refuseUnknownKeys } from '../internal/validate.js'
import type { Closer } from './closer.js'
import type { DisposeOptions, DisposeReport } from './pool.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'

const DISPOSE_MILLIS = 10_000

export interface Disposal {
  readonly closer: Closer
  /** Waiters that were rejected already. */
  readonly rejected: number
  /** Takes the connection from its lease. */
  readonly revoke: (record: ConnectionRecord) => void
  /** The listener is called when the last slot is free. */
  readonly onEmpty: (listener: () => void) => void
  /** The error of statements that are still running at the deadline. */
  readonly reason: () => Error
}

/** @throws InvalidOptionError */
export function checkDisposeOptions(options: DisposeOptions): void {
  refuseUnknownKeys('dispose', options, ['timeoutMillis'])
  checkMillis('timeoutMillis', options.timeoutMillis ?? null, { min: 0, also: [null] })
}

/** Closes idle connections, waits for those in use, and drops the remaining ones at the deadline. */
export async function dispose(
  pool: PoolContext,
  { timeoutMillis = DISPOSE_MILLIS }: DisposeOptions,
  { closer, rejected, revoke, onEmpty, reason }: Disposal,
): Promise<DisposeReport> {
  const { clock, slots, statistics } = pool
  const startedAt = clock.now()
  const closedBefore = statistics.closedCount
  const emptied = new Promise<void>((resolve) => onEmpty(resolve))
  for (const record of slots.takeIf(() => true)) closer.close(record, 'disposed')
  if (slots.size > 0 && timeoutMillis !== 0) await withinTime(pool, emptied, timeoutMillis)
  let forced = 0
  for (const record of [...slots.all()]) {
    if (record.state === 'closing') {
      // The socket is not closed after the Terminate message: a dead network must not delay the disposal.
      record.connection.destroy(reason())
    } else if (record.state !== 'connecting') {
      forced += 1
      if (record.state === 'borrowed') revoke(record)
      closer.drop(record, 'disposed', reason())
    }
  }
  if (slots.size > 0) await emptied
  const closed = statistics.closedCount - closedBefore - forced
  return { closed, forced, rejected, durationMillis: clock.now() - startedAt }
}

function withinTime(
  { clock }: PoolContext,
  emptied: Promise<void>,
  timeoutMillis: number | null,
): Promise<void> {
  if (timeoutMillis === null) return emptied
  return new Promise((resolve) => {
    const timer = clock.setTimer(resolve, timeoutMillis)
    void emptied.then(() => {
      timer.cancel()
      resolve()
    })
  })
}
