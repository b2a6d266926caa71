/**
 * Whether COMMIT waits for a synchronous standby. A cancel would end that wait, and the committed transaction could be lost.
 *
 * No parameter that the server reports shows it, so the first transaction on each connection that may be aborted, and begins with a
 * query, asks for it in the batch of BEGIN. The latest answer of a server counts for all connections to it, because
 * `synchronous_standby_names` is a setting of the whole server. Until the first answer COMMIT is assumed to wait.
 */
import type { DriverConnection } from '../driver/driver.js'
import type { BeginStatement } from './transaction-options.js'

/** NULL, not an error, where the server has no such setting. */
const TEXT = `select pg_catalog.current_setting('synchronous_standby_names', true) as "standbys"`

/**
 * The query for the setting is sent only before one of these statements. It takes the snapshot of the transaction, and so do they.
 * Before other statements it must not be sent: PostgreSQL refuses SET TRANSACTION after a query, and LOCK TABLE may have to precede
 * the snapshot.
 */
const TAKES_SNAPSHOT =
  /^\s*(?:select|with|values|table|insert|update|delete|merge|create|alter|drop|truncate)\b/i

export class SynchronousStandbys {
  readonly #asked = new WeakSet<DriverConnection>()
  /** Whether each server has synchronous standbys, by its address. */
  readonly #servers = new Map<string, boolean>()

  /** True if COMMIT may wait for a standby. */
  mayDelayCommit(connection: DriverConnection): boolean {
    return this.#servers.get(addressOf(connection)) ?? true
  }

  /**
   * The query for the setting, for the batch of BEGIN; none if this connection was asked already.
   * @param next The statement after it.
   */
  ask(connection: DriverConnection, next: string): readonly BeginStatement[] {
    if (this.#asked.has(connection) || !TAKES_SNAPSHOT.test(next)) return []
    const onRows = ([row]: readonly unknown[]): void => {
      this.#asked.add(connection)
      if (row === undefined) return
      const { standbys } = row as { standbys?: unknown }
      this.#servers.set(addressOf(connection), standbys !== null && standbys !== '')
    }
    return [{ text: TEXT, values: [], onRows }]
  }
}

function addressOf({ server }: DriverConnection): string {
  return server === undefined ? '' : `${server.host}:${String(server.port)}`
}
