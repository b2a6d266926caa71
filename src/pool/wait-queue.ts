/**
 * The callers that wait for a connection: first in, first out.
 *
 * 1. Every waiter settles exactly once, and leaves the queue in the same moment.
 * 2. One timer serves all waiters: it is armed for the earliest deadline, and only while a caller waits.
 * 3. Code of the waiter never runs on the stack of the code that settles it: the receiver is called in a microtask.
 */
import { AsyncResource } from 'node:async_hooks'
import { setMaxListeners } from 'node:events'
import type { Clock, Timer } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import type { AcquireTrace } from './acquire-trace.js'
import type { CallSite } from './call-site.js'
import type { AcquireOptions, Lease, LeaseReceiver } from './pool.js'

/** The arguments of one acquire. */
export interface Wanted {
  readonly options: AcquireOptions
  /** See {@link AcquireOptions.context}. */
  readonly context: object | undefined
  /** Where it was called; only with `captureStacks`. */
  readonly callSite: CallSite | undefined
}

/** One acquire in the queue. An AsyncResource, because its receiver is called in the async context of the caller. */
export class Waiter extends AsyncResource implements Wanted {
  /** Gets the connection, or the reason why there is none. */
  readonly receiver: LeaseReceiver
  readonly since: number
  readonly options: AcquireOptions
  /** When it gives up; Infinity = never, -Infinity = it waits for a connection that is being opened, never for a release. */
  deadline: number
  readonly context: object | undefined
  readonly callSite: CallSite | undefined
  previous: Waiter | undefined = undefined
  next: Waiter | undefined = undefined
  /** The listener of the caller's signal. */
  onAbort: (() => void) | undefined = undefined
  readonly #trace: AcquireTrace | undefined

  constructor(
    receiver: LeaseReceiver,
    since: number,
    deadline: number,
    { options, context, callSite }: Wanted,
    trace?: AcquireTrace,
  ) {
    super('lifeguard.Waiter', { requireManualDestroy: true })
    this.receiver = receiver
    this.since = since
    this.deadline = deadline
    this.options = options
    this.context = context
    this.callSite = callSite
    this.#trace = trace
  }

  resolve(lease: Lease): void {
    this.#later(() => {
      this.#trace?.acquired(lease)
      this.receiver.leased(lease)
    })
  }

  /** Its receiver uses a connection together with the holder of this lease, and is told by the code that takes it along. */
  takenAlong(lease: Lease): void {
    // For subscribers of acquires, it has got the connection.
    if (this.#trace !== undefined) this.#later(() => this.#trace?.acquired(lease))
  }

  reject(error: Error): void {
    this.#later(() => {
      this.#trace?.refused(error)
      this.receiver.refused(error)
    })
  }

  /** True if it does not wait for a release (timeout 0). */
  get impatient(): boolean {
    return this.deadline === -Infinity
  }

  /** True if a failed attempt to connect ends its wait. @param connections How many the pool has, or opens. */
  givesUpAt(connections: number): boolean {
    return this.impatient || (connections === 0 && this.options.failsFast === true)
  }

  #later(settle: () => void): void {
    void NOW.then(() => this.runInAsyncScope(settle))
  }
}

const NOW = Promise.resolve()

/** The deadline of a waiter with this timeout; null = no timeout. */
export function deadlineOf(timeoutMillis: number | null, now: number): number {
  if (timeoutMillis === null) return Infinity
  return timeoutMillis === 0 ? -Infinity : now + timeoutMillis
}

/** The pool, as its wait queue sees it. */
export interface WaitQueueHost {
  /** The waiter has left the queue because its signal was aborted. */
  aborted(waiter: Waiter): void
  /** The waiter has left the queue because it timed out; `lateMillis` is how long the event loop was blocked. */
  expired(waiter: Waiter, position: number, lateMillis: number): void
}

export class WaitQueue {
  readonly #clock: Clock
  readonly #host: WaitQueueHost
  #first: Waiter | undefined = undefined
  #last: Waiter | undefined = undefined
  #size = 0
  #timer: Timer | undefined = undefined
  #timerAt = Infinity
  #suspendedAt: number | undefined = undefined

  constructor(clock: Clock, host: WaitQueueHost) {
    this.#clock = clock
    this.#host = host
  }

  get size(): number {
    return this.#size
  }

  get first(): Waiter | undefined {
    return this.#first
  }

  get suspended(): boolean {
    return this.#suspendedAt !== undefined
  }

  /** True if an acquire may be served at once: no waiter is before it. */
  get open(): boolean {
    return this.#first === undefined && this.#suspendedAt === undefined
  }

  join(waiter: Waiter): void {
    waiter.previous = this.#last
    if (this.#last === undefined) this.#first = waiter
    else this.#last.next = waiter
    this.#last = waiter
    this.#size += 1
    this.#arm(waiter.deadline)
    const { signal } = waiter.options
    if (signal === undefined) return
    waiter.onAbort = () => {
      this.leave(waiter)
      this.#host.aborted(waiter)
    }
    // Many waiters may share a signal. Each removes its listener when it leaves, so this is not the leak that Node warns of.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', waiter.onAbort)
  }

  /** Takes a waiter out of the queue. The caller of this method settles it. */
  leave(waiter: Waiter): void {
    if (waiter.previous === undefined) this.#first = waiter.next
    else waiter.previous.next = waiter.next
    if (waiter.next === undefined) this.#last = waiter.previous
    else waiter.next.previous = waiter.previous
    waiter.previous = waiter.next = undefined
    this.#size -= 1
    if (this.#size === 0) this.#disarm()
    if (waiter.onAbort !== undefined) waiter.options.signal?.removeEventListener('abort', waiter.onAbort)
  }

  /** Removes and rejects the waiters that `chosen` selects. @returns how many. */
  rejectIf(chosen: (waiter: Waiter, position: number) => boolean, error: (waiter: Waiter) => Error): number {
    let position = 0
    let rejected = 0
    for (let waiter = this.#first; waiter !== undefined;) {
      const { next } = waiter
      if (chosen(waiter, position)) {
        this.leave(waiter)
        waiter.reject(error(waiter))
        rejected += 1
      } else {
        position += 1
      }
      waiter = next
    }
    return rejected
  }

  /** Takes over the waiters of another queue, in their order and with their remaining timeouts. @returns how many. */
  adopt(other: WaitQueue): number {
    // While a queue is suspended, its deadlines are relative to that suspension: both queues must agree.
    if (other.suspended) this.suspend()
    other.resume()
    const adopted = other.size
    for (let waiter = other.first; waiter !== undefined; waiter = other.first) {
      other.leave(waiter)
      this.join(waiter)
    }
    return adopted
  }

  /** Stops the timeouts of all waiters. */
  suspend(): void {
    if (this.#suspendedAt !== undefined) return
    this.#suspendedAt = this.#clock.now()
    this.#disarm()
  }

  /** Lets the timeouts run again. */
  resume(): void {
    if (this.#suspendedAt === undefined) return
    const now = this.#clock.now()
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) {
      waiter.deadline += now - Math.max(this.#suspendedAt, waiter.since)
    }
    this.#suspendedAt = undefined
    this.#rearm()
  }

  #arm(deadline: number): void {
    if (deadline >= this.#timerAt || deadline === -Infinity || this.#suspendedAt !== undefined) return
    this.#timer?.cancel()
    this.#timerAt = deadline
    const millis = Math.max(0, deadline - this.#clock.now())
    this.#timer = setDeadline(this.#clock, (lateMillis) => this.#expire(lateMillis), millis)
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = Infinity
  }

  #rearm(): void {
    this.#disarm()
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) this.#arm(waiter.deadline)
  }

  #expire(lateMillis: number): void {
    const now = this.#clock.now()
    const expired: [waiter: Waiter, position: number][] = []
    let position = 0
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) {
      if (waiter.deadline !== -Infinity && waiter.deadline <= now) expired.push([waiter, position])
      position += 1
    }
    for (const [waiter] of expired) this.leave(waiter)
    this.#rearm()
    // Last, because listeners of the host may change the queue.
    for (const [waiter, at] of expired) this.#host.expired(waiter, at, lateMillis)
  }
}
