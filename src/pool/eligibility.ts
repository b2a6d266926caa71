/**
 * Whether a connection may be handed out: its state, its age and the generation of the pool that it was opened in. Asked at
 * each checkout, at each release and by the housekeeper.
 */
import type { PoolContext } from './pool-context.js'
import type { ConnectionRecord } from './record.js'
import type { CloseReason } from './stats.js'

export class Eligibility {
  readonly #pool: PoolContext
  /** True once the pool is being disposed: no connection is handed out again. */
  disposed = false
  #generation = 0

  constructor(context: PoolContext) {
    this.#pool = context
  }

  /** Incremented once per disconnect and by `refresh()`. Connections of an older generation are replaced. */
  get generation(): number {
    return this.#generation
  }

  /** Why a connection must not be handed out; undefined if it may. */
  unfit(record: ConnectionRecord, now: number): CloseReason | undefined {
    if (this.disposed) return 'disposed'
    if (record.connection.lost !== undefined) return 'lost'
    if (record.softInvalidated) return 'invalidated'
    if (record.generation !== this.#generation) return 'stale'
    return now >= record.recycleAt ? 'recycled' : undefined
  }

  /** True if a released connection may become idle: then it is worth a reset. */
  keeps(record: ConnectionRecord, now: number): boolean {
    return this.#pool.limits.keep > 0 && this.unfit(record, now) === undefined
  }

  /** True if the connection was idle for so long that it must answer a ping before it is used. */
  needsPing(record: ConnectionRecord, now: number): boolean {
    const { poolPrePing, prePingSkipMillis } = this.#pool.options
    return poolPrePing && now - record.lastAliveAt >= prePingSkipMillis
  }

  /** Replaces all connections that are as old as this one: once per incident, however many connections notice it. */
  outdate(record: ConnectionRecord, reason: unknown): void {
    if (record.generation === this.#generation) this.nextGeneration(reason)
  }

  /** Replaces all connections but this one, which leads to another primary than the earlier ones. */
  supersede(record: ConnectionRecord): void {
    this.outdate(record, new Error('A new connection has found another primary'))
    record.generation = this.#generation
  }

  /** Replaces all connections: each one is closed before it would be handed out again. */
  nextGeneration(reason: unknown): void {
    this.#generation += 1
    this.#pool.events.emit('generation', { generation: this.#generation, reason })
  }
}
