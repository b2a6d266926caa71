/** What PostgreSQL refuses because the server is a standby (SQLSTATE 0A000). The functions that report it have the same names in every language. */

/** Where the isolation level is refused if it is the default of the session: at the first snapshot. */
const AT_SNAPSHOT = 'GetSerializableTransactionSnapshot'
const SERIALIZABLE_REFUSALS = new Set([AT_SNAPSHOT, 'call_enum_check_hook'])
/** Where other modes of the transaction are refused. */
const OTHER_REFUSALS = new Set(['call_bool_check_hook', 'call_string_check_hook'])

interface Refusal {
  readonly code?: string | undefined
  readonly routine?: string | undefined
}

/** True if the transaction would be serializable, and a standby cannot run it. It has run nothing. */
export function isSerializableRefused({ code, routine = '' }: Refusal): boolean {
  return code === '0A000' && SERIALIZABLE_REFUSALS.has(routine)
}

/** True if it would be serializable by the default of the session. */
export function isDefaultRefused(error: Error): boolean {
  const { code, routine } = error as Refusal
  return code === '0A000' && routine === AT_SNAPSHOT
}

/** True if a standby has refused a mode of the transaction. */
export function isModeRefused(refusal: Refusal): boolean {
  const { code, routine = '' } = refusal
  return isSerializableRefused(refusal) || (code === '0A000' && OTHER_REFUSALS.has(routine))
}
