/**
 * The `node:diagnostics_channel` channels of Lifeguard: what OpenTelemetry, Prometheus and any inspector subscribe to.
 *
 * 1. Channels are found by name in the whole process, so all copies of this package share them.
 * 2. Publishers check `hasSubscribers` first: without a subscriber no message is made.
 * 3. No message holds a password or a parameter value.
 */
import { channel, tracingChannel, type Channel, type TracingChannel } from 'node:diagnostics_channel'

/** What the messages about an engine begin with. */
export interface MessageSource {
  /** Name of the engine, which its pool shares. */
  readonly pool: string
  /** Number of the engine in this process: two engines may have one name. 0: a pool without an engine. */
  readonly engineId: number
}

/** Message of `lifeguard:acquire`: from the call until the lease was handed out or the call has failed. */
export interface AcquireMessage extends MessageSource {
  /** True: no connection was free, so the caller joined the queue. */
  waited: boolean
  /** Set once a lease was handed out. */
  connectionId?: number
}

/** Message of `lifeguard:connect`: one attempt to open a connection. */
export interface ConnectMessage extends MessageSource {
  /** `user@host:port/database`. */
  readonly target: string
  /** Set once the connection was opened. */
  connectionId?: number
}

/** What a statement of entities is about: known from the declarations, never read from its text. */
export interface StatementSubject {
  /** `SELECT`, `INSERT`, `UPDATE` or `DELETE`. */
  readonly operation?: string
  /** Its table; `schema.table` where the declaration has a schema. */
  readonly collection?: string
}

/** Message of `lifeguard:statement`: one statement, script, COPY or stream, from its call until its result. */
export interface StatementMessage extends MessageSource, StatementSubject {
  /** A stream is one message, from its first page until it was read or left. */
  readonly kind: 'statement' | 'script' | 'copy' | 'stream' | 'listen' | 'submittable'
  readonly text: string
  /** If it had a connection when it was called, or when it has ended. */
  connectionId: number | undefined
  /** First word of the command tag; set by an answer. */
  command?: string
  /** Rows that were returned or changed; of a stream, those that were read. Set by an answer that counts them. */
  rowCount?: number
  /** Of the error, if PostgreSQL refused it. */
  sqlState?: string
  /** Message of its transaction, if that channel has subscribers: the one that is open, or that the statement will begin. */
  transaction?: TransactionMessage
}

/** Message of `lifeguard:transaction`: from BEGIN until COMMIT or ROLLBACK was answered. */
export interface TransactionMessage extends MessageSource {
  /** Set when BEGIN is sent. */
  connectionId: number | undefined
  /** Set when it has ended. */
  outcome?: 'committed' | 'rolled back' | 'unknown'
  /** Of the error, if PostgreSQL refused BEGIN or COMMIT. */
  sqlState?: string
}

/** Message of `lifeguard:flush`: from the first statement of a flush until the last one was answered. */
export interface FlushMessage extends MessageSource {
  /** Numbers of objects. */
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
}

/** Message of `lifeguard:release`. */
export interface ReleaseMessage {
  readonly pool: string
  readonly connectionId: number
  readonly heldMillis: number
}

/** Message of `lifeguard:connection:closed`. */
export interface ConnectionClosedMessage {
  readonly pool: string
  readonly connectionId: number
  /** One of the reasons in `PoolStats.closed`. */
  readonly reason: string
  readonly ageMillis: number
}

/** Message of `lifeguard:leak`: see the event of the same name. */
export interface LeakMessage {
  readonly pool: string
  readonly connectionId: number
  readonly heldMillis: number
  readonly stage: 'held' | 'returned' | 'reclaimed'
  readonly stack: string | undefined
}

/** Message of `lifeguard:notice`: a notice of the server (RAISE NOTICE, warnings). */
export interface NoticeMessage {
  /** Name of the engine. */
  readonly engine: string
  readonly connectionId: number
  /** `NOTICE`, `WARNING`, `INFO`, `LOG` or `DEBUG`; never translated. */
  readonly severity: string
  readonly message: string
  readonly sqlState: string
  readonly detail: string | undefined
  readonly hint: string | undefined
  /** The call stack of the functions that it came from. */
  readonly where: string | undefined
  /** The function in PostgreSQL's source that sent it; never translated. */
  readonly routine: string | undefined
}

type Tracing<Message extends object> = TracingChannel<unknown, Message>

export const acquireChannel: Tracing<AcquireMessage> = tracingChannel('lifeguard:acquire')
export const connectChannel: Tracing<ConnectMessage> = tracingChannel('lifeguard:connect')
export const statementChannel: Tracing<StatementMessage> = tracingChannel('lifeguard:statement')
export const transactionChannel: Tracing<TransactionMessage> = tracingChannel('lifeguard:transaction')
export const flushChannel: Tracing<FlushMessage> = tracingChannel('lifeguard:flush')

/** Its messages are {@link ReleaseMessage}s. */
export const releaseChannel: Channel = channel('lifeguard:release')
/** Its messages are {@link ConnectionClosedMessage}s. */
export const connectionClosedChannel: Channel = channel('lifeguard:connection:closed')
/** Its messages are {@link LeakMessage}s. */
export const leakChannel: Channel = channel('lifeguard:leak')
/** Its messages are {@link NoticeMessage}s. */
export const noticeChannel: Channel = channel('lifeguard:notice')
