/** What a session or a connection provides to the layer that runs its statements. */
import type { DatabaseError } from '../database-errors.js'
import type { LifeguardError } from '../errors.js'
import type { StatementsAhead } from '../internal/statements-ahead.js'
import type { RawRow } from '../schema/entity-meta.js'
import type { EntityQuery } from '../query/entity-statement.js'
import type { TransactionListener } from '../pipeline/contract.js'

/** The owner of a pipeline: a session, or a connection of the engine. */
export interface ExecutionOwner extends TransactionListener {
  /** Throws if the owner is closed. */
  requireOpen(): void
  /** Settles when the transaction that the owner has opened for itself (a flush in autocommit mode) has ended. Never rejects. */
  readonly ownTransaction?: Promise<void> | undefined
  /** Called before every statement of the user: autoflush. */
  beforeStatement?(): StatementsAhead | undefined
  /** Reads the rows of a query for entities. Without it, such queries are refused. */
  entityReader?(query: EntityQuery): EntityReader
  /** Replaces an error of PostgreSQL by a more specific one (a stale row, a unique conflict). */
  translate?(error: DatabaseError): LifeguardError | undefined
  readonly scopeHooks?: ScopeHooks
}

/** Makes entities of the rows of one query. */
export interface EntityReader {
  /** Called when the query is queued: changes to objects from now on are newer than its rows. */
  readonly queued: () => void
  read(rows: readonly RawRow[]): Promise<object[]>
}

/** Called when a savepoint begins and ends, for an owner with state of its own (a unit of work). */
export interface ScopeHooks {
  /** Before SAVEPOINT; may still issue statements. */
  entering?(): Promise<void> | undefined
  entered?(): void
  /** Before RELEASE; may still issue statements. */
  releasing?(): Promise<void> | undefined
  /** @param depth How many savepoints are still open. */
  released?(depth: number): void
  /** @param depth How many savepoints are still open. */
  rolledBack?(depth: number): void
}
