/** Queries about positions in the write-ahead log, which are sent in the batch of BEGIN. */
import {
  formatWalPosition,
  parseWalPosition,
  POSITION_QUERY,
  readWalPosition,
  type WalPosition,
} from '../internal/wal-position.js'
import type { BeginStatement } from '../pipeline/transaction-options.js'
import type { Timeline } from './causality.js'

/**
 * Fails where the server does not show the position. It has to be of the same cluster and timeline: on another timeline, what
 * was written may not be there, however far the server is. A server that was promoted, and so replays nothing, is asked for
 * what it writes. Which timeline is being received is known only to roles that may read `pg_stat_wal_receiver` (and nothing is received
 * while there is no primary); others get the timeline of the control file, which follows a promotion with the next checkpoint.
 */
const CHECK = `select at.lsn::text as lsn,
  1 / (at.lsn >= $1::pg_catalog.pg_lsn and at.timeline = $2::bigint and at.system = $3::bigint)::int as there
from (select
  (select system_identifier from pg_catalog.pg_control_system()) as system,
  case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
    else pg_catalog.pg_current_wal_insert_lsn() end as lsn,
  case when pg_catalog.pg_is_in_recovery() then coalesce(
      (select received_tli from pg_catalog.pg_stat_wal_receiver),
      (select greatest(min_recovery_end_timeline, timeline_id)
        from pg_catalog.pg_control_recovery(), pg_catalog.pg_control_checkpoint()))::bigint
    else ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::bigint
  end as timeline) as at`

/**
 * The query has taken the snapshot that REPEATABLE READ would keep, and after it SET TRANSACTION would be refused. The next transaction
 * has the same modes and a snapshot of its own.
 */
const CHAIN: BeginStatement = { text: 'COMMIT AND CHAIN', values: [] }

/** The check of a replica. @param onReached Called with the position that the replica has replayed. */
export function checkStatements(
  position: WalPosition,
  onReached: (reached: WalPosition) => void,
): readonly BeginStatement[] {
  const { system, timeline } = position
  const check: BeginStatement = {
    text: CHECK,
    values: [formatWalPosition(position.lsn), String(timeline), system],
    isCheck: true,
    onRows: (rows) => {
      const [row] = rows as readonly Partial<Record<'lsn', string>>[]
      const lsn = parseWalPosition(row?.lsn ?? '') ?? position.lsn
      onReached({ system, timeline, lsn: lsn > position.lsn ? lsn : position.lsn })
    },
  }
  return [check, CHAIN]
}

/**
 * Fails on every server, so the transaction goes on to the primary. For a connection that an earlier transaction was given, where the
 * position of a write has become unknown since.
 */
export function leavingStatements(): readonly BeginStatement[] {
  return [{ text: 'select 1 / 0', values: [], isCheck: true }]
}

/** Fails on a standby. For a primary that does not tell its position: its address may lead to the server that was demoted. */
export function primaryStatements(): readonly BeginStatement[] {
  return [
    { text: 'select 1 / (not pg_catalog.pg_is_in_recovery())::int as there', values: [], isCheck: true },
    CHAIN,
  ]
}

/** The same query, which fails on an older timeline of the same cluster: a primary that was superseded lacks what was written since. */
const POSITION_NOT_OLDER = `select at.*,
  1 / (at.system <> $1 or ('x' || at.timeline)::bit(32)::bigint >= $2::bigint)::int as there from (${POSITION_QUERY.text}) as at`

/** True for the failure of a condition in one of these queries, in contrast to a query that the server refuses. */
export function isConditionFailed(error: Error): boolean {
  return (error as { readonly code?: unknown }).code === '22012'
}

/**
 * The query for a primary's position, sent before a read.
 * @param shown The timeline that the server must have reached, if one is known: see `shownTimeline`.
 */
export function positionStatements(
  shown: Timeline | undefined,
  onAnswer: (position: WalPosition | undefined) => void,
): readonly BeginStatement[] {
  const query: BeginStatement = {
    text: shown === undefined ? POSITION_QUERY.text : POSITION_NOT_OLDER,
    values: shown === undefined ? [] : [shown.system, String(shown.timeline)],
    isCheck: true,
    onRows: (rows) => onAnswer(readWalPosition(rows)),
  }
  return [query, CHAIN]
}

/** Takes a snapshot: where the default isolation level is serializable, a standby refuses it before it has run anything. */
export function runnableStatements(onRunnable: () => void): readonly BeginStatement[] {
  const text = "select pg_catalog.current_setting('transaction_isolation')"
  return [{ text, values: [], isCheck: true, onRows: onRunnable }, CHAIN]
}
