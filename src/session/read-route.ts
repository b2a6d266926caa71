/**
 * Where a session that only reads gets its connections: from a replica that shows what its flow of control has written, or from
 * the primary.
 *
 * 1. What the replica has to show is checked by the replica itself, in the packet of the transaction's first statement and before
 *    its snapshot. If it is behind, it runs nothing after the check.
 * 2. A replica that is behind is asked again until `staleWaitMillis` are over, then the primary. Without any replica: the primary.
 * 3. The caller never learns of it: nothing was answered, so the same operations go to the next connection.
 */
import type { Engine } from '../engine/engine.js'
import { withAcquire } from '../engine/pipeline-host.js'
import type { ExecutionOwner } from '../execution/contract.js'
import type { PipelineOpener } from '../execution/executor.js'
import { StatementRunner } from '../execution/statement-runner.js'
import { DEFAULT_HOST_TIMEOUT_MILLIS } from '../driver/connect-options.js'
import { AbortedError } from '../errors.js'
import type { DriverConnection } from '../driver/driver.js'
import type { Clock } from '../internal/clock.js'
import { formatWalPosition, type WalPosition } from '../internal/wal-position.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import { Pipeline } from '../pipeline/pipeline.js'
import type { ReplayReason } from '../pipeline/in-flight-batch.js'
import type { BeginStatement } from '../pipeline/transaction-options.js'
import type { CallSite } from '../pool/call-site.js'
import type { AcquireOptions, Lease } from '../pool/pool.js'
import type { Causality } from './causality.js'
import { CountedLease, orderReplicas, type Replica } from './replicas.js'

/** What a session has of its factory's replicas. */
export interface ReplicaParts {
  /** Where it gets its connections, if it only reads. */
  readonly route?: ReadRoute | undefined
  /** What its flow of control has written; only with `consistency: 'session'`. */
  readonly causality?: Causality | undefined
}

/** What the routes of one factory have in common. */
export interface ReadServers {
  readonly primary: Engine
  readonly replicas: readonly Replica[]
  readonly staleWaitMillis: number
  readonly clock: Clock
}

const FIRST_PAUSE_MILLIS = 2
const LONGEST_PAUSE_MILLIS = 50
/** After so many conflicts with the replay of a replica, the primary is asked. */
const MOST_CONFLICTS = 1

/** One session's way to its servers. */
export class ReadRoute implements PipelineOpener {
  readonly #servers: ReadServers
  /** What has to be seen; undefined with `consistency: 'eventual'`. */
  readonly #causality: Causality | undefined
  /** Where the connection leads that was taken last; undefined: to the primary. */
  #replica: Replica | undefined = undefined
  /** Why the batch is sent again, and since when. */
  #moved: ReplayReason | undefined = undefined
  #since = 0
  #pauseMillis = FIRST_PAUSE_MILLIS
  #conflicts = 0

  constructor(servers: ReadServers, causality: Causality | undefined) {
    this.#servers = servers
    this.#causality = causality
  }

  openPipeline(setup: PipelineSetup, owner: ExecutionOwner): StatementRunner {
    const { beginning } = setup
    const plan = (connection: DriverConnection): readonly BeginStatement[] =>
      this.#plan(beginning.plan(connection))
    const routed: PipelineSetup = {
      ...setup,
      movable: true,
      beginning: {
        plan,
        isolationLevel: beginning.isolationLevel,
        commitIsFormality: (connection) => beginning.commitIsFormality(connection),
      },
    }
    const { primary } = this.#servers
    const host = withAcquire(primary.internals().host, (options, callSite) =>
      this.#acquire(options, callSite),
    )
    return new StatementRunner(new Pipeline(host, routed, owner), host, owner)
  }

  /** A batch is sent again. */
  moved(reason: ReplayReason): void {
    this.#moved = reason
    if (reason === 'conflict') this.#conflicts += 1
  }

  async #acquire(options: AcquireOptions, callSite: CallSite | undefined): Promise<Lease> {
    const { clock, replicas, staleWaitMillis } = this.#servers
    const moved = this.#moved
    this.#moved = undefined
    if (moved === undefined) {
      this.#since = clock.now()
      this.#pauseMillis = FIRST_PAUSE_MILLIS
      this.#conflicts = 0
    } else if (moved === 'behind') {
      const left = staleWaitMillis - (clock.now() - this.#since)
      if (left <= 0) return this.#fromPrimary(options, callSite)
      await pause(clock, Math.min(this.#pauseMillis, left), options.signal)
      this.#pauseMillis = Math.min(this.#pauseMillis * 2, LONGEST_PAUSE_MILLIS)
    }
    const needed = this.#causality?.needed
    if (needed === 'primary' || this.#conflicts > MOST_CONFLICTS) return this.#fromPrimary(options, callSite)
    const known = needed === undefined ? undefined : needed
    const order = orderReplicas(replicas, known)
    // The one that has cancelled the statement comes last.
    if (moved === 'conflict' && order[0] === this.#replica) order.push(...order.splice(0, 1))
    for (const replica of order) {
      const lease = await this.#from(replica, options, callSite)
      if (lease !== undefined) return lease
    }
    return this.#fromPrimary(options, callSite)
  }

  /** Undefined if the replica gives no connection: it is left out for a while. */
  async #from(
    replica: Replica,
    options: AcquireOptions,
    callSite: CallSite | undefined,
  ): Promise<Lease | undefined> {
    const { hostTimeoutMillis = DEFAULT_HOST_TIMEOUT_MILLIS } = replica.engine.internals().options.connect
    const { timeoutMillis } = options
    const patience = Math.min(
      timeoutMillis === null || timeoutMillis === undefined ? Infinity : timeoutMillis || Infinity,
      hostTimeoutMillis,
    )
    replica.inFlight += 1
    try {
      const lease = await replica.engine
        .internals()
        .host.acquire({ ...options, timeoutMillis: patience }, callSite)
      replica.answered()
      this.#replica = replica
      return new CountedLease(lease, replica)
    } catch (error) {
      replica.inFlight -= 1
      if (error instanceof AbortedError) throw error
      replica.eject()
      return undefined
    }
  }

  #fromPrimary(options: AcquireOptions, callSite: CallSite | undefined): Promise<Lease> {
    this.#replica = undefined
    return this.#servers.primary.internals().host.acquire(options, callSite)
  }

  /** The statements that begin the transaction, with the check behind BEGIN. */
  #plan(statements: readonly BeginStatement[]): readonly BeginStatement[] {
    const replica = this.#replica
    const needed = this.#causality?.needed
    const [begin, ...settings] = statements
    if (replica === undefined || begin === undefined || needed === undefined || needed === 'primary')
      return statements
    if (replica.isPast(needed)) return statements
    return [begin, checkOf(needed, replica), CHAIN, ...settings]
  }
}

/**
 * The check has taken the snapshot that REPEATABLE READ would keep. The next transaction has the same modes and a snapshot of its
 * own.
 */
const CHAIN: BeginStatement = { text: 'COMMIT AND CHAIN', values: [] }

/**
 * Fails where the server has not replayed the position. A server that was promoted, and so replays nothing, is asked for what it
 * writes. The timeline is known only to roles that may read `pg_stat_wal_receiver`.
 */
const CHECK = `select 1 / (case
  when (select system_identifier from pg_catalog.pg_control_system()) <> $3::bigint then false
  when pg_catalog.pg_is_in_recovery() then
    pg_catalog.pg_last_wal_replay_lsn() >= $1::pg_catalog.pg_lsn
    and coalesce((select received_tli from pg_catalog.pg_stat_wal_receiver), $2::int) >= $2::int
  else pg_catalog.pg_current_wal_insert_lsn() >= $1::pg_catalog.pg_lsn
end)::int`

function checkOf(position: WalPosition, replica: Replica): BeginStatement {
  return {
    text: CHECK,
    values: [formatWalPosition(position.lsn), String(position.timeline), position.system],
    isCheck: true,
    onRows: () => replica.reached(position),
  }
}

function pause(clock: Clock, millis: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = clock.setTimer(end, millis)
    signal?.addEventListener('abort', end)
  })
}
