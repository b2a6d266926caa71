/**
 * Operations that have not been sent, in the order in which they were issued.
 *
 * They are linked by `Operation.next`, so an operation is in one queue at most. An array would keep room for 16 more, and most
 * sessions that wait for a connection have one or two operations.
 */
import type { Operation } from './operation.js'

/** The COMMIT of a block that has returned its only statement. */
export interface BatchEnd {
  /** Called once, when COMMIT takes its place in the queue. */
  queued(): Operation
}

export class OperationQueue {
  #first: Operation | undefined = undefined
  #last: Operation | undefined = undefined
  /** The COMMIT that comes after the last operation, until it is made. */
  #end: BatchEnd | undefined = undefined

  /** The operation that is sent next. */
  get first(): Operation | undefined {
    return this.#first
  }

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  /**
   * Puts COMMIT at the end, but makes it only when the operation before it is sent, because thousands of blocks may wait for a
   * connection. Undefined: withdraws a COMMIT that was not made.
   */
  endWith(end: BatchEnd | undefined): void {
    this.#end = end
  }

  /** Makes the COMMIT at the end. */
  makeEnd(): void {
    const end = this.#end
    if (end === undefined) return
    this.#end = undefined
    this.push(end.queued())
  }

  push(operation: Operation): void {
    this.makeEnd()
    if (this.#last === undefined) this.#first = operation
    else this.#last.next = operation
    this.#last = operation
  }

  /** Puts operations in front of all others, in their order. */
  putBack(operations: readonly Operation[]): void {
    for (let at = operations.length - 1; at >= 0; at--) {
      const operation = operations[at] as Operation
      operation.next = this.#first
      this.#first = operation
      this.#last ??= operation
    }
  }

  /** Removes the first operation. */
  shift(): Operation | undefined {
    const first = this.#first
    if (first === undefined) return undefined
    this.#first = first.next
    if (this.#first === undefined) this.#last = undefined
    first.next = undefined
    return first
  }

  /** Empties the queue. @returns its operations. */
  takeAll(): Operation[] {
    const all: Operation[] = []
    for (let first = this.shift(); first !== undefined; first = this.shift()) all.push(first)
    return all
  }

  /** Removes an operation; false if it is not queued. */
  remove(operation: Operation): boolean {
    let previous: Operation | undefined
    for (const queued of this) {
      if (queued === operation) {
        if (previous === undefined) this.#first = operation.next
        else previous.next = operation.next
        if (this.#last === operation) this.#last = previous
        operation.next = undefined
        return true
      }
      previous = queued
    }
    return false
  }

  *[Symbol.iterator](): Generator<Operation, void, undefined> {
    for (let queued = this.#first; queued !== undefined; queued = queued.next) yield queued
  }
}
