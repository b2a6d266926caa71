/**
 * Statistics and events of an engine among several servers: its role, its state as a replica, and reads that went to the primary.
 */

import type { PoolStats } from '../pool/stats.js'

/** The events of engines that are given to a session factory as `bind: { write, read }`. */
export interface ReplicationEvents {
  /**
   * Emitted by a replica's engine: it gave no connection, or lost one. It is skipped for `pauseMillis`, and then checked in the
   * background.
   */
  replicaEjected: { readonly error: unknown; readonly pauseMillis: number }
  /** Emitted by a replica's engine: it has answered, and is used again. */
  replicaReturned: { readonly ejectedMillis: number }
  /** Emitted by the primary's engine: it got a read that a replica could have done. */
  primaryRead: { readonly reason: PrimaryReadReason }
}

/**
 * Why a read went to the primary.
 *
 * - `behind`: no replica had replayed the position within `staleWaitMillis`.
 * - `position unknown`: the position of a write is not known, or a token cannot be compared.
 * - `conflict`: replicas have cancelled the statement because it conflicts with recovery.
 * - `serializable`: the default isolation level of the replicas is serializable, which a standby cannot run.
 * - `no replica`: all replicas are skipped.
 */
export type PrimaryReadReason = 'behind' | 'position unknown' | 'conflict' | 'serializable' | 'no replica'

export const PRIMARY_READ_REASONS: readonly PrimaryReadReason[] = [
  'behind',
  'position unknown',
  'conflict',
  'serializable',
  'no replica',
]

/** An engine as a replica. Counters are since its first factory was made; all factories of the engine share them. */
export interface ReplicaStats {
  /** False: it is skipped, because it gave no connection or lost one. */
  readonly isIn: boolean
  /** Connections in use, or asked for. */
  readonly inFlight: number
  /** The last known position that it has replayed: timeline and LSN. Undefined before the first check. */
  readonly replayed: { readonly timeline: number; readonly lsn: string } | undefined
  /** Transactions that began there. */
  readonly reads: number
  /** Failed checks: it was behind, or its position was unknown. */
  readonly behind: number
  /** Statements that it has cancelled because they conflict with recovery. */
  readonly conflicts: number
  readonly ejections: number
  /** Why it was skipped the last time. */
  readonly lastError: unknown
}

/** An engine at one moment: its pool, its server, and its part in a session factory with replicas. */
export interface EngineStats extends PoolStats {
  /** The role of the server of the newest connection, as the server reports it; undefined before PostgreSQL 14. */
  readonly role: 'primary' | 'standby' | undefined
  /** If it is a replica of a session factory. */
  readonly replica: ReplicaStats | undefined
  /** For the engine of the primary: reads that went to it instead of a replica. */
  readonly primaryReads: Readonly<Record<PrimaryReadReason, number>> | undefined
}
