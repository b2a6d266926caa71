/** Whether a server is what `target_session_attrs` asks for: primary or standby, and whether a session may write there. */
import type { BatchStatement, StatementConnection, TypeParsers } from './driver.js'
import { StatementNotRun } from './driver.js'
import type { TargetSessionAttrs } from './connect-args.js'

/** The server answered, but does not have the required role. */
export class WrongRoleError extends Error {
  override readonly name = 'WrongRoleError'
}

/** The history that a primary writes. Of two primaries of one cluster, the one with the later timeline was promoted later. */
export interface PrimaryHistory {
  readonly system: string
  readonly timeline: number
}

/** The role that a server must have. */
export interface RoleRequirement {
  readonly session: TargetSessionAttrs
  /** The latest primary that was connected to: an older one is refused. */
  readonly latest: PrimaryHistory | undefined
}

interface ServerRole {
  readonly isStandby: boolean
  readonly isReadOnly: boolean
  /** Undefined for a standby, and if the server does not report it. */
  readonly history: PrimaryHistory | undefined
}

/**
 * A query, not the parameter `in_hot_standby` that the server reports at connect, because PgBouncer reports a stale value to new
 * clients (pgbouncer#859). It costs a round trip for each new connection.
 */
const ROLE_QUERY =
  "select pg_catalog.pg_is_in_recovery()::text, pg_catalog.current_setting('transaction_read_only')"

/** A separate statement, because not every server with PostgreSQL's protocol can answer it. */
const HISTORY_QUERY = `select system_identifier::text, case when not pg_catalog.pg_is_in_recovery() then
  pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) end
  from pg_catalog.pg_control_system()`

/** Roles that only one server of a cluster has. */
export const ROLES_OF_ONE: ReadonlySet<TargetSessionAttrs> = new Set(['primary', 'read-write'])

const AS_TEXT: TypeParsers = { getTypeParser: () => (text) => text }

/**
 * Rejects with {@link WrongRoleError} if the server does not have the required role, and with the server's error if it does not answer.
 * @returns the history of the primary, if a primary is wanted and reports it.
 */
export async function requireRole(
  connection: StatementConnection,
  { session, latest }: RoleRequirement,
): Promise<PrimaryHistory | undefined> {
  if (session === 'any') return undefined
  const role = await askRole(connection, ROLES_OF_ONE.has(session))
  const problem = problemWith(role, session)
  if (problem !== undefined) throw new WrongRoleError(`${problem}, and target_session_attrs is ${session}`)
  requireNotOlder(role.history, latest)
  return role.history
}

/** @throws WrongRoleError for a primary that another one has superseded: what it stores is lost. */
export function requireNotOlder(
  history: PrimaryHistory | undefined,
  latest: PrimaryHistory | undefined,
): void {
  if (history === undefined || latest === undefined || history.system !== latest.system) return
  if (history.timeline >= latest.timeline) return
  throw new WrongRoleError(
    `it is an older primary (timeline ${history.timeline}, and a primary of timeline ${latest.timeline} was found before)`,
  )
}

/** True if the first history goes on where the second one has ended, as after a promotion. */
export function isLater(
  history: PrimaryHistory | undefined,
  before: PrimaryHistory | undefined,
): history is PrimaryHistory {
  if (history === undefined || before === undefined || history.system !== before.system) return false
  return history.timeline > before.timeline
}

function problemWith({ isStandby, isReadOnly }: ServerRole, wanted: TargetSessionAttrs): string | undefined {
  switch (wanted) {
    case 'primary':
      return isStandby ? 'it is a standby' : undefined
    case 'standby':
    case 'prefer-standby':
      return isStandby ? undefined : 'it is a primary'
    case 'read-write':
      return isReadOnly ? 'its sessions are read-only' : undefined
    case 'read-only':
      return isReadOnly ? undefined : 'its sessions may write'
    case 'any':
      return undefined
  }
}

function askRole(connection: StatementConnection, asksHistory: boolean): Promise<ServerRole> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined = new Error('The server did not tell its role')
    let role: Omit<ServerRole, 'history'> = { isStandby: false, isReadOnly: false }
    let history: PrimaryHistory | undefined
    const ask = (
      text: string,
      onRow: (row: readonly (string | null)[]) => void,
      onError: (error: Error) => void,
    ): BatchStatement => ({
      text,
      prepare: false,
      rowMode: 'array',
      types: AS_TEXT,
      onResult: ({ rows: [row] }) => onRow(row as (string | null)[]),
      onError,
    })
    const askedRole = ask(
      ROLE_QUERY,
      ([recovery, readOnly]) => {
        failure = undefined
        role = { isStandby: recovery === 'true', isReadOnly: readOnly === 'on' }
      },
      (error) => (failure = error instanceof StatementNotRun ? error.cause : error),
    )
    const askedHistory = ask(
      HISTORY_QUERY,
      ([system, timeline]) => {
        if (typeof system === 'string' && typeof timeline === 'string')
          history = { system, timeline: Number.parseInt(timeline, 16) }
      },
      () => undefined,
    )
    connection.submit({
      sync: 'separate',
      statements: asksHistory ? [askedRole, askedHistory] : [askedRole],
      onEnd: () => (failure === undefined ? resolve({ ...role, history }) : reject(failure)),
    })
  })
}
