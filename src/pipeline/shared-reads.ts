/**
 * Pipelined autocommit: which reads of an engine may share a connection, and what is remembered about them.
 *
 * A read waits for a connection as any other caller does. When another read gets one, the waiting read is taken along: both are sent
 * in one batch, with a Sync each (`shared-batch.ts`). So sessions share connections only while the pool has none left.
 *
 * Only a statement that by its text reads and calls no function but some of PostgreSQL's own (`isPureRead`) may share: it leaves
 * nothing behind on the connection, it waits for no row lock, and whatever becomes of the connection, it has stored nothing.
 */
import type { Clock } from '../internal/clock.js'
import type { Operation } from './operation.js'
import type { OperationQueue } from './operation-queue.js'
import { isPureRead } from './pure-reads.js'

/** How long a text that was slow takes a connection of its own. */
const SLOW_FOR_MILLIS = 60_000
const MOST_TEXTS = 500
/** Weight of the last time in the mean of a text. */
const LAST_WEIGHT = 1 / 8

/** What a pipeline says about its next operation. */
export interface PipelineFacts {
  readonly autocommit: boolean
  /** It is a session's: it holds no connection between its statements. */
  readonly releaseWhenIdle: boolean
}

/** The state of a pipeline. */
export interface PipelineState {
  /** Each statement is its own transaction. */
  readonly standsAlone: boolean
  /** Why nothing is sent any more. */
  readonly abandoned: Error | undefined
}

export class SharedReads {
  readonly #clock: Clock
  /** Texts that were slow, and until when they are taken for slow. */
  readonly #slow = new Map<string, number>()
  /** How long the reads of a text take the server, on average. */
  readonly #times = new Map<string, { millis: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * The first operation of a queue, if it is a read that may share a batch.
   * @param takes True: takes it out of the queue.
   */
  nextOf(
    { autocommit, releaseWhenIdle }: PipelineFacts,
    queue: OperationQueue,
    { standsAlone, abandoned }: PipelineState,
    takes = false,
  ): Operation | undefined {
    const { first } = queue
    if (first?.kind !== 'statement' || !autocommit || !releaseWhenIdle) return undefined
    if (!standsAlone || abandoned !== undefined) return undefined
    // Several statements of one session stay together, in their order. COMMIT and ROLLBACK are not sent in autocommit mode.
    const { next } = first
    if (next !== undefined && next.kind !== 'commit' && next.kind !== 'rollback') return undefined
    if (first.portal !== undefined || !isPureRead(first.text) || this.#isSlow(first.text)) return undefined
    if (takes) {
      queue.makeEnd()
      queue.shift()
    }
    return first
  }

  /** A read has held up those behind it: its text takes a connection of its own for a while. */
  noteSlow(text: string): void {
    if (this.#slow.size >= MOST_TEXTS) this.#slow.clear()
    this.#slow.set(text, this.#clock.now() + SLOW_FOR_MILLIS)
  }

  /** A read of a batch was answered. @param millis Since the answer before it. */
  noteTime(text: string, millis: number): void {
    const mean = this.#times.get(text)
    if (mean !== undefined) {
      mean.millis += (millis - mean.millis) * LAST_WEIGHT
      return
    }
    if (this.#times.size >= MOST_TEXTS) this.#times.clear()
    this.#times.set(text, { millis })
  }

  /** How long a read of this text takes the server, as far as is known. */
  timeOf(text: string): number | undefined {
    return this.#times.get(text)?.millis
  }

  #isSlow(text: string): boolean {
    if (this.#slow.size === 0) return false
    const until = this.#slow.get(text)
    if (until === undefined) return false
    if (this.#clock.now() < until) return true
    this.#slow.delete(text)
    return false
  }
}
