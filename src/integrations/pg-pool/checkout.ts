/** One checkout of a client: its queries, and its release. */
import { tracingChannel } from 'node:diagnostics_channel'

import type { DriverConnection, TypeParsers } from '../../driver/driver.js'
import type { StatementMessage } from '../../internal/channels.js'
import type { PipelineHost, PipelineObserver } from '../../pipeline/contract.js'
import type { Lease } from '../../pool/pool.js'
import { ConnectionClosedError, Engine, IllegalStateError } from '../../index.js'
import { lostError, shorten, statementError } from './answers.js'
import { batchQueryOf, type BatchQuery, type GivenConfig } from './query-arguments.js'
import { QueryQueue, refuse, type QueueHost } from './query-queue.js'
import type { Settle } from './sent-query.js'
import type { QueryResult, Submittable } from './types.js'

/** What was checked out. */
export interface Borrowed {
  /** Texts of the named queries of the connection. */
  readonly texts: Map<string, string>
}

/** What the checkouts of a pool have in common. */
export interface CheckoutHost<Item extends Borrowed = Borrowed> {
  /** The engine's. */
  readonly pipelines: Pick<PipelineHost, 'observer' | 'source'>
  readonly captureStacks: boolean
  readonly types: TypeParsers | undefined
  /** pg's option `query_timeout`. */
  readonly queryTimeoutMillis: number | undefined
  /** pg's option `binary`. */
  readonly binary: boolean
  /** The client is released. @returns why its connection is closed. */
  released(item: Item, error: Error | boolean | undefined): Error | undefined
  /** The connection belongs to the pool again. */
  returned(item: Item): void
}

/** The channel of the package, which is found by its name. */
const statements = tracingChannel('lifeguard:statement')

/** How long the server may take to obey a cancel. */
const CANCEL_MILLIS = 3_000

export class Checkout<Item extends Borrowed = Borrowed> implements QueueHost {
  readonly connection: DriverConnection
  readonly #item: Item
  readonly #lease: Lease
  readonly #host: CheckoutHost<Item>
  readonly #queue: QueryQueue
  /** With `captureStacks`: where the client was released. */
  #releasedAt: { stack?: string } | undefined
  #released = false
  /** Why the connection is closed when it is returned. */
  #closes: Error | undefined
  #isReturned = false
  /** For the warning about an open transaction. */
  #lastText = ''

  constructor(lease: Lease, item: Item, host: CheckoutHost<Item>) {
    this.connection = lease.connection
    this.#item = item
    this.#lease = lease
    this.#host = host
    this.#queue = new QueryQueue(this)
  }

  /** See `QueueHost`. */
  get observer(): PipelineObserver | undefined {
    return this.#host.pipelines.observer
  }

  /** See `QueueHost`. */
  describe(text: string): void {
    this.#lastText = text
    this.#lease.describe(text)
  }

  /** See `QueueHost`. */
  idle(): void {
    this.#return()
  }

  /** Begun by the caller; it is sent with the next query. */
  get holdsBegin(): boolean {
    return this.#queue.holdsBegin
  }

  /** Runs a query. `settle` is called later, once. */
  query(config: GivenConfig, settle: Settle, types: BatchQuery['types']): void {
    const refusal = this.#refusal()
    if (refusal !== undefined) {
      process.nextTick(settle, refusal)
      return
    }
    const limit = config.query_timeout ?? this.#host.queryTimeoutMillis
    const told = limit === undefined || limit <= 0 ? settle : this.#limited(settle, limit)
    if (!statements.hasSubscribers) return this.#run(config, told, types)
    const message: StatementMessage = {
      ...this.#host.pipelines.source,
      kind: 'statement',
      connectionId: this.#lease.connection.id,
      text: String(config.text ?? config.name),
    }
    const noted: Settle = (error, result) => {
      note(message, error, result)
      told(error, result)
    }
    statements.traceCallback(
      (tracing: Settle) => this.#run(config, tracing, types),
      0,
      message,
      undefined,
      noted,
    )
  }

  #run(config: GivenConfig, told: Settle, types: BatchQuery['types']): void {
    try {
      const query = batchQueryOf(config, this.#item.texts)
      if (query === undefined || this.#host.binary) this.#runAsPg(config, told, types)
      else this.#queue.addStatement(types === undefined || query.types ? query : { ...query, types }, told)
    } catch (error) {
      process.nextTick(told, error)
    }
  }

  submit(submittable: Submittable, onEnd?: () => void): void {
    const refusal = this.#refusal()
    if (refusal !== undefined) {
      refuse(submittable, refusal)
      return
    }
    const { text, cursor } = submittable as { text?: unknown; cursor?: { text?: unknown } }
    const found = text ?? cursor?.text
    this.#queue.addSubmittable({
      submittable,
      text: typeof found === 'string' ? found : '(a Submittable)',
      onEnd: onEnd && (() => onEnd()),
    })
  }

  /** @throws IllegalStateError, as pg, if it was released before. */
  release(error: Error | boolean | undefined, above: (...parameters: never[]) => unknown): void {
    if (this.#released) throw this.#releasedTwice(above)
    this.#released = true
    if (this.#host.captureStacks) {
      this.#releasedAt = {}
      Error.captureStackTrace(this.#releasedAt, above)
    }
    this.#closes = this.#host.released(this.#item, error)
    if (this.#closes !== undefined || !this.#queue.busy) this.#return()
    // A callback at the end of a cursor comes before the cursor has ended.
    else if (!this.#queue.onlyStatements) process.nextTick(() => this.#return())
  }

  /**
   * Called when the connection was lost. Its place in the pool is free at once: Drizzle 0.45 never releases a client whose BEGIN has failed.
   * The client refuses queries until its caller releases it.
   */
  lost(): void {
    if (!this.#queue.busy) this.#return()
  }

  /** Called when the client is released or its connection was lost, and whenever nothing runs on it. */
  #return(): void {
    if (this.#isReturned || (!this.#released && this.#lease.connection.lost === undefined)) return
    this.#isReturned = true
    const { connection } = this.#lease
    const { transactionStatus } = connection
    if (this.#closes !== undefined) this.#lease.invalidate(this.#closes)
    else {
      const isOpen = transactionStatus === 'transaction' || transactionStatus === 'failed'
      if (isOpen || this.#queue.holdsBegin) this.#warnOfTransaction()
      this.#lease.release()
    }
    this.#host.returned(this.#item)
  }

  #refusal(): Error | undefined {
    const { lost } = this.#lease.connection
    if (this.#released) {
      return new ConnectionClosedError(
        `A query was sent on a client after its release(): the connection belongs to another caller by now${this.#where()}`,
      )
    }
    if (lost !== undefined) return lostError(lost)
    if (!this.#lease.active) return new ConnectionClosedError('The pool has taken the connection back')
    return undefined
  }

  /** pg's own query runs what a batch cannot. */
  #runAsPg(config: GivenConfig, settle: Settle, types: BatchQuery['types']): void {
    const isAlone = this.connection.transactionStatus === 'idle' && !this.#queue.holdsBegin
    let outcome: { readonly error: Error | null; readonly result: QueryResult | undefined } | undefined
    let end: { readonly undone: Error | undefined } | undefined
    // The one that comes last settles: after a loss that is the callback.
    const settleAtEnd = (): void => {
      if (outcome === undefined || end === undefined) return
      const error = outcome.error && statementError(outcome.error, { text, isAlone })
      settle(end.undone ?? error, outcome.result)
    }
    const { text: given, values, name, rowMode } = config
    const text = typeof given === 'string' ? given : ''
    const { binary = this.#host.binary, rows, portal, queryMode } = config
    const query = new Engine.nodePostgres.Query({
      ...{ text: given, values, name, rowMode, binary, rows, portal, queryMode },
      types: config.types ?? types ?? this.#host.types,
      callback: (error: Error | null, result?: QueryResult) => {
        outcome ??= { error, result }
        settleAtEnd()
      },
    })
    this.#queue.addSubmittable({
      submittable: query as Submittable,
      text,
      onEnd: (undone) => {
        end = { undone }
        settleAtEnd()
      },
    })
  }

  /** pg's `query_timeout`; here the statement is cancelled on the server, too. */
  #limited(settle: Settle, millis: number): Settle {
    const { connection } = this.#lease
    const timer = setTimeout(() => {
      told(new Error('Query read timeout'))
      void connection.cancel(CANCEL_MILLIS).then(() => {
        const giveUp = setTimeout(() => {
          if (connection.busy) connection.destroy(new Error('Query read timeout'))
        }, CANCEL_MILLIS)
        giveUp.unref()
      })
    }, millis)
    let isTold = false
    const told: Settle = (error, result) => {
      if (isTold) return
      isTold = true
      clearTimeout(timer)
      settle(error, result)
    }
    return told
  }

  #releasedTwice(above: (...parameters: never[]) => unknown): IllegalStateError {
    const error = new IllegalStateError(
      `Release called on client which has already been released to the pool${this.#where() || '.'}`,
    )
    Error.captureStackTrace(error, above)
    return error
  }

  #where(): string {
    const line = this.#releasedAt?.stack?.split('\n').find((at) => at.trimStart().startsWith('at '))
    return line === undefined ? '' : `. It was released ${line.trim()}`
  }

  #warnOfTransaction(): void {
    const where = this.#releasedAt?.stack?.split('\n').slice(1).join('\n')
    process.emitWarning(
      `A client was released inside a transaction, which is rolled back; last statement: ${shorten(this.#lastText)}` +
        (where === undefined ? '' : `; released\n${where}`),
      { type: 'LifeguardWarning', code: 'LIFEGUARD_OPEN_TRANSACTION' },
    )
  }
}

/** Notes what is known of an answer. */
function note(message: StatementMessage, error: Error | null, result: QueryResult | undefined): void {
  // Only errors of the server have both.
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  if (typeof code === 'string' && severity !== undefined) message.sqlState = code
  if (typeof result?.command === 'string') message.command = result.command
  if (typeof result?.rowCount === 'number') message.rowCount = result.rowCount
}
