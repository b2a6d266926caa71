/** How conversations are set up. Computed once for all that are alike. */
import type { DatabaseError } from '../database-errors.js'
import type { DriverConnection, StatementResult } from '../driver/driver.js'
import type { LifeguardError } from '../errors.js'
import type { Clock } from '../internal/clock.js'
import type { StatementsAhead } from '../internal/statements-ahead.js'
import type { Origin, Origins } from '../pool/origin.js'
import type { AcquireOptions, Lease } from '../pool/pool.js'
import type { RawRow } from '../schema/entity-meta.js'
import type { EntityQuery } from '../schema/entity-statement.js'
import type { Beginning } from './begin-plan.js'
import type { Operation } from './operation.js'
import type { ScopeHooks } from './savepoint-scopes.js'
import type { StatementRunner } from './statement-runner.js'

/** What conversations of one kind have in common. */
export interface ConversationSetup {
  readonly beginning: Beginning
  /** True: no transaction, every statement stands alone. */
  readonly autocommit: boolean
  /** False: 25006 means that the server is no primary any more, and the pool has to look for another connection. */
  readonly readOnly: boolean
  /** True: the connection goes back to the pool whenever no transaction is open. */
  readonly releaseWhenIdle: boolean
  /** How a connection is acquired. */
  readonly acquire: AcquireOptions
}

/** What the engine provides for all its conversations. */
export interface ConversationHost {
  acquire(options: AcquireOptions, origin: Origin | undefined): Promise<Lease>
  /** Notes where the statement was given that needs a connection; undefined: it is not wanted. */
  readonly origins: Origins | undefined
  readonly clock: Clock
  readonly hideParameters: boolean
  readonly prePingTimeoutMillis: number
  /** How long the server may take to answer a cancel or a ROLLBACK before the connection is dropped. */
  readonly cancelTimeoutMillis: number
  /** Who is told what is said at the moment. */
  readonly observer: ConversationObserver | undefined
}

/** Whose conversation it is. */
export interface ConversationOwner {
  /** Throws if the owner is closed. */
  requireOpen(): void
  /** A transaction begins. Must not throw. */
  began?(): void
  /** Settles when the transaction of its own has ended that the owner has open (a flush in autocommit mode). Never rejects. */
  readonly ownTransaction?: Promise<void> | undefined
  /** Comes before every statement of the user: autoflush. */
  beforeStatement?(): StatementsAhead | undefined
  /** Reads the rows of a query that gives entities. Without it, such queries are refused. */
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

/** Told what happens, as it happens. Must not throw. */
export interface ConversationObserver {
  began(connection: DriverConnection): void
  answered(
    operation: Operation,
    connection: DriverConnection,
    result: StatementResult,
    durationMillis: number,
  ): void
  refused(
    operation: Operation,
    connection: DriverConnection | undefined,
    error: Error,
    durationMillis: number,
  ): void
  /** A read-only transaction was ended without its answer being waited for. */
  concluded(connection: DriverConnection): void
}

/** Whoever starts conversations: the engine. */
export interface Converser {
  converse(setup: ConversationSetup, owner: ConversationOwner): StatementRunner
}

/** Tells the observer, if there is one, how an operation ended. */
export function observe(
  { observer, clock }: ConversationHost,
  operation: Operation,
  connection: DriverConnection | undefined,
  outcome: StatementResult | Error,
): void {
  if (observer === undefined) return
  const durationMillis = operation.sentAt === 0 ? 0 : clock.now() - operation.sentAt
  if (outcome instanceof Error) observer.refused(operation, connection, outcome, durationMillis)
  else if (connection !== undefined) observer.answered(operation, connection, outcome, durationMillis)
}
