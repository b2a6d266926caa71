/** Structural types of node-postgres's pool and clients, which code that expects the types of `@types/pg` accepts. */
import type { EventEmitter } from 'node:events'
import type { Duplex, Readable, Writable } from 'node:stream'

/** What is sent by a {@link Submittable}: node-postgres's connection. */
export interface ClientConnection extends EventEmitter {
  readonly stream: Duplex
  bind(config: unknown, more: boolean): void
  execute(config: unknown, more: boolean): void
  parse(query: unknown, more: boolean): void
  query(text: string): void
  describe(message: unknown, more: boolean): void
  close(message: unknown, more: boolean): void
  flush(): void
  sync(): void
  end(): void
}

/** An object that speaks to the server itself: pg's `Query`, pg-cursor, pg-query-stream, pg-copy-streams. */
export interface Submittable {
  submit(connection: never): void
}

/** What pg's types leave open: code that is ported must not have to name its rows first. */
type Open = ReturnType<typeof JSON.parse>

/** One row. Name its type to have it checked: `query<{ id: number }>(...)`. */
export type QueryResultRow = Record<string, Open>

/** Values of a statement. */
export type QueryValues<Values> = Values extends unknown[] ? Values : never

/** One statement, as pg takes it. */
export interface QueryConfig<Values = Open[]> {
  /** Checked as in pg: one text for each name. The engine prepares statements by their text, with or without a name. */
  name?: string | undefined
  text: string
  values?: QueryValues<Values>
  /** Parsers of this result. */
  types?: { getTypeParser(oid: number, format?: Open): Open } | undefined
}

/** A statement whose rows come as arrays. */
export interface QueryArrayConfig<Values = Open[]> extends QueryConfig<Values> {
  rowMode: 'array'
}

/** One column. */
export interface FieldDef {
  name: string
  tableID: number
  columnID: number
  dataTypeID: number
  dataTypeSize: number
  dataTypeModifier: number
  format: string
}

/** What a statement gives. Several statements in one text give a list of these, as in pg. */
export interface QueryResult<Row = Open> {
  command: string
  rowCount: number | null
  /** As in pg: 0 for INSERT, otherwise null. Rows have no OIDs since PostgreSQL 12. */
  oid: number
  fields: FieldDef[]
  rows: Row[]
}

/** Told how a statement ended. */
export type QueryCallback<Row> = (error: Error, result: QueryResult<Row>) => void

/** `query` in the forms of pg. */
export interface Queryable {
  query<Query extends Submittable>(query: Query): Query
  query<Row extends Open[] = Open[], Values = Open[]>(
    config: QueryArrayConfig<Values>,
    values?: QueryValues<Values>,
  ): Promise<QueryResult<Row>>
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    config: QueryConfig<Values>,
  ): Promise<QueryResult<Row>>
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    textOrConfig: string | QueryConfig<Values>,
    values?: QueryValues<Values>,
  ): Promise<QueryResult<Row>>
  query<Row extends Open[] = Open[], Values = Open[]>(
    config: QueryArrayConfig<Values>,
    callback: QueryCallback<Row>,
  ): void
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    textOrConfig: string | QueryConfig<Values>,
    callback: QueryCallback<Row>,
  ): void
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    text: string,
    values: QueryValues<Values>,
    callback: QueryCallback<Row>,
  ): void
}

/** Status of a transaction: none, open, failed; null while it is not known. */
export type TransactionStatus = 'I' | 'T' | 'E' | null

/** A checked-out client, as pg's `PoolClient`. Also an EventEmitter: `error`, `notice`, `notification`, `end`. */
export interface PoolClient extends EventEmitter, Queryable {
  readonly user?: string | undefined
  readonly database?: string | undefined
  readonly host: string
  readonly port: number
  readonly ssl: boolean
  /** Queries that are not awaited are sent together; true if pg's option says so. */
  readonly pipeline: boolean
  /** Process id of the server's backend; 0 for the client of a session, whose connections change. */
  readonly processID: number
  /** node-postgres's connection, for Submittables. Nothing else may be sent on it. */
  readonly connection: ClientConnection
  /** Always rejects: the pool has connected it. */
  connect(): Promise<Open>
  connect(callback: (error: Open, client: Open) => void): void
  /** Closes the connection instead of keeping it; `release()` is still needed. */
  end(): Promise<void>
  end(callback: (error: Error) => void): void
  /**
   * Gives the client back. An open transaction is rolled back, and a warning tells the line.
   * @param error An error or true closes the connection.
   * @throws IllegalStateError if it was released before.
   */
  release(error?: Error | boolean): void
  getTransactionStatus(): TransactionStatus
  setTypeParser(oid: number, format: Open, parser?: Open): void
  getTypeParser(oid: number, format?: Open): Open
  escapeIdentifier(text: string): string
  escapeLiteral(text: string): string
  ref(): void
  unref(): void
  /** In the types of pg only: node-postgres has no such method. */
  copyFrom(text: string): Writable
  /** In the types of pg only: node-postgres has no such method. */
  copyTo(text: string): Readable
  /** In the types of pg only: node-postgres has no such method. */
  pauseDrain(): void
  /** In the types of pg only: node-postgres has no such method. */
  resumeDrain(): void
}

/** Settings of a pool that libraries read. */
export interface PoolSettings {
  max: number
  min: number
  maxUses: number
  allowExitOnIdle: boolean
  maxLifetimeSeconds: number
  idleTimeoutMillis: number | null
  connectionTimeoutMillis: number
  host?: string | undefined
  port?: number | undefined
  user?: string | undefined
  database?: string | undefined
  ssl?: boolean | undefined
}

/** A pool whose clients are one session; as pg's `Pool`. */
export interface SessionPool extends EventEmitter, Queryable {
  readonly totalCount: number
  readonly idleCount: number
  readonly waitingCount: number
  readonly expiredCount: number
  readonly ending: boolean
  readonly ended: boolean
  options: PoolSettings
  connect(): Promise<PoolClient>
  connect(
    callback: (
      error: Error | undefined,
      client: PoolClient | undefined,
      release: (error?: Open) => void,
    ) => void,
  ): void
  /** Ends the pool, not the session. */
  end(): Promise<void>
  end(callback: () => void): void
}
