/** What a session or a connection provides to the layer that runs its statements. */
import type { DatabaseError } from '../database-errors.js'
import type { LifeguardError } from '../errors.js'
import type { StatementsAhead } from '../internal/statements-ahead.js'
import type { RawRow } from '../schema/entity-meta.js'
import type { EntityQuery } from '../query/entity-statement.js'
import type { TransactionListener } from '../pipeline/contract.js'

/** What owns a pipeline: a session, or a connection of the engine. */
export interface ExecutionOwner extends TransactionListener {
  /** Throws if the owner is closed. */
  requireOpen(): void
  /** Settles when the transaction of its own has ended that the owner has open (a flush in autocommit mode). Never rejects. */
  readonly ownTransaction?: Promise<void> | undefined
  /** Comes before every statement of the user: autoflush. */
  beforeStatement?(): StatementsAhead | undefined
  /** Reads the rows of a query for entities. Without it, such queries are refused. */
  entityReader?(query: EntityQuery): EntityReader
  /** What an error of PostgreSQL means, where it is more than that. */
  translate?(error: DatabaseError): LifeguardError | undefined
  readonly scopeHooks?: ScopeHooks
}

/** Makes entities of the rows of one query. */
export interface EntityReader {
  /** The query takes its place in the queue: what happens to objects from now on is news to its rows. */
  readonly queued: () => void
  read(rows: readonly RawRow[]): Promise<object[]>
}

/** What an owner that keeps state beside the database (a unit of work) does when a savepoint begins and ends. */
export interface ScopeHooks {
  /** Before SAVEPOINT; may still issue statements. */
  entering?(): Promise<void> | undefined
  entered?(): void
  /** Before RELEASE; may still issue statements. */
  releasing?(): Promise<void> | undefined
  /** @param depth Savepoints that are still open. */
  released?(depth: number): void
  /** @param depth Savepoints that are still open. */
  rolledBack?(depth: number): void
}
