/** What an engine tells about its part among several servers: its role, and how it does as a replica. */

import type { PoolStats } from '../pool/stats.js'

/** The events of engines that are given to a session factory as `bind: { write, read }`. */
export interface ReplicationEvents {
  /** Of an engine that reads: it gave no connection, or lost one. It is left out for `pauseMillis`, and then asked in the background. */
  replicaEjected: { readonly error: unknown; readonly pauseMillis: number }
  /** Emitted by a replica's engine: it has answered, and is used again. */
  replicaReturned: { readonly ejectedMillis: number }
  /** Emitted by the primary's engine: it got a read that a replica could have done. */
  primaryRead: { readonly reason: PrimaryReadReason }
}

/**
 * Why a read went to the primary.
 *
 * - `behind`: no replica was far enough within `staleWaitMillis`.
 * - `position unknown`: the position of a write is not known, or a token cannot be compared.
 * - `conflict`: replicas have cancelled the statement because it conflicts with recovery.
 * - `no replica`: all are left out.
 */
export type PrimaryReadReason = 'behind' | 'position unknown' | 'conflict' | 'no replica'

export const PRIMARY_READ_REASONS: readonly PrimaryReadReason[] = [
  'behind',
  'position unknown',
  'conflict',
  'no replica',
]

/** An engine as a replica. Counters are since the factory was made. */
export interface ReplicaStats {
  /** False: it is left out, because it gave no connection or lost one. */
  readonly isIn: boolean
  /** Connections in use, or asked for. */
  readonly inFlight: number
  /** How far it was seen to have replayed: timeline and LSN. Undefined before the first check. */
  readonly replayed: { readonly timeline: number; readonly lsn: string } | undefined
  /** Transactions that began there. */
  readonly reads: number
  /** Checks that it did not pass: it was behind, or could not tell. */
  readonly behind: number
  /** Statements that it has cancelled because they conflict with recovery. */
  readonly conflicts: number
  readonly ejections: number
  /** Why it was left out the last time. */
  readonly lastError: unknown
}

/** An engine at one moment: its pool, its server, and its part in a session factory with replicas. */
export interface EngineStats extends PoolStats {
  /** Of the server that the last new connection leads to, as the server itself tells; undefined before PostgreSQL 14. */
  readonly role: 'primary' | 'standby' | undefined
  /** If it is a replica of a session factory. */
  readonly replica: ReplicaStats | undefined
  /** Reads that came to it instead of a replica, if it is the engine that writes. */
  readonly primaryReads: Readonly<Record<PrimaryReadReason, number>> | undefined
}
