/**
 * The contract between one physical connection and everything above it. No file outside `driver/` imports `pg`.
 *
 * 1. A connection runs one batch at a time: a batch is written as one buffer and ends with ReadyForQuery.
 * 2. Every statement of a submitted batch settles exactly once, also when the connection dies.
 * 3. A connection that is `lost` stays lost. It is never repaired and never reconnects.
 */

import type { EncodedValue } from './values.js'

/** What ReadyForQuery said last; `unknown` while a batch is on its way or after the connection was lost. */
export type TransactionStatus = 'idle' | 'transaction' | 'failed' | 'unknown'

/** Converts the text of one value into what the caller sees. */
export type TypeParser = (text: string) => unknown

/** Type parsers as node-postgres takes them (`pg.types`, or an object of the same shape). */
export interface TypeParsers {
  getTypeParser(oid: number, format?: 'text'): TypeParser
}

/** Type parsers of rows that are read as arrays, and where some values need no text. */
export interface RawTypes extends TypeParsers {
  /** Places of columns whose `timestamptz` comes as a Date, where its text has the form of a server in UTC. */
  readonly instants: ReadonlySet<number>
}

/** One column of a result. */
export interface FieldDescription {
  readonly name: string
  /** OID of the type. */
  readonly dataTypeID: number
  /** OID of the table the column comes from; 0 if it is computed. */
  readonly tableID: number
  /** Attribute number in that table; 0 if it is computed. */
  readonly columnID: number
  /** Bytes of a value; negative: not fixed. Absent where the driver does not know it. */
  readonly dataTypeSize?: number
  /** `atttypmod`: what stands in brackets behind the type (`varchar(10)`), in the type's own encoding; -1 if there is none. */
  readonly dataTypeModifier?: number
}

/** How rows are delivered: an object keyed by column name, or an array in column order. */
export type RowMode = 'object' | 'array'

/** What the server answered to one statement. */
export interface StatementResult {
  /** First word of the command tag: `SELECT`, `INSERT`, `COMMIT`, ...; empty for an empty statement. */
  readonly command: string
  /** Rows that were returned or changed; null where the command has no count. */
  readonly rowCount: number | null
  readonly fields: readonly FieldDescription[]
  readonly rows: readonly unknown[]
  /** True when `maxRows` was reached and the portal holds more rows. */
  readonly suspended: boolean
}

/** One statement of a batch. */
export interface BatchStatement {
  readonly text: string
  /** Parameters, encoded by `encodeValues` when the statement was given. */
  readonly values?: readonly EncodedValue[] | undefined
  /** Default `object`. */
  readonly rowMode?: RowMode | undefined
  /** Type parsers for this statement only. */
  readonly types?: TypeParsers | RawTypes | undefined
  /** False: never give it a server-side name. Default: as the engine is configured. */
  readonly prepare?: boolean | undefined
  /** Named portal to open (`text` set) or to continue (`text` empty). */
  readonly portal?: string | undefined
  /** Stop after so many rows; the portal keeps the rest. 0 or absent: all rows. */
  readonly maxRows?: number | undefined
  /** True: parse it and bind its values without running it, to see whether the server takes both. */
  readonly onlyBind?: boolean | undefined
  /** True: close `portal` instead of running anything. */
  readonly closePortal?: boolean | undefined
  /** Ask the server to send its answer to this statement before it runs the next one. */
  readonly flushAfter?: boolean | undefined
  /** True for a COMMIT that may store something: no cancel is sent while it may be running. */
  readonly commits?: boolean | undefined
  /** Exactly one of the two is called, once. Must not throw. */
  onResult(result: StatementResult): void
  /**
   * The server's own error, the loss of the connection, or one of the classes below: `StatementSkipped`,
   * `StatementNotRun`, `RowsUnreadable`, `StandbyWaitEnded`.
   */
  onError(error: Error): void
}

/** Statements that are sent together. */
export interface Batch {
  readonly statements: readonly BatchStatement[]
  /**
   * `shared`: one Sync at the end, so the server skips everything after the first failure.
   * `separate`: a Sync after each statement, so each is its own transaction (autocommit).
   */
  readonly sync: 'shared' | 'separate'
  /**
   * Whether the batch may be sent once more after `refused` failed for its stale plan. Asked only if nothing else of the
   * transaction was rolled back than the batch itself (`separate`: than the statement). Default: never.
   */
  readonly mayRepeat?: ((refused: BatchStatement) => boolean) | undefined
  /** Called once, after every statement has settled and the connection is ready for the next batch or lost. */
  onEnd(): void
}

/** A NoticeResponse: RAISE NOTICE, warnings. Texts are in the server's language. */
export interface ServerNotice {
  /** `NOTICE`, `WARNING`, `INFO`, `LOG` or `DEBUG`; never translated. */
  readonly severity: string
  readonly message: string
  /** Five characters: `00000` for a plain RAISE NOTICE. */
  readonly sqlState: string
  readonly detail: string | undefined
  readonly hint: string | undefined
  /** The call stack of the functions that it came from. */
  readonly where: string | undefined
  /** The function in PostgreSQL's source that said it; never translated. */
  readonly routine: string | undefined
}

/** Called with each notice of each connection of a driver. Must not throw. */
export type NoticeListener = (notice: ServerNotice, connectionId: number) => void

/** Why `onError` was called for a statement that the server never ran, because an earlier one of its batch had failed. */
export class StatementSkipped extends Error {
  override readonly name = 'StatementSkipped'
}

/**
 * The server has not run the statement: it was never written to the socket, or PostgreSQL itself ended the session while it ran
 * an earlier one. `cause` is the reason.
 */
export class StatementNotRun extends Error {
  override readonly name = 'StatementNotRun'
  override readonly cause: Error

  constructor(cause: Error) {
    super(`Not run: ${cause.message}`)
    this.cause = cause
  }
}

/** The server has run the statement, but its rows cannot be converted; `cause` is the error of the type parser. */
export class RowsUnreadable extends Error {
  override readonly name = 'RowsUnreadable'
  override readonly cause: Error

  constructor(cause: Error) {
    super(cause.message)
    this.cause = cause
  }
}

/**
 * PostgreSQL has committed, but stopped waiting for a synchronous standby (a cancel, an administrator): a failover may lose
 * what was committed. PostgreSQL itself says so in a warning, and then reports success.
 */
export class StandbyWaitEnded extends Error {
  override readonly name = 'StandbyWaitEnded'

  /** The error if that is what the notice says; undefined for any other notice. */
  static from({ routine, message }: ServerNotice): StandbyWaitEnded | undefined {
    return routine === 'SyncRepWaitForLSN' ? new StandbyWaitEnded(message) : undefined
  }
}

/** Ends a transaction. */
export type EndCommand = 'COMMIT' | 'ROLLBACK'

/** Called with the end of a transaction whose session no longer has the connection. Must not throw. */
export interface CommitListener extends Pick<BatchStatement, 'onResult' | 'onError'> {
  /** Called once, after one of the two: the connection has answered, or is lost. */
  onEnd(): void
}

/** How a transaction is ended without waiting for the answer. */
export interface EndOptions {
  /**
   * Gives the end a Sync of its own, so that its answer comes before the answer to the next batch. Default: no listener; a
   * refused end becomes a warning.
   */
  readonly listener?: CommitListener | undefined
  /** How long an end with a Sync of its own may take before the connection is lost. null = no limit. */
  readonly timeoutMillis: number | null
}

/** How a connection is cleaned before its next holder gets it: `rollback`, or also everything else of the session. */
export type ResetMode = 'rollback' | 'session'

/** Where a server is. */
export interface ServerAddress {
  /** Name or address, or the directory of its Unix socket. */
  readonly host: string
  readonly port: number
}

/** The state of a physical connection and its upkeep: what a pool needs. */
export interface PhysicalConnection {
  /** Number of this connection in its driver, from 1. Stands in logs, errors and events. */
  readonly id: number
  /** The server it leads to, as it was given. Default: not known. */
  readonly server?: ServerAddress | undefined
  /** Process id of the server's backend. */
  readonly processId: number
  /** Monotonic time (see `Clock`) at which the connection was ready. */
  readonly connectedAt: number
  /** True: the primary was at another server before. No connection that is older may be used again. Default false. */
  readonly supersedes?: boolean | undefined
  readonly transactionStatus: TransactionStatus
  /** True while a batch, a COPY or any other exchange is under way. */
  readonly busy: boolean
  /** Why the connection can no longer be used; undefined while it can. */
  readonly lost: Error | undefined
  /** How long its socket took to connect, which is at least one round trip. Default: not known. */
  readonly roundTripMillis?: number | undefined
  /** With its last answer (until ReadyForQuery), the server has reported the value of a parameter. Default: not known. */
  readonly hasReportedParameter?: boolean | undefined
  /** Value of a parameter that the server reports (`server_version`, `in_hot_standby`, ...). */
  parameter(name: string): string | undefined
  /** Called once when the connection is lost, except by `close` or `destroy`. One listener; set by the pool. */
  onLost: ((error: Error) => void) | undefined
  /** One cheap round trip (an empty statement). Rejects if no answer came in time; the connection is then lost. */
  ping(timeoutMillis: number): Promise<void>
  /**
   * Cleans the connection for its next holder. `rollback` sends ROLLBACK; `session` also resets settings, LISTEN, cursors,
   * advisory locks and temporary tables. Prepared statements survive. Rejects on failure or after the timeout; the
   * connection is then lost.
   */
  reset(mode: ResetMode, timeoutMillis: number): Promise<void>
  /**
   * Sends a CancelRequest for the statement that the backend is running. It waits for the end of an earlier transaction that
   * is still unanswered, and is not sent while a COMMIT may be running (`BatchStatement.commits`). Resolves when the server
   * took it, or after the timeout.
   */
  cancel(timeoutMillis: number): Promise<void>
  /**
   * Sends Terminate and closes the socket; destroys the socket after the timeout. Never rejects, resolves when the socket is
   * closed.
   */
  close(timeoutMillis: number): Promise<void>
  /** Destroys the socket now. An exchange under way fails with `reason`. Idempotent. */
  destroy(reason?: Error): void
  /** Lets the open socket keep the process alive. */
  ref(): void
  /** Lets the process end although the socket is open. */
  unref(): void
}

/** Runs statements: what a pipeline needs of every driver. */
export interface StatementConnection {
  /** Called for each notification (LISTEN). One listener. */
  onNotification: ((message: { channel: string; payload: string; processId: number }) => void) | undefined
  /** Writes a batch. @throws IllegalStateError if one is under way. */
  submit(batch: Batch): void
  /**
   * Runs a script (simple protocol, any number of statements, no values). Rejects with the server's error.
   * @param onTag Called with the command tag of each statement that was run.
   */
  script(text: string, onTag?: (tag: string) => void): Promise<void>
}

/** Ends transactions without waiting for the answer, so that the next holder of the connection can begin. */
export interface CommitHandoff {
  /** Settles when the server has answered every end that was given; undefined if none is open. */
  readonly settled: Promise<void> | undefined
  /** True while a listener waits for an answer: the next holder of the connection would wait for that answer, too. */
  readonly awaited: boolean
  /**
   * Ends the transaction. The connection counts as idle at once, and its next batch takes the end along. Call `send` soon,
   * because there may be no next batch. If the transaction does not end, the connection is lost.
   * @throws IllegalStateError if a batch is under way.
   */
  endWithoutWaiting(command: EndCommand, options: EndOptions): void
  /** Sends an end that no batch has taken along. */
  send(): void
}

/** Runs COPY. */
export interface CopyExchange {
  /**
   * Hands the connection to an object that speaks pg's Submittable interface (a stream of COPY).
   * @param onEnd Called when the server is ready again, with its error if it refused; or when the connection was lost.
   * @throws IllegalStateError if a batch is under way.
   */
  start(submittable: object, onEnd: (error: Error | undefined) => void): void
}

/** Runs objects that speak pg's Submittable interface: pg's `Query`, pg-cursor, streams of queries and of COPY. */
export interface SubmittableExchange {
  /**
   * node-postgres's client, for its events and for what it knows of the connection. Nothing is sent on it but by `start`. Not a
   * property: a printed connection would show its password.
   */
  client(): object
  /**
   * Hands the connection to a Submittable until the server has answered everything that it sends.
   * @param listener.onEnd The server is ready for something else, with its first error if it refused; or the connection was lost.
   * @param listener.onTag Called with the command tag of each statement that was run.
   * @throws IllegalStateError if a batch is under way; StatementNotRun if the connection is lost.
   */
  start(
    submittable: object,
    listener: {
      onEnd(error: Error | undefined): void
      onTag?: ((tag: string) => void) | undefined
    },
  ): void
}

/** One physical connection to PostgreSQL. */
export interface DriverConnection extends PhysicalConnection, StatementConnection {
  /** Without it, every COMMIT is answered before the connection is handed on. */
  readonly commitHandoff?: CommitHandoff | undefined
  /** Without it, `copyFrom` and `copyTo` are refused. */
  readonly copy?: CopyExchange | undefined
  /** Without it, what only node-postgres can run (cursors and streams of other packages, several statements with their rows) is refused. */
  readonly submittables?: SubmittableExchange | undefined
}

/** Where a driver connects. */
export interface ConnectPlace {
  readonly servers: readonly ServerAddress[]
  readonly database: string
  readonly user: string
  /** Every connection is encrypted. */
  readonly isEncrypted: boolean
  /** The password for the next connection. */
  readonly password: (server: ServerAddress) => Promise<string | undefined>
}

/** Makes connections. One per engine. */
export interface Driver {
  /** Where it connects, without secrets: `user@host:port/database`. */
  readonly target: string
  /** The same in parts, for telemetry. Default: not known. */
  readonly place?: ConnectPlace | undefined
  /**
   * Opens a connection and waits until it is ready.
   * @throws ConnectError with `fatal` set; no socket stays open after a failure, a timeout or an abort.
   */
  connect(options: {
    readonly timeoutMillis: number
    readonly signal?: AbortSignal | undefined
  }): Promise<DriverConnection>
}
