/** The replicas of a session factory: which one is asked next, and which ones are left out because they did not answer. */
import type { Engine } from '../engine/engine.js'
import type { Clock } from '../internal/clock.js'
import type { WalPosition } from '../internal/wal-position.js'
import type { Lease, ReleaseOptions } from '../pool/pool.js'
import type { DriverConnection } from '../driver/driver.js'

const FIRST_PAUSE_MILLIS = 1_000
const LONGEST_PAUSE_MILLIS = 30_000

export class Replica {
  readonly engine: Engine
  /** Connections that are in use, or asked for. */
  inFlight = 0
  readonly #clock: Clock
  /** How far it is known to be. */
  #replayed: WalPosition | undefined = undefined
  #failures = 0
  #ejectedUntil = -Infinity

  constructor(engine: Engine, clock: Clock) {
    this.engine = engine
    this.#clock = clock
  }

  /** False: it has failed, and its pause is not over. */
  get isIn(): boolean {
    return this.#clock.now() >= this.#ejectedUntil
  }

  /** It gave no connection: it is left out, each time for twice as long. Then one caller tries it again. */
  eject(): void {
    const pause = Math.min(FIRST_PAUSE_MILLIS * 2 ** this.#failures, LONGEST_PAUSE_MILLIS)
    this.#failures += 1
    this.#ejectedUntil = this.#clock.now() + pause
  }

  /** It gave a connection. */
  answered(): void {
    this.#failures = 0
  }

  /** True if it was that far before: a server never goes back on one timeline. */
  isPast({ system, timeline, lsn }: WalPosition): boolean {
    const known = this.#replayed
    return known !== undefined && known.system === system && known.timeline === timeline && known.lsn >= lsn
  }

  /** It was seen to be that far. */
  reached(position: WalPosition): void {
    if (!this.isPast(position)) this.#replayed = position
  }
}

/** The replicas in the order to ask: those that are past the position first, then the least used. */
export function orderReplicas(replicas: readonly Replica[], position: WalPosition | undefined): Replica[] {
  const isPast = (replica: Replica): number => (position === undefined || replica.isPast(position) ? 0 : 1)
  return replicas
    .filter(({ isIn }) => isIn)
    .sort((one, other) => isPast(one) - isPast(other) || one.inFlight - other.inFlight)
}

/** A lease that counts as in flight until it is given back. */
export class CountedLease implements Lease {
  readonly #lease: Lease
  readonly #replica: Replica
  #isHeld = true

  constructor(lease: Lease, replica: Replica) {
    this.#lease = lease
    this.#replica = replica
  }

  get connection(): DriverConnection {
    return this.#lease.connection
  }

  get proven(): boolean {
    return this.#lease.proven
  }

  get wantedMillis(): number | undefined {
    return this.#lease.wantedMillis
  }

  get active(): boolean {
    return this.#lease.active
  }

  release(options?: ReleaseOptions): void {
    this.#ended()
    this.#lease.release(options)
  }

  invalidate(reason?: unknown): void {
    this.#ended()
    this.#lease.invalidate(reason)
  }

  softInvalidate(reason?: unknown): void {
    this.#lease.softInvalidate(reason)
  }

  detach(): DriverConnection {
    this.#ended()
    return this.#lease.detach()
  }

  describe(statement: string): void {
    this.#lease.describe(statement)
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #ended(): void {
    if (this.#isHeld) this.#replica.inFlight -= 1
    this.#isHeld = false
  }
}
