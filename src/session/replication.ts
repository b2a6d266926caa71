/** The engines of a factory: one for the primary, which writes, and others for replicas, which only read. */
import { DEFAULT_HOST_TIMEOUT_MILLIS } from '../driver/connect-options.js'
import { Engine } from '../engine/engine.js'
import { PRIMARY_READ_REASONS, type PrimaryReadReason } from '../engine/replica-stats.js'
import { InvalidOptionError } from '../errors.js'
import { isArray, isRevoked } from '../internal/revoked.js'
import { checkMillis, checkObject, checkOneOf, refuseUnknownKeys } from '../internal/validate.js'
import { CausalFlows } from './causal-flows.js'
import { ReadRoute, type ReadServers } from './read-route.js'
import { Replica } from './replicas.js'
import type { Session, SessionParts } from './session.js'

/** One engine for writes, and one or more for sessions with `readOnly: true`. */
export interface ReplicatedBind {
  /** Leads to the primary. */
  readonly write: Engine
  /** Each leads to one replica. */
  readonly read: Engine | readonly Engine[]
}

/**
 * What the reads of a session with `readOnly: true` show.
 * - `strong`: everything that is committed; it reads from the primary.
 * - `session`: at least what its own causal flow has written (see `SessionFactory.causalFlow`).
 * - `eventual`: what the replica has replayed so far.
 */
export type Consistency = 'strong' | 'session' | 'eventual'

/** Options of a factory with replicas. */
export interface ReplicationOptions {
  /** Default `strong`. */
  readonly consistency?: Consistency | undefined
  /**
   * With `consistency: 'session'`: how long to wait for a replica that is behind, before the primary is read. Default 100; 0 =
   * do not wait.
   */
  readonly staleWaitMillis?: number | undefined
  /**
   * If no replica gives a connection: `primary` (default) reads from the primary; `fail` throws a ConnectError, so that the
   * primary does not get all reads at once.
   */
  readonly whenNoReplica?: 'primary' | 'fail' | undefined
}

export const REPLICATION_OPTION_NAMES: readonly (keyof ReplicationOptions)[] = [
  'consistency',
  'staleWaitMillis',
  'whenNoReplica',
]

const CONSISTENCIES: readonly Consistency[] = ['strong', 'session', 'eventual']
const WHEN_NO_REPLICA = ['primary', 'fail'] as const
const DEFAULT_STALE_WAIT_MILLIS = 100
const AT_LEAST_0 = { min: 0 } as const
const REFRESH_PAUSE_MILLIS = 1_000
/** How long a primary that has refused the query for its position is not asked again: a grant or a failover may change its answer. */
const REFUSED_MILLIS = 60_000

/** The engine of a factory, and its replicas if it has some. @throws InvalidOptionError */
export function resolveBind(
  bind: unknown,
  options: ReplicationOptions,
): { readonly engine: Engine; readonly replication: Replication | undefined } {
  const {
    consistency = 'strong',
    staleWaitMillis = DEFAULT_STALE_WAIT_MILLIS,
    whenNoReplica = 'primary',
  } = options
  checkOneOf('consistency', consistency, CONSISTENCIES)
  checkMillis('staleWaitMillis', staleWaitMillis, AT_LEAST_0)
  checkOneOf('whenNoReplica', whenNoReplica, WHEN_NO_REPLICA)
  if (isEngine(bind)) {
    const given = REPLICATION_OPTION_NAMES.find((name) => options[name] !== undefined)
    if (given === undefined) return { engine: bind, replication: undefined }
    throw new InvalidOptionError(given, `${given} needs replicas: bind: { write: engine, read: [replica] }`)
  }
  if (typeof bind !== 'object' || bind === null || isRevoked(bind) || !('write' in bind))
    throw new InvalidOptionError(
      'bind',
      'bind must be an engine, made by createEngine(), or { write: engine, read: [replica] }',
    )
  checkObject('bind', bind)
  refuseUnknownKeys('bind', bind, ['write', 'read'])
  const { write, read } = bind as Partial<ReplicatedBind>
  // Array.from also finds the holes of a sparse list.
  const engines: readonly unknown[] = isArray(read) ? Array.from(read) : [read]
  if (!isEngine(write))
    throw new InvalidOptionError('bind.write', 'bind.write must be an engine, made by createEngine()')
  if (engines.length === 0 || !engines.every(isEngine))
    throw new InvalidOptionError(
      'bind.read',
      'bind.read must be an engine, made by createEngine(), or a list of engines',
    )
  return {
    engine: write,
    replication: new Replication(write, engines, { consistency, staleWaitMillis, whenNoReplica }),
  }
}

export class Replication {
  readonly flows: CausalFlows = new CausalFlows()
  readonly #consistency: Consistency
  readonly #servers: ReadServers

  constructor(
    primary: Engine,
    engines: readonly Engine[],
    { consistency, staleWaitMillis, whenNoReplica }: Required<Defined<ReplicationOptions>>,
  ) {
    const { host, part, events } = primary.internals()
    const { clock } = host
    const replicas = [...new Set(engines)].map(replicaOf)
    const reads = (part.primaryReads ??= Object.fromEntries(
      PRIMARY_READ_REASONS.map((reason) => [reason, 0]),
    ) as PrimaryReads)
    let refusedUntil = -Infinity
    let refreshedAt = -Infinity
    this.#consistency = consistency
    this.#servers = {
      primary,
      replicas,
      staleWaitMillis,
      clock,
      failsWithoutReplica: whenNoReplica === 'fail',
      seen: () =>
        [this.flows.seen, ...replicas.map(({ furthest }) => furthest)].filter((one) => one !== undefined),
      tellsPosition: (isNeeded) => this.flows.isLocated || (isNeeded && clock.now() >= refusedUntil),
      onRefused: () => {
        refusedUntil = clock.now() + REFUSED_MILLIS
      },
      refreshPrimary: () => {
        const now = clock.now()
        if (now < refreshedAt + REFRESH_PAUSE_MILLIS) return
        refreshedAt = now
        primary.refresh()
      },
      onPrimaryRead: (reason) => {
        reads[reason] += 1
        events.emit('primaryRead', { reason })
      },
    }
  }

  /**
   * The parts of a session in the causal flow of the caller.
   * @param around The session of the block around the caller.
   */
  partsFor(
    parts: SessionParts,
    { after, around }: { readonly after: string | undefined; readonly around: Session | undefined },
  ): SessionParts {
    // `withRollback` has replaced the connections: only these show what its test has written, and nothing is committed.
    if (this.#servers.primary.internals().substitutes.original !== undefined) return parts
    const causality = this.#consistency === 'session' ? this.flows.current(after) : undefined
    const { readOnly, beginning } = parts.setup
    // What is read in a block that writes may decide what the block writes, so a replica would be too late for it.
    const isInWriting = around?.isWriting === true
    // A standby knows no serializable transactions.
    const isAllowed = readOnly && !isInWriting && beginning.isolationLevel !== 'SERIALIZABLE'
    const isRouted = isAllowed && this.#consistency !== 'strong'
    const route = isRouted ? new ReadRoute(this.#servers, causality) : undefined
    return { ...parts, causality, route, isInWriting }
  }
}

type PrimaryReads = Record<PrimaryReadReason, number>

/** Options of which none is undefined. */
type Defined<Options> = { readonly [Name in keyof Options]: Exclude<Options[Name], undefined> }

function replicaOf(engine: Engine): Replica {
  const { options, part, host } = engine.internals()
  if (part.replica instanceof Replica) return part.replica
  const { hostTimeoutMillis = DEFAULT_HOST_TIMEOUT_MILLIS } = options.connect
  const replica = new Replica(engine, host.clock, hostTimeoutMillis)
  part.replica = replica
  return replica
}

function isEngine(value: unknown): value is Engine {
  return !isRevoked(value) && value instanceof Engine
}
