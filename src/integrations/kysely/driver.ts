/** Kysely's driver: connections of an engine, or of one session. */
import type { DatabaseConnection, Driver, TransactionSettings } from 'kysely'

import type { KyselyConnection } from './connection.js'
import type { Abortable } from './statements.js'

export class KyselyDriver implements Driver {
  readonly #acquire: (signal: AbortSignal | undefined) => KyselyConnection

  /** @param acquire Makes a connection for one query, one transaction or one `db.connection()`; sends nothing yet. */
  constructor(acquire: (signal: AbortSignal | undefined) => KyselyConnection) {
    this.#acquire = acquire
  }

  init(): Promise<void> {
    return Promise.resolve()
  }

  acquireConnection(options?: Abortable): Promise<DatabaseConnection> {
    return Promise.resolve(this.#acquire(options?.signal))
  }

  beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return mine(connection).begin(settings)
  }

  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return mine(connection).commit()
  }

  rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    return mine(connection).rollback()
  }

  savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    return mine(connection).savepoint(name)
  }

  rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    return mine(connection).rollbackToSavepoint(name)
  }

  releaseSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    return mine(connection).releaseSavepoint(name)
  }

  releaseConnection(connection: DatabaseConnection): Promise<void> {
    return mine(connection).release()
  }

  /** The engine or session belongs to the caller, who ends it. */
  destroy(): Promise<void> {
    return Promise.resolve()
  }
}

function mine(connection: DatabaseConnection): KyselyConnection {
  return connection as KyselyConnection
}
