/**
 * Finds leases that are not released: held too long, or garbage-collected.
 *
 * 1. A short lease costs nothing: only leases that are still checked out at a tick of the housekeeper are registered.
 * 2. A registered lease is not kept alive by the pool. Nor is, after its checkout, its record: a broken connection may refer to the
 *    lease (through the stack of an error), which would then never be collected.
 */
import { leakChannel, type LeakMessage } from '../internal/channels.js'
import type { LeakEvent } from './events.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import { readStack } from './call-site.js'
import { stackOf } from './diagnostics.js'

interface Checkout {
  readonly record: ConnectionRecord
  readonly number: number
}

export class LeakWatch {
  readonly #pool: PoolContext
  readonly #collected: FinalizationRegistry<Checkout>

  /** @param reclaim Called with the record of a lease that was collected. */
  constructor(pool: PoolContext, reclaim: (record: ConnectionRecord) => void) {
    this.#pool = pool
    this.#collected = new FinalizationRegistry(({ record, number }) => {
      if (record.checkout === number) reclaim(record)
    })
  }

  /** Looks at the slots that are checked out. */
  inspect(records: Iterable<ConnectionRecord>, now: number): void {
    for (const record of records) {
      if (record.state !== 'borrowed') continue
      this.#watch(record)
      if (this.#isOverdue(record, now)) {
        record.leakReported = true
        this.#pool.statistics.counters.leaked += 1
        this.report(record, 'held', now)
      }
    }
  }

  /** Drops the pool's own references to the lease, so that it can be collected if its holder forgets it. */
  #watch(record: ConnectionRecord): void {
    if (record.lease === undefined) return
    this.#collected.register(record.lease, { record, number: record.checkout }, record)
    record.lease = undefined
    readStack(record.callSite)
  }

  /** The checkout is about to end, so there is nothing to reclaim. */
  forget(record: ConnectionRecord): void {
    const isWatched = record.lease === undefined
    if (isWatched) this.#collected.unregister(record)
  }

  #isOverdue(record: ConnectionRecord, now: number): boolean {
    const { leakDetectionMillis } = this.#pool.options
    return leakDetectionMillis > 0 && !record.leakReported && now - record.acquiredAt >= leakDetectionMillis
  }

  report(record: ConnectionRecord, stage: LeakEvent['stage'], now: number): void {
    const { name, events } = this.#pool
    const { connection, statement } = record
    const heldMillis = now - record.acquiredAt
    const stack = stackOf(record.callSite)
    if (leakChannel.hasSubscribers) {
      const message: LeakMessage = { pool: name, connectionId: connection.id, heldMillis, stage, stack }
      leakChannel.publish(message)
    }
    if (events.has('leak')) events.emit('leak', { connection, heldMillis, stage, statement, stack })
    else if (!leakChannel.hasSubscribers) warn(name, connection.id, { heldMillis, stage, stack })
  }
}

const STAGES: Readonly<Record<LeakEvent['stage'], string>> = {
  held: 'is still checked out',
  returned: 'was released after all',
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
