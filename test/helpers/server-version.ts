/** The version of the run's server, for SQL that a version understands and an earlier one does not. */
import { serverUrl } from './database.js'
import { query } from './databases.js'

const [server] = await query<{ major: number }>(
  serverUrl(),
  "select current_setting('server_version_num')::int / 10000 as major",
)

/**
 * SQL, or what a server says about it, from the first major version on that has it.
 * @param before What stands there on an earlier server.
 */
export function since(major: number, text: string, before = ''): string {
  return server !== undefined && server.major >= major ? text : before
}

/** Without those that the server does not have. */
export function understood(texts: readonly string[]): readonly string[] {
  return texts.filter((text) => text !== '')
}
