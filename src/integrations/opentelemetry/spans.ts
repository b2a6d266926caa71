/**
 * Spans of an engine: statements (CLIENT), and around them flushes, transactions and waits for a connection (INTERNAL). A connect is a
 * trace of its own: the connection outlives the request that needed it first.
 *
 * 1. The parent of a statement is the span that was active when it was called. If its transaction or its flush began under that same
 *    span, the statement is a child of the transaction or the flush. So statements under a span of the caller inside a block stay its
 *    children.
 * 2. The context is read when a message starts, never when it ends, because the code of another request may be running then.
 * 3. A span is made when its work has ended, with its start time, because its transaction is only known then: BEGIN is sent after the
 *    statement was called. The spans of transactions and flushes are made earlier, for their first child.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import {
  context,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import type {
  AcquireMessage,
  ConnectMessage,
  FlushMessage,
  MessageSource,
  StatementMessage,
  TransactionMessage,
} from '../../internal/channels.js'
import { errorTypeOf } from '../telemetry/error-type.js'
import { follow, type Ended } from '../telemetry/follow.js'
import { rowsOf, type EngineAttributes } from './attributes.js'
import type { QueryTexts } from './query-text.js'
import { Timeline } from './timeline.js'

/** Work whose message has started. */
class Started {
  readonly at: number
  readonly context: Context

  constructor(at: number) {
    this.at = at
    this.context = context.active()
  }

  /** The span of the caller that was active is the same. */
  isBeside(other: Started): boolean {
    return trace.getSpan(this.context) === trace.getSpan(other.context)
  }
}

/** A transaction or a flush: work with children. */
class Parent extends Started {
  span: Span | undefined = undefined
  /** Of a flush: its transaction. */
  within: Parent | undefined = undefined

  /** The context of its children. */
  get inside(): Context {
    return this.span === undefined ? this.context : trace.setSpan(this.context, this.span)
  }
}

class StatementStart extends Started {
  readonly flush: Parent | undefined
  /** Waiting for its connection, which has ended before the span of the statement is made. */
  readonly acquires: (() => void)[] = []
  /** Where the spans of `acquires` belong. */
  inside: Context | undefined = undefined

  constructor(at: number, flush: Parent | undefined) {
    super(at)
    this.flush = flush
  }
}

/** What the spans of an engine are made with. */
export interface SpanParts {
  readonly tracer: Tracer
  readonly engineId: number
  readonly attributes: EngineAttributes
  /** Undefined: `db.query.text` is left out. */
  readonly texts: QueryTexts | undefined
}

export class Spans {
  readonly #parts: SpanParts
  readonly #timeline = new Timeline()
  readonly #transactions = new WeakMap<TransactionMessage, Parent>()
  readonly #flushes = new WeakMap<FlushMessage, Parent>()
  readonly #statements = new WeakMap<StatementMessage, StatementStart>()
  readonly #acquires = new WeakMap<
    AcquireMessage,
    { started: Started; statement: StatementStart | undefined }
  >()
  /** When they began. */
  readonly #connects = new WeakMap<ConnectMessage, number>()
  /** The flush and the statement that the current call belongs to. */
  readonly #flush = new AsyncLocalStorage<Parent | undefined>()
  readonly #statement = new AsyncLocalStorage<StatementStart | undefined>()
  readonly #stop: readonly (() => void)[]

  constructor(parts: SpanParts) {
    this.#parts = parts
    const { engineId } = parts
    this.#stop = [
      this.#bind<FlushMessage, Parent>('lifeguard:flush', this.#flush, (flush) => this.#flushOf(flush)),
      this.#bind<StatementMessage, StatementStart>('lifeguard:statement', this.#statement, (statement) =>
        this.#statementOf(statement),
      ),
      follow<TransactionMessage>('lifeguard:transaction', engineId, {
        start: (message) => this.#begin(message),
        end: (message) => this.#endTransaction(message),
      }),
      follow<FlushMessage>('lifeguard:flush', engineId, { end: (message) => this.#endFlush(message) }),
      follow<StatementMessage>('lifeguard:statement', engineId, {
        start: (message) => void this.#statementOf(message),
        end: (message) => this.#endStatement(message),
      }),
      follow<AcquireMessage>('lifeguard:acquire', engineId, {
        start: (message) =>
          void this.#acquires.set(message, {
            started: new Started(this.#timeline.now()),
            statement: this.#statement.getStore(),
          }),
        end: (message) => this.#endAcquire(message),
      }),
      follow<ConnectMessage>('lifeguard:connect', engineId, {
        start: (message) => void this.#connects.set(message, this.#timeline.now()),
        end: (message) => this.#endConnect(message),
      }),
    ]
  }

  stop(): void {
    for (const stop of this.#stop) stop()
  }

  /** Lets everything that a message covers, also across `await`, find what was made for the message. */
  #bind<Message extends MessageSource, Made>(
    name: string,
    store: AsyncLocalStorage<Made | undefined>,
    make: (message: Message) => Made,
  ): () => void {
    const starts = channel(`tracing:${name}:start`)
    starts.bindStore(store, (message) =>
      (message as Message).engineId === this.#parts.engineId ? make(message as Message) : store.getStore(),
    )
    return () => void starts.unbindStore(store)
  }

  #flushOf(message: FlushMessage): Parent {
    const known = this.#flushes.get(message)
    if (known !== undefined) return known
    const flush = new Parent(this.#timeline.now())
    this.#flushes.set(message, flush)
    return flush
  }

  #statementOf(message: StatementMessage): StatementStart {
    const known = this.#statements.get(message)
    if (known !== undefined) return known
    const statement = new StatementStart(this.#timeline.now(), this.#flush.getStore())
    this.#statements.set(message, statement)
    const { transaction } = message
    // The transaction begins with its first statement. The connection is acquired for that statement.
    if (transaction !== undefined && !this.#transactions.has(transaction))
      this.#transactions.set(transaction, new Parent(statement.at))
    return statement
  }

  #begin(message: TransactionMessage): void {
    const transaction = this.#transactions.get(message) ?? new Parent(this.#timeline.now())
    this.#transactions.set(message, transaction)
    transaction.span = this.#open('lifeguard.transaction', transaction, transaction.context)
  }

  #endTransaction(message: TransactionMessage & Ended): void {
    const { span } = this.#transactions.get(message) ?? {}
    if (span === undefined) return
    const { outcome, sqlState } = message
    if (outcome !== undefined) span.setAttribute('lifeguard.transaction.outcome', outcome)
    if (sqlState !== undefined)
      span.setAttributes({ 'db.response.status_code': sqlState, 'error.type': sqlState })
    if (sqlState !== undefined || outcome === 'unknown') span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(this.#timeline.now())
  }

  #endFlush(message: FlushMessage & Ended): void {
    const flush = this.#flushes.get(message)
    if (flush === undefined) return
    const span = this.#spanOfFlush(flush)
    const { inserted, updated, deleted, error } = message
    span.setAttributes({
      'lifeguard.flush.inserted': inserted,
      'lifeguard.flush.updated': updated,
      'lifeguard.flush.deleted': deleted,
    })
    this.#end(span, error, undefined)
  }

  #endStatement(message: StatementMessage & Ended): void {
    const statement = this.#statements.get(message)
    if (statement === undefined) return
    const { attributes, texts, tracer } = this.#parts
    const known = attributes.of(message)
    const span = tracer.startSpan(
      known.spanName,
      {
        kind: SpanKind.CLIENT,
        startTime: statement.at,
        attributes: {
          ...known.attributes,
          ...(texts && { 'db.query.text': texts.of(message.text) }),
          ...rowsOf(message),
        },
      },
      this.#parentOf(statement, message),
    )
    statement.inside = trace.setSpan(statement.context, span)
    for (const acquired of statement.acquires) acquired()
    this.#end(span, message.error, message.sqlState)
  }

  #parentOf(statement: StatementStart, { transaction: message }: StatementMessage): Context {
    const transaction = message && this.#transactions.get(message)
    const { flush } = statement
    if (flush !== undefined) {
      flush.within ??= transaction
      this.#spanOfFlush(flush)
      return flush.inside
    }
    return transaction?.isBeside(statement) === true ? transaction.inside : statement.context
  }

  #spanOfFlush(flush: Parent): Span {
    const { within } = flush
    const parent = within?.isBeside(flush) === true ? within.inside : flush.context
    return (flush.span ??= this.#open('lifeguard.flush', flush, parent))
  }

  #endAcquire(message: AcquireMessage & Ended): void {
    const acquire = this.#acquires.get(message)
    // A connection that was free costs microseconds.
    if (acquire === undefined || (!message.waited && message.error === undefined)) return
    const { started, statement } = acquire
    const endedAt = this.#timeline.now()
    const emit = (): void => {
      const span = this.#open('lifeguard.acquire', started, statement?.inside ?? started.context)
      this.#end(span, message.error, undefined, endedAt)
    }
    if (statement === undefined || statement.inside !== undefined) emit()
    else statement.acquires.push(emit)
  }

  #endConnect(message: ConnectMessage & Ended): void {
    const startTime = this.#connects.get(message)
    if (startTime === undefined) return
    const { attributes, tracer } = this.#parts
    const options = { kind: SpanKind.INTERNAL, startTime, attributes: attributes.plain, root: true }
    this.#end(tracer.startSpan('lifeguard.connect', options), message.error, undefined)
  }

  #open(name: string, { at }: Started, parent: Context): Span {
    const attributes: Attributes = this.#parts.attributes.plain
    return this.#parts.tracer.startSpan(name, { kind: SpanKind.INTERNAL, startTime: at, attributes }, parent)
  }

  /** The message of an error may quote values, so only its type is reported. */
  #end(span: Span, error: unknown, sqlState: string | undefined, at = this.#timeline.now()): void {
    if (error !== undefined) {
      span.setAttribute('error.type', errorTypeOf(error, sqlState))
      span.setStatus({ code: SpanStatusCode.ERROR })
    }
    span.end(at)
  }
}
