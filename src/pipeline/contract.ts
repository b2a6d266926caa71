/** The contract of the pipeline: its set-up, its host (the engine), and its listeners. */
import type { DriverConnection, StatementResult } from '../driver/driver.js'
import type { MessageSource } from '../internal/channels.js'
import type { Clock } from '../internal/clock.js'
import type { CallSite, CallSites } from '../pool/call-site.js'
import type { AcquireOptions, Lease, LeaseReceiver } from '../pool/pool.js'
import type { Beginning } from './begin.js'
import type { WalPosition } from '../internal/wal-position.js'
import type { Replay } from './in-flight-batch.js'
import type { Operation } from './operation.js'
import type { LeaseSharing } from './lease-sharing.js'
import type { SharedReads } from './shared-reads.js'
import type { SynchronousStandbys } from './synchronous-standbys.js'

/** Settings of a pipeline. Computed once and shared by pipelines with the same options. */
export interface PipelineSetup {
  readonly beginning: Beginning
  /** True: no transaction, every statement is its own transaction. */
  readonly autocommit: boolean
  /** False: error 25006 means that the server is no primary any more, so the connection is replaced. */
  readonly readOnly: boolean
  /**
   * How many other servers there are: a batch that only reads may be sent again to each, as long as none of its statements was
   * answered. If defined, every BEGIN has a deadline.
   */
  readonly otherServers?: number | undefined
  /** True while the connection is one to a replica, so that another server may run what this one cannot. */
  readonly isAtReplica?: (() => boolean) | undefined
  /** True: the connection goes back to the pool whenever no transaction is open. */
  readonly releaseWhenIdle: boolean
  /** How a connection is acquired. */
  readonly acquire: AcquireOptions
}

/** What the engine provides for all its pipelines. */
export interface PipelineHost {
  /** Identifies the engine in messages of channels. */
  readonly source: MessageSource
  acquire(options: AcquireOptions, callSite: CallSite | undefined): Promise<Lease>
  /** As `acquire`, but calls the receiver with the lease: at once, or in a later microtask. */
  request(receiver: LeaseReceiver, options: AcquireOptions, callSite: CallSite | undefined): void
  /** Captures the call site of the statement that needs a connection; undefined without `captureStacks`. */
  readonly callSites: CallSites | undefined
  readonly clock: Clock
  readonly hideParameters: boolean
  readonly prePingTimeoutMillis: number
  /** How long the server may take to answer a cancel or a ROLLBACK before the connection is dropped. */
  readonly cancelTimeoutMillis: number
  /** Which reads may share a connection, and what sends them; undefined: each takes one of its own (`pipelining`). */
  readonly sharedReads: SharedReads | undefined
  readonly sharing: LeaseSharing | undefined
  readonly standbys: SynchronousStandbys
  /** Receives statement events (echo); undefined if the echo is off. */
  readonly observer: PipelineObserver | undefined
}

/** Called when a transaction begins, and with the position of what it has stored. Must not throw. */
export interface TransactionListener {
  began?(): void
  /**
   * Called when the batch that is sent now may store something. If it is defined, the batch also asks for the position of the
   * write-ahead log, after everything else.
   * @returns a callback for the position, undefined if that is not known. It is called before the caller's call resolves.
   */
  readonly storing?: (() => (position: WalPosition | undefined) => void) | undefined
  /** A batch is sent again, on another connection. */
  moved?(replay: Replay): void
}

/** What an observer sees of an operation. */
export type Observed = Pick<Operation, 'kind' | 'text' | 'values'>

/** Receives statement events. Must not throw. */
export interface PipelineObserver {
  began(connection: DriverConnection): void
  answered(
    operation: Observed,
    connection: DriverConnection,
    result: StatementResult,
    durationMillis: number,
  ): void
  refused(
    operation: Observed,
    connection: DriverConnection | undefined,
    error: Error,
    durationMillis: number,
  ): void
  /** A read-only transaction was committed without waiting for the answer. */
  committedWithoutWaiting(connection: DriverConnection): void
}

/** Reports to the observer, if there is one, how an operation ended. */
export function observe(
  { observer, clock }: PipelineHost,
  operation: Operation,
  connection: DriverConnection | undefined,
  outcome: StatementResult | Error,
): void {
  if (observer === undefined) return
  const durationMillis = operation.sentAt === 0 ? 0 : clock.now() - operation.sentAt
  if (outcome instanceof Error) observer.refused(operation, connection, outcome, durationMillis)
  else if (connection !== undefined) observer.answered(operation, connection, outcome, durationMillis)
}
