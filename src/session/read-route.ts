/**
 * Where a read-only session gets its connections: from a replica that shows what its causal flow has written, or from the primary.
 *
 * 1. The replica itself checks whether it has replayed the required position, in the batch of the transaction's first statement and
 *    before its snapshot. If it is behind, it runs nothing after the check.
 * 2. Then the other replicas are tried, and all of them again until `staleWaitMillis` have passed; then the primary. Without any
 *    replica the primary is used.
 * 3. A replica that gives no connection, loses one, or does not answer BEGIN within its `hostTimeoutMillis` is skipped.
 * 4. The primary itself refuses the read if it is on an older timeline than a server that the flow depends on: it was superseded.
 * 5. The caller does not notice: no operation was answered, so the same operations are sent on the next connection.
 */
import type { Engine } from '../engine/engine.js'
import { withAcquire } from '../engine/pipeline-host.js'
import type { PrimaryReadReason } from '../engine/replica-stats.js'
import type { ExecutionOwner } from '../execution/contract.js'
import type { PipelineOpener } from '../execution/executor.js'
import { StatementRunner } from '../execution/statement-runner.js'
import { AbortedError, ConnectError, ConnectionLostError } from '../errors.js'
import type { DriverConnection } from '../driver/driver.js'
import { pause } from '../internal/abort.js'
import type { Clock } from '../internal/clock.js'
import { isDefaultRefused } from '../internal/standby-refusals.js'
import type { WalPosition } from '../internal/wal-position.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import { Pipeline } from '../pipeline/pipeline.js'
import type { Replay, ReplayReason } from '../pipeline/in-flight-batch.js'
import type { BeginStatement } from '../pipeline/transaction-options.js'
import type { CallSite } from '../pool/call-site.js'
import { PoolQueueFullError, PoolTimeoutError } from '../pool/errors.js'
import type { AcquireOptions, Lease } from '../pool/pool.js'
import { shownTimeline, type Causality, type Needed } from './causality.js'
import { CountedLease } from './counted-lease.js'
import {
  checkStatements,
  isConditionFailed,
  leavingStatements,
  positionStatements,
  primaryStatements,
  runnableStatements,
} from './position-check.js'
import { orderReplicas, type Replica } from './replicas.js'

/** The parts of a session for reads from replicas. */
export interface ReplicaParts {
  /** The route by which a session that only reads gets its connections. */
  readonly route?: ReadRoute | undefined
  /** The position of what its flow of control has written; only with `consistency: 'session'`. */
  readonly causality?: Causality | undefined
}

/** What the routes of one factory have in common. */
export interface ReadServers {
  readonly primary: Engine
  readonly replicas: readonly Replica[]
  readonly staleWaitMillis: number
  readonly clock: Clock
  /** True: without any replica, reads fail instead of going to the primary. */
  readonly failsWithoutReplica: boolean
  /**
   * True: the primary is queried for its position. It has answered the query before, or (`isNeeded`) a flow reads from it until its
   * position is known, and it did not refuse the query a short while ago.
   */
  readonly tellsPosition: (isNeeded: boolean) => boolean
  /** Positions that the servers have shown to this process, the latest one of each. */
  readonly seen: () => readonly WalPosition[]
  /** The primary has refused the query. */
  readonly onRefused: () => void
  /** Replaces the connections to the primary, at most once in a while: a token that anybody can forge asks for it. */
  readonly refreshPrimary: () => void
  /** The read goes to the primary. */
  readonly onPrimaryRead: (reason: PrimaryReadReason) => void
}

const FIRST_PAUSE_MILLIS = 2
const LONGEST_PAUSE_MILLIS = 50
/** After this many conflicts with recovery on replicas, the primary is used. */
const MOST_CONFLICTS = 1

/** One session's way to its servers. */
export class ReadRoute implements PipelineOpener {
  readonly #servers: ReadServers
  /** What the reads must show; undefined with `consistency: 'eventual'`. */
  readonly #causality: Causality | undefined
  /** The server of the last connection; undefined: the primary. */
  #replica: Replica | undefined = undefined
  /** The position that the reads had to show when that connection was acquired. */
  #needed: Needed = undefined
  /** True: the connection was acquired for the transaction that begins next. False: a transaction has used it already. */
  #isAcquired = false
  /** Which replicas were tried since the last pause. */
  readonly #tried = new Set<Replica>()
  /** Those of `#tried` that were behind. */
  readonly #behind = new Set<Replica>()
  /** Why the batch is sent again; undefined for its first server. */
  #moved: ReplayReason | undefined = undefined
  /** When the read began. */
  #since = 0
  #pauseMillis = FIRST_PAUSE_MILLIS
  #conflicts = 0
  /** False: this primary cannot be queried for its position. */
  #asksPrimary = true
  /** What the primary was asked in the batch under way. */
  #question: 'position' | 'role' | undefined = undefined
  /** Why the primary cannot be read from. */
  #wrongPrimary: WrongPrimary | undefined = undefined
  /** True: the replicas cannot run the transaction, which is serializable. */
  #isSerializable = false
  /** True: the isolation level is the default of the connection. */
  #hasDefaultLevel = false

  constructor(servers: ReadServers, causality: Causality | undefined) {
    this.#servers = servers
    this.#causality = causality
  }

  openPipeline(setup: PipelineSetup, owner: ExecutionOwner): StatementRunner {
    const { primary, replicas } = this.#servers
    const { beginning } = setup
    this.#hasDefaultLevel = beginning.isolationLevel === undefined
    const routed: PipelineSetup = {
      ...setup,
      otherServers: replicas.length,
      isAtReplica: () => this.#replica !== undefined,
      beginning: {
        plan: (connection) => this.#plan(beginning.plan(connection), connection),
        isolationLevel: beginning.isolationLevel,
        commitIsFormality: (connection) => beginning.commitIsFormality(connection),
      },
    }
    const { host } = primary.internals()
    const routedHost = withAcquire(
      host,
      (options, callSite) => this.#acquire(options, callSite),
      () => Math.min(host.prePingTimeoutMillis, this.#replica?.hostTimeoutMillis ?? Infinity),
    )
    return new StatementRunner(new Pipeline(routedHost, routed, owner), routedHost, owner)
  }

  /** A batch is sent again. */
  moved({ reason, error }: Replay): void {
    this.#moved = reason
    const replica = this.#replica
    if (replica === undefined) {
      if (reason === 'behind') this.#primaryRefused(error)
      return
    }
    switch (reason) {
      case 'behind':
        this.#behind.add(replica)
        return replica.wasBehind()
      case 'conflict':
        this.#conflicts += 1
        replica.conflicts += 1
        return
      case 'serializable':
        this.#isSerializable = true
        if (isDefaultRefused(error)) replica.wasSerializable()
        return
      case 'lost':
        replica.eject(new ConnectionLostError('The connection was lost before a read was answered'))
    }
  }

  #primaryRefused(error: Error): void {
    if (this.#question === 'role') this.#wrongPrimary = 'a standby'
    else if (isConditionFailed(error)) this.#wrongPrimary = 'an older primary'
    else {
      this.#asksPrimary = false
      this.#servers.onRefused()
    }
  }

  async #acquire(options: AcquireOptions, callSite: CallSite | undefined): Promise<Lease> {
    const { clock, replicas } = this.#servers
    const moved = this.#moved
    this.#moved = undefined
    this.#isAcquired = true
    if (moved === undefined) this.#beginRead(clock.now())
    if (this.#wrongPrimary !== undefined) throw this.#refused(this.#wrongPrimary)
    for (const replica of replicas) replica.probe()
    for (;;) {
      const needed = (this.#needed = this.#causality?.needed)
      if (needed === 'primary') return this.#fromPrimary('position unknown', options, callSite)
      if (this.#conflicts > MOST_CONFLICTS) return this.#fromPrimary('conflict', options, callSite)
      if (this.#isSerializable) return this.#fromPrimary('serializable', options, callSite)
      const inOrder = orderReplicas(replicas, needed)
      const runnable = this.#hasDefaultLevel ? inOrder.filter((one) => !one.isSerializable) : inOrder
      if (inOrder.length > 0 && runnable.length === 0)
        return this.#fromPrimary('serializable', options, callSite)
      for (const replica of runnable) {
        if (this.#tried.has(replica)) continue
        this.#tried.add(replica)
        const lease = await this.#from(replica, options, callSite)
        if (lease !== undefined) return lease
      }
      if (moved === 'conflict') return this.#fromPrimary('conflict', options, callSite)
      if (this.#behind.size === 0) return this.#withoutReplica(options, callSite)
      if (!(await this.#pause(options.signal))) return this.#fromPrimary('behind', options, callSite)
      this.#behind.clear()
      this.#tried.clear()
    }
  }

  #beginRead(now: number): void {
    this.#since = now
    this.#pauseMillis = FIRST_PAUSE_MILLIS
    this.#conflicts = 0
    this.#asksPrimary = true
    this.#question = undefined
    this.#wrongPrimary = undefined
    this.#isSerializable = false
    this.#tried.clear()
    this.#behind.clear()
  }

  /** False if there is no time left to wait. */
  async #pause(signal: AbortSignal | undefined): Promise<boolean> {
    const { clock, staleWaitMillis } = this.#servers
    const left = staleWaitMillis - (clock.now() - this.#since)
    if (left <= 0) return false
    await pause(clock, Math.min(this.#pauseMillis, left), signal)
    this.#pauseMillis = Math.min(this.#pauseMillis * 2, LONGEST_PAUSE_MILLIS)
    return true
  }

  /** Undefined if the replica gives no connection. It is then skipped for a while, unless only its pool is full. */
  async #from(
    replica: Replica,
    options: AcquireOptions,
    callSite: CallSite | undefined,
  ): Promise<Lease | undefined> {
    // 0 = do not wait; null and undefined = the caller has no limit.
    const { timeoutMillis = null, failsFast = true } = options
    const waitMillis = Math.min(timeoutMillis ?? Infinity, replica.hostTimeoutMillis)
    replica.inFlight += 1
    try {
      const lease = await replica.engine
        .internals()
        .host.acquire({ ...options, timeoutMillis: waitMillis, failsFast }, callSite)
      this.#replica = replica
      return new CountedLease(lease, replica)
    } catch (error) {
      replica.inFlight -= 1
      if (error instanceof AbortedError) throw error
      if (!isFull(error)) replica.eject(error)
      return undefined
    }
  }

  async #withoutReplica(options: AcquireOptions, callSite: CallSite | undefined): Promise<Lease> {
    const { failsWithoutReplica, replicas } = this.#servers
    if (!failsWithoutReplica) return this.#fromPrimary('no replica', options, callSite)
    // The read has nowhere else to go, so it waits for `resume()`.
    const held = replicas.find(({ isIn, engine }) => isIn && engine.stats().suspended)
    const lease = held && (await this.#from(held, { ...options, failsFast: false }, callSite))
    if (lease !== undefined) return lease
    const cause = replicas.map(({ lastError }) => lastError).find((error) => error !== undefined)
    throw new ConnectError(
      "No replica gives a connection, and whenNoReplica is 'fail'",
      { fatal: false },
      { cause },
    )
  }

  #fromPrimary(
    reason: PrimaryReadReason,
    options: AcquireOptions,
    callSite: CallSite | undefined,
  ): Promise<Lease> {
    const { primary, onPrimaryRead } = this.#servers
    this.#replica = undefined
    // A read that the primary gets again, because it refused the question, counts once.
    if (this.#question === undefined) onPrimaryRead(reason)
    return primary.internals().host.acquire(options, callSite)
  }

  /** The statements that begin the transaction, with the check behind BEGIN. */
  #plan(statements: readonly BeginStatement[], connection: DriverConnection): readonly BeginStatement[] {
    const replica = this.#replica
    const [begin, ...settings] = statements
    if (begin === undefined) return statements
    const now = this.#causality?.needed
    if (!this.#isAcquired) {
      this.#beginRead(this.#servers.clock.now())
      this.#needed = now
    }
    this.#isAcquired = false
    if (replica === undefined) return this.#planPrimary(begin, settings)
    replica.reads += 1
    // Writes that came after this read had to wait for its connection need not be shown.
    const needed = now === 'primary' ? this.#needed : now
    if (needed === 'primary') return [begin, ...leavingStatements()]
    if (needed === undefined || replica.isPast(needed, connection)) {
      if (!this.#hasDefaultLevel || replica.isRunnable(connection)) return statements
      return [begin, ...runnableStatements(() => replica.wasRunnable(connection)), ...settings]
    }
    const onReached = (reached: WalPosition): void => {
      replica.reached(reached, connection)
      if (this.#hasDefaultLevel) replica.wasRunnable(connection)
    }
    return [begin, ...checkStatements(needed, onReached), ...settings]
  }

  #planPrimary(begin: BeginStatement, settings: readonly BeginStatement[]): readonly BeginStatement[] {
    const causality = this.#causality
    if (causality === undefined) return [begin, ...settings]
    this.#question = this.#askPrimary()
    if (this.#question === 'position') {
      const shown = shownTimeline(causality.latest, this.#servers.seen())
      return [begin, ...positionStatements(shown, causality.reading()), ...settings]
    }
    return this.#question === 'role' ? [begin, ...primaryStatements(), ...settings] : [begin, ...settings]
  }

  /** Its position, if it can probably tell that: one that gave another process the token of this flow can. Else only its role. */
  #askPrimary(): 'position' | 'role' | undefined {
    const needed = this.#needed
    const isPosition = needed !== undefined && needed !== 'primary'
    if (this.#asksPrimary && (isPosition || this.#servers.tellsPosition(needed === 'primary')))
      return 'position'
    return needed === undefined ? undefined : 'role'
  }

  #refused(leadsTo: WrongPrimary): ConnectError {
    if (leadsTo === 'a standby') this.#servers.primary.refresh()
    else this.#servers.refreshPrimary()
    return new ConnectError(REFUSALS[leadsTo], { fatal: false })
  }
}

/** What the address of the primary leads to, if not to the primary. */
type WrongPrimary = 'a standby' | 'an older primary'

const REFUSALS: Readonly<Record<WrongPrimary, string>> = {
  'a standby':
    'bind.write leads to a standby, which need not show what was written: the read was not run there, and its connections are replaced',
  'an older primary':
    'bind.write leads to a primary of an older timeline than that of its successor, and lacks what was written since: the read was not ' +
    'run there, and its connections are replaced',
}

/** True if only the pool has no free connection: its server may be healthy. */
function isFull(error: unknown): boolean {
  if (error instanceof PoolQueueFullError) return true
  return (
    error instanceof PoolTimeoutError && error.phase === 'wait' && error.stats.lastConnectError === undefined
  )
}
