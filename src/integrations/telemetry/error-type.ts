/** The type of a failure as a word from a small set; never its message, which may quote values. */

/** SQLSTATE of PostgreSQL's error, or the code of Lifeguard's, or else the name of the class. */
export function errorTypeOf(error: unknown, sqlState: string | undefined): string {
  if (sqlState !== undefined) return sqlState
  if (!(error instanceof Error)) return '_OTHER'
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}

/** SQLSTATE of an error of PostgreSQL, or of the failure that has aborted the transaction. */
export function sqlStateOf(error: unknown): string | undefined {
  const { sqlState, cause } = Object(error) as { sqlState?: unknown; cause?: unknown }
  if (typeof sqlState === 'string') return sqlState
  const { sqlState: first } = Object(cause) as { sqlState?: unknown }
  return typeof first === 'string' ? first : undefined
}
