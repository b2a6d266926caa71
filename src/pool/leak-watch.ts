/**
 * Finds leases that nobody gives back: those held too long, and those that were garbage-collected.
 *
 * 1. A short lease costs nothing: only leases that are still out at a tick of the housekeeper are registered.
 * 2. From then on the pool does not keep the lease alive.
 */
import { leakChannel, type LeakMessage } from '../internal/channels.js'
import type { Emitter } from '../internal/emitter.js'
import type { LeakEvent, PoolEvents } from './events.js'
import type { ConnectionRecord } from './record.js'
import { stackOf } from './timeout-error.js'

export interface LeakWatchParts {
  readonly pool: string
  readonly events: Emitter<PoolEvents>
  /** 0 = do not report leases that are merely held long. */
  readonly leakDetectionMillis: number
  /** The lease was collected: take the connection back. */
  readonly reclaim: (record: ConnectionRecord) => void
}

interface Loan {
  readonly record: ConnectionRecord
  readonly number: number
}

export class LeakWatch {
  readonly #parts: LeakWatchParts
  readonly #collected = new FinalizationRegistry<Loan>(({ record, number }) => {
    if (record.loan === number) this.#parts.reclaim(record)
  })

  constructor(parts: LeakWatchParts) {
    this.#parts = parts
  }

  /** Looks at a borrowed slot. Returns true if it is reported for the first time. */
  inspect(record: ConnectionRecord, now: number): boolean {
    if (record.lease !== undefined) {
      this.#collected.register(record.lease, { record, number: record.loan })
      record.lease = undefined
    }
    const limit = this.#parts.leakDetectionMillis
    if (limit === 0 || record.leakReported || now - record.acquiredAt < limit) return false
    record.leakReported = true
    this.report(record, 'held', now)
    return true
  }

  report(record: ConnectionRecord, stage: LeakEvent['stage'], now: number): void {
    const { pool, events } = this.#parts
    const { connection, statement } = record
    const heldMillis = now - record.acquiredAt
    const stack = stackOf(record.origin)
    if (leakChannel.hasSubscribers) {
      const message: LeakMessage = { pool, connectionId: connection.id, heldMillis, stage, stack }
      leakChannel.publish(message)
    }
    if (events.has('leak')) events.emit('leak', { connection, heldMillis, stage, statement, stack })
    else if (!leakChannel.hasSubscribers) warn(pool, connection.id, { heldMillis, stage, stack })
  }
}

const STAGES: Readonly<Record<LeakEvent['stage'], string>> = {
  held: 'is still out',
  returned: 'came back after all',
  reclaimed: 'was garbage-collected without release; its connection was closed',
}

function warn(
  pool: string,
  connectionId: number,
  leak: Pick<LeakEvent, 'heldMillis' | 'stage' | 'stack'>,
): void {
  const held = String(Math.round(leak.heldMillis))
  const text = `Pool '${pool}': the lease of connection ${String(connectionId)} ${STAGES[leak.stage]} (${held} ms)`
  const where = leak.stack === undefined ? '' : `; acquired\n${leak.stack}`
  process.emitWarning(text + where, { type: 'LifeguardWarning', code: 'LIFEGUARD_LEAK' })
}
