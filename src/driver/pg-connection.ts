/** A ready connection to PostgreSQL: runs batches, scripts, pings and resets, and is closed or lost once. */
import type { Client } from 'pg'

import { isFromBackend } from '../database-errors.js'
import { IllegalStateError } from '../errors.js'
import type { Clock } from '../internal/clock.js'
import { ProtocolError, STATUS_FAILED, STATUS_IDLE, STATUS_TRANSACTION } from './backend-messages.js'
import type { BatchContext } from './batch-context.js'
import { BatchRun } from './batch-run.js'
import type { ClientCalls } from './client-calls.js'
import { ClientExchanges } from './client-exchanges.js'
import { resetStatements, runOwnStatements } from './connection-upkeep.js'
import type {
  Batch,
  BatchStatement,
  CommitHandoff,
  CopyExchange,
  DriverConnection,
  NoticeListener,
  ResetMode,
  ServerAddress,
  ServerNotice,
  SubmittableExchange,
  TransactionStatus,
  TypeParsers,
} from './driver.js'
import { StatementNotRun } from './driver.js'
import { PipelinedCommits, warnOfRefusedCommit } from './pipelined-commits.js'
import { SentValues } from './sent-values.js'
import { SchemaView } from './schema-view.js'
import { repeatable, withProbe, type Suspect } from './stale-plan.js'
import { StatementCache } from './statement-cache.js'
import type { StatementPolicy } from './statement-policy.js'
import type { WireConnection } from './wire-connection.js'
import { WireWriter } from './wire-writer.js'
import { errorFrom } from '../internal/thrown.js'

/** A connected client and what belongs to it. */
export interface PgConnectionParts {
  readonly id: number
  readonly server: ServerAddress
  readonly client: Client
  readonly calls: ClientCalls
  readonly wire: WireConnection
  readonly clock: Clock
  readonly types: TypeParsers
  readonly onNotice: NoticeListener | undefined
  /** True: values that were sent are removed from the server's errors and notices before the caller sees them. */
  readonly hideParameters: boolean
  /** Which statements are kept on the server. */
  readonly statements: StatementPolicy
  /** How long the socket took to connect: at least one round trip. */
  readonly roundTripMillis: number
  /** @param isHarmful True: the cancel could hit a COMMIT, and is not sent. */
  readonly cancel: (timeoutMillis: number, isHarmful: () => boolean) => Promise<void>
}

export class PgConnection implements DriverConnection {
  readonly id: number
  readonly server: ServerAddress
  readonly connectedAt: number
  readonly roundTripMillis: number
  supersedes = false
  onLost: ((error: Error) => void) | undefined
  /** Called when the connection has ended, however it ends, and perhaps again. One listener: the driver's. */
  onEnded: (() => void) | undefined
  onNotification: DriverConnection['onNotification']
  readonly commitHandoff: CommitHandoff
  readonly copy: CopyExchange
  readonly submittables: SubmittableExchange

  readonly #client: Client
  readonly #wire: WireConnection
  readonly #clock: Clock
  readonly #context: BatchContext
  readonly #commits: PipelinedCommits
  readonly #onNotice: NoticeListener | undefined
  /** What was sent in this transaction; only with `hideParameters`. */
  readonly #sent: SentValues | undefined
  readonly #cancel: PgConnectionParts['cancel']
  #run: BatchRun | undefined
  #suspect: Suspect | undefined
  /** Scripts, COPY and Submittables. */
  readonly #exchanges: ClientExchanges
  #lost: Error | undefined
  #closing = false

  constructor(parts: PgConnectionParts) {
    this.id = parts.id
    this.server = parts.server
    this.connectedAt = parts.clock.now()
    this.roundTripMillis = parts.roundTripMillis
    this.#client = parts.client
    this.#wire = parts.wire
    this.#clock = parts.clock
    this.#cancel = parts.cancel
    this.#onNotice = parts.onNotice
    this.#sent = parts.hideParameters ? new SentValues() : undefined
    const view = new SchemaView(parts.statements.generation, parts.wire.parameters)
    const cache = new StatementCache(parts.statements, view, parts.roundTripMillis)
    this.#context = {
      wire: parts.wire,
      writer: new WireWriter(),
      cache,
      policy: parts.statements,
      view,
      types: parts.types,
      portals: new Map(),
    }
    this.#commits = new PipelinedCommits({
      context: this.#context,
      clock: parts.clock,
      requireFree: () => this.#requireFree(),
      onBroken: (error) => this.#lose(error),
    })
    this.commitHandoff = this.#commits
    const lost = (): Error | undefined => this.#lost
    this.#exchanges = new ClientExchanges({
      client: parts.client,
      calls: parts.calls,
      context: this.#context,
      sent: this.#sent,
      get lost() {
        return lost()
      },
      requireFree: () => this.#requireFree(),
      sendEnd: () => this.#commits.send(),
      broken: (error) => this.#lose(error),
    })
    this.copy = this.#exchanges.copy
    this.submittables = this.#exchanges.submittables
    // Stays as long as the client exists: an 'error' event without a listener would end the process.
    this.#client.on('error', (error) => this.#lose(error))
    this.#client.on('end', () => this.#lose(new Error('Connection terminated unexpectedly')))
    this.#client.on('notification', (message) => {
      this.onNotification?.({
        channel: message.channel,
        payload: message.payload ?? '',
        processId: message.processId,
      })
    })
    this.#wire.conceal = this.#sent && ((texts) => this.#sent?.hide(texts))
    this.#wire.onNotice = (notice) => {
      this.#exchanges.receiveNotice(notice)
      this.tellNotice(notice)
    }
    this.#wire.onReady = () => this.#exchanges.end(undefined)
    this.#wire.onPlainError = (error) => {
      this.#exchanges.refused(error)
      // A slow reader of COPY may have paused the socket.
      this.#wire.stream.resume()
      view.refused()
    }
  }

  get processId(): number {
    return (this.#client as unknown as { processID: number }).processID
  }

  get lost(): Error | undefined {
    return this.#lost
  }

  get busy(): boolean {
    return this.#run !== undefined || this.#exchanges.busy
  }

  /** Bytes that were received until now, if an answer is awaited; undefined if none is. */
  get receivedWhileWaiting(): number | undefined {
    return this.busy || this.#commits.open ? this.#wire.stream.bytesRead : undefined
  }

  get transactionStatus(): TransactionStatus {
    if (this.busy || this.#lost !== undefined) return 'unknown'
    if (this.#commits.open) return 'idle'
    switch (this.#wire.status) {
      case STATUS_IDLE:
        return 'idle'
      case STATUS_TRANSACTION:
        return 'transaction'
      case STATUS_FAILED:
        return 'failed'
      default:
        return 'unknown'
    }
  }

  /** Passes a notice of the server to the driver's listener. */
  tellNotice(notice: ServerNotice): void {
    this.#onNotice?.(notice, this.id)
  }

  get hasReportedParameter(): boolean {
    return this.#wire.hasReportedParameter
  }

  parameter(name: string): string | undefined {
    return this.#wire.parameters.get(name)
  }

  submit(given: Batch): void {
    this.#requireFree()
    const batch = this.#withProbe(given)
    this.#sent?.add(batch, this.transactionStatus === 'idle' && !this.#commits.open)
    const isIdle = this.transactionStatus === 'idle'
    const ahead = this.#lost === undefined ? this.#commits.before(batch) : undefined
    const run = new BatchRun(batch, this.#context, () => this.#endRun(run, batch), { ahead, isIdle })
    this.#run = run
    if (this.#lost !== undefined) {
      run.fail(this.#lost)
      return
    }
    try {
      run.submit()
    } catch (error) {
      // The batch was not sent, so the statement cache is wrong about it.
      this.#lose(errorFrom(error))
    }
  }

  script(text: string, onTag?: (tag: string) => void): Promise<void> {
    return this.#exchanges.script(text, onTag)
  }

  async ping(timeoutMillis: number): Promise<void> {
    await runOwnStatements(this, this.#clock, [''], timeoutMillis, 'ping')
  }

  async reset(mode: ResetMode, timeoutMillis: number): Promise<void> {
    const statements = resetStatements(mode, this.transactionStatus !== 'idle')
    if (statements.length > 0) await runOwnStatements(this, this.#clock, statements, timeoutMillis, 'reset')
    if (this.transactionStatus !== 'idle') {
      this.destroy(new Error('The connection was still in a transaction after its reset'))
      throw this.#lost as Error
    }
  }

  async cancel(timeoutMillis: number): Promise<void> {
    const isCommitting = (): boolean => this.#run?.mayBeCommitting === true
    // Checked before the wait as well, because a connection that is destroyed meanwhile has no batch any more.
    if (isCommitting()) return
    await this.#commits.settled
    await this.#cancel(timeoutMillis, isCommitting)
  }

  close(timeoutMillis: number): Promise<void> {
    this.#closing = true
    this.#commits.send()
    return new Promise((resolve) => {
      const { stream } = this.#wire
      if (stream.destroyed && stream.closed) {
        resolve()
        return
      }
      // A server that does not answer must not delay the close.
      const timer = this.#clock.setTimer(() => this.destroy(), timeoutMillis)
      stream.once('close', () => {
        timer.cancel()
        resolve()
      })
      if (this.#lost === undefined && !this.busy) void this.#client.end().catch(() => this.destroy())
      else stream.destroy()
    })
  }

  destroy(reason: Error = new Error('The connection was closed')): void {
    this.#closing = true
    this.#fail(reason)
    this.#wire.stream.destroy()
  }

  ref(): void {
    this.#wire.stream.ref()
  }

  unref(): void {
    this.#wire.stream.unref()
  }

  /** Adds to the ROLLBACK after a failure a probe that shows whether a stale plan was the cause. */
  #withProbe(batch: Batch): Batch {
    const suspect = this.#suspect
    const { view } = this.#context
    this.#suspect = undefined
    if (suspect === undefined) return batch
    return withProbe(batch, suspect, () => view.outdated())
  }

  #requireFree(): void {
    if (this.busy) throw new IllegalStateError(`Connection ${this.id} is busy with another batch`)
  }

  #endRun(run: BatchRun, batch: Batch): void {
    if (this.#run === run) this.#run = undefined
    const { portals } = this.#context
    // An empty map is not cleared: that would make a new table, linked from the old one, which survives young collections.
    if (portals.size > 0 && this.#wire.status === STATUS_IDLE) portals.clear()
    if (run.refusedAhead !== undefined && this.#lost === undefined) {
      warnOfRefusedCommit(run.refusedAhead)
      this.#rollBackFirst()
      this.submit(batch)
      return
    }
    this.#suspect = run.suspect
    if (run.repeated === undefined || this.#lost !== undefined) batch.onEnd()
    else this.#repeat(batch, run.repeated)
  }

  /** Sends again what was refused for its stale plan. */
  #repeat(batch: Batch, refused: BatchStatement): void {
    // If it runs now, its plan was stale. Then plans of other connections may be stale, too.
    const statements = repeatable(batch, refused, () => this.#context.view.outdated())
    if (batch.sync === 'shared') this.#rollBackFirst()
    this.submit({ statements, sync: batch.sync, onEnd: () => batch.onEnd() })
  }

  /** Sends ROLLBACK before the next batch, if a transaction is open. */
  #rollBackFirst(): void {
    if (this.#wire.status !== STATUS_IDLE)
      this.#commits.endWithoutWaiting('ROLLBACK', { timeoutMillis: null })
  }

  /** The server or the network ended the connection. */
  #lose(error: Error): void {
    const first = this.#lost === undefined
    const lastWords = this.#run?.lastError ?? this.#commits.lastError
    this.#fail(error instanceof ProtocolError ? error : (lastWords ?? error))
    this.#wire.stream.destroy()
    if (first && !this.#closing) this.onLost?.(this.#lost ?? error)
  }

  /** Marks the connection lost and settles the exchange that is under way. */
  #fail(error: Error): void {
    if (this.#lost === undefined) this.#context.view.lost()
    const isGarbled = error instanceof ProtocolError
    // The last answer or refusal counts, unless an unexpected message followed it.
    if (!isGarbled) this.#run?.confirm('ended')
    else this.#exchanges.discardRefusal()
    this.#lost ??= error
    this.#wire.discard()
    const run = this.#run
    this.#run = undefined
    this.#commits.fail(this.#lost)
    const { lastError } = this.#commits
    const isBehindEnd = !isGarbled && lastError !== undefined && isFromBackend(lastError)
    run?.fail(isBehindEnd ? new StatementNotRun(this.#lost) : this.#lost)
    this.#exchanges.end(this.#lost)
    this.onEnded?.()
  }
}
