/** The type of a failure as a word from a small set; never its message, which may quote values. */

/** SQLSTATE of PostgreSQL's error, or the code of Lifeguard's, or else the name of the class. */
export function errorTypeOf(error: unknown, sqlState: string | undefined): string {
  if (sqlState !== undefined) return sqlState
  if (!(error instanceof Error)) return '_OTHER'
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}
