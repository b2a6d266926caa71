/**
 * The replicas of a session factory: which one is tried next, and which ones are skipped because they did not answer.
 *
 * 1. A replica that has failed is skipped for a pause, which grows. Then one connection is tried in the background, so no read waits
 *    for a server that did not answer the last time.
 * 2. A known position is only valid for the connection on which it was read, because the address of a replica may lead to several
 *    servers, and a server that was restarted after a crash has not replayed again all that it had replayed before. A connection to a
 *    pooler outlives its server, so nothing is known of it.
 */
import type { DriverConnection } from '../driver/driver.js'
import { isOfPooler } from '../driver/statement-policy.js'
import type { Engine } from '../engine/engine.js'
import type { ReplicaStats } from '../engine/replica-stats.js'
import type { Clock } from '../internal/clock.js'
import { formatWalPosition, type WalPosition } from '../internal/wal-position.js'

const FIRST_PAUSE_MILLIS = 1_000
const LONGEST_PAUSE_MILLIS = 30_000
/** How long a replica that was behind is tried last. */
const BEHIND_MILLIS = 1_000
/** How long a replica whose default isolation level was serializable is not asked by reads with that level. */
const SERIALIZABLE_MILLIS = 60_000

export class Replica {
  readonly engine: Engine
  /** Connections that are in use, or asked for. */
  inFlight = 0
  /** Transactions that began there. */
  reads = 0
  /** Statements that it has cancelled in favour of what it replays. */
  conflicts = 0
  readonly #clock: Clock
  readonly #hostTimeoutMillis: number
  /** How far its connections are known to be. */
  readonly #known = new WeakMap<DriverConnection, WalPosition>()
  #furthest: WalPosition | undefined = undefined
  /** True: a connection of it leads to a pooler, so all of them do. */
  #isPooled = false
  #behind = 0
  #behindUntil = -Infinity
  #serializableUntil = -Infinity
  /** Connections whose default isolation level a standby can run. */
  readonly #runnable = new WeakSet<DriverConnection>()
  /** Failures in a row. */
  #failures = 0
  #ejections = 0
  #ejectedAt: number | undefined = undefined
  #ejectedUntil = -Infinity
  #isProbed = false
  #lastError: unknown = undefined

  /** @param hostTimeoutMillis How long it may take to give a connection, or to answer BEGIN. */
  constructor(engine: Engine, clock: Clock, hostTimeoutMillis: number) {
    this.engine = engine
    this.#clock = clock
    this.#hostTimeoutMillis = hostTimeoutMillis
  }

  get hostTimeoutMillis(): number {
    return this.#hostTimeoutMillis
  }

  /** False: it has failed, and did not answer since. */
  get isIn(): boolean {
    return this.#ejectedAt === undefined
  }

  /** True: a short while ago it was behind what a read had to see. */
  get isLate(): boolean {
    return this.#clock.now() < this.#behindUntil
  }

  /** True: by its default isolation level it would have to run serializable transactions, which no standby can. */
  get isSerializable(): boolean {
    return this.#clock.now() < this.#serializableUntil
  }

  /** The furthest position that a connection of it was found to be past. */
  get furthest(): WalPosition | undefined {
    return this.#furthest
  }

  get lastError(): unknown {
    return this.#lastError
  }

  /** Skips the replica, which gave no connection or lost one: each time for twice as long. */
  eject(error: unknown): void {
    const now = this.#clock.now()
    this.#lastError = error
    // If several reads fail at once, one of them counts.
    if (now < this.#ejectedUntil) return
    const pauseMillis = Math.min(FIRST_PAUSE_MILLIS * 2 ** this.#failures, LONGEST_PAUSE_MILLIS)
    this.#failures += 1
    this.#ejections += 1
    this.#ejectedAt ??= now
    this.#ejectedUntil = now + pauseMillis
    this.engine.internals().events.emit('replicaEjected', { error, pauseMillis })
  }

  /** If the pause of the replica is over, checks in the background whether it answers. No read waits for the check. */
  probe(): void {
    if (this.isIn || this.#isProbed || this.#clock.now() < this.#ejectedUntil) return
    this.#isProbed = true
    void this.engine.check({ timeoutMillis: this.#hostTimeoutMillis }).then(({ ok, reason, error }) => {
      this.#isProbed = false
      // A pool that is busy is alive.
      if (ok || reason === 'saturated') this.answered()
      else this.eject(error)
    })
  }

  /** The replica gave a connection. */
  answered(): void {
    this.#failures = 0
    if (this.#ejectedAt === undefined) return
    const ejectedMillis = this.#clock.now() - this.#ejectedAt
    this.#ejectedAt = undefined
    this.engine.internals().events.emit('replicaReturned', { ejectedMillis })
  }

  /** Whether some connection of it was that far. Only for the order in which replicas are tried. */
  seemsPast(position: WalPosition): boolean {
    return isPast(this.#furthest, position)
  }

  /** True if the server of this connection was that far before: as long as it runs, it never goes back on one timeline. */
  isPast(position: WalPosition, connection: DriverConnection): boolean {
    // Some of the numbers that a pooler makes up could be those of a backend.
    this.#isPooled ||= isOfPooler(connection.processId)
    return !this.#isPooled && isPast(this.#known.get(connection), position)
  }

  /** The server of this connection was seen to be that far. */
  reached(position: WalPosition, connection: DriverConnection): void {
    if (!this.isPast(position, connection)) this.#known.set(connection, position)
    if (!this.seemsPast(position)) this.#furthest = position
    this.#behindUntil = -Infinity
  }

  /** The default isolation level of the connection was serializable. */
  wasSerializable(): void {
    this.#serializableUntil = this.#clock.now() + SERIALIZABLE_MILLIS
  }

  /** Whether the connection is known to run transactions of its default isolation level. */
  isRunnable(connection: DriverConnection): boolean {
    return this.#runnable.has(connection)
  }

  wasRunnable(connection: DriverConnection): void {
    this.#runnable.add(connection)
  }

  /** The replica did not pass a check. */
  wasBehind(): void {
    this.#behind += 1
    this.#behindUntil = this.#clock.now() + BEHIND_MILLIS
  }

  stats(): ReplicaStats {
    const known = this.#furthest
    return {
      isIn: this.isIn,
      inFlight: this.inFlight,
      replayed:
        known === undefined ? undefined : { timeline: known.timeline, lsn: formatWalPosition(known.lsn) },
      reads: this.reads,
      behind: this.#behind,
      conflicts: this.conflicts,
      ejections: this.#ejections,
      lastError: this.#lastError,
    }
  }
}

/** The replicas in the order to ask: those that are past the position first, those that were behind last, then the least used. */
export function orderReplicas(replicas: readonly Replica[], position: WalPosition | undefined): Replica[] {
  const rank = (replica: Replica): number => {
    if (position === undefined || replica.seemsPast(position)) return 0
    return replica.isLate ? 2 : 1
  }
  return replicas
    .filter(({ isIn }) => isIn)
    .sort((one, other) => rank(one) - rank(other) || one.inFlight - other.inFlight)
}

function isPast(known: WalPosition | undefined, { system, timeline, lsn }: WalPosition): boolean {
  return known !== undefined && known.system === system && known.timeline === timeline && known.lsn >= lsn
}
