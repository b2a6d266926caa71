/**
 * The slots of a pool, kept by generic-pool: their number, and the order in which idle ones are handed out. Only this file uses
 * generic-pool.
 *
 * 1. A slot is created empty, at once, and cannot fail; generic-pool never handles a socket. So its retries, validation and queue, and
 *    its `drain` and `clear`, are never used.
 * 2. A slot is counted from before its connection is opened until after its socket is closed.
 */
import genericPool from 'generic-pool'
import { ConnectionRecord } from './record.js'

/**
 * The promise that generic-pool is given (its `Promise` option): it is settled when it is made and calls back at once.
 * Slots are data, so there is nothing to wait for, and no other code can run while one is taken.
 */
class Immediate<Value> {
  constructor(executor: (resolve: (value: Value) => void, reject: (reason: unknown) => void) => void) {
    executor(
      (value) => (this.value = value),
      () => undefined,
    )
  }

  value: Value | undefined = undefined

  static resolve<Value>(value: Value | Immediate<Value>): Immediate<Value> {
    return value instanceof Immediate ? value : new Immediate((resolve) => resolve(value))
  }

  then<Next>(onResolved: (value: Value) => Next | Immediate<Next>): Immediate<Next> {
    return Immediate.resolve(onResolved(this.value as Value))
  }

  catch(): this {
    return this
  }
}

export class Slots {
  readonly #lifo: boolean
  readonly #pool: genericPool.Pool<ConnectionRecord>
  readonly #all = new Set<ConnectionRecord>()
  /**
   * The idle slots that are next, checked out of generic-pool in advance, which saves its bookkeeping for each checkout. The order
   * stays the same. Last in, first out: at most one, because a pool that is not exhausted hands out the same slot again and again.
   * First in, first out: all, because each is handed out in its turn.
   */
  readonly #ahead: ConnectionRecord[] = []

  constructor(lifo: boolean) {
    this.#lifo = lifo
    const factory = {
      create: () => Immediate.resolve(new ConnectionRecord()),
      destroy: () => Immediate.resolve(undefined),
    }
    const options = { max: Number.MAX_SAFE_INTEGER, fifo: !lifo, Promise: Immediate }
    this.#pool = genericPool.createPool(factory as unknown as genericPool.Factory<ConnectionRecord>, options)
  }

  get size(): number {
    return this.#pool.size
  }

  get idle(): number {
    return this.#pool.available + this.#ahead.length
  }

  /** Every slot, in the order of creation. */
  all(): IterableIterator<ConnectionRecord> {
    return this.#all.values()
  }

  /** A new slot, whose connection is to be opened. */
  create(): ConnectionRecord {
    // generic-pool hands out idle slots before it creates one.
    const coldestFirst = this.takeIf(() => true)
    const record = this.#checkOut()
    for (const idle of coldestFirst) this.put(idle)
    this.#all.add(record)
    return record
  }

  /** The idle slot that is next in order; undefined if none is idle. */
  take(): ConnectionRecord | undefined {
    const next = this.#ahead.shift()
    if (next !== undefined) return next
    return this.#pool.available > 0 ? this.#checkOut() : undefined
  }

  /** Makes a slot idle. */
  put(record: ConnectionRecord): void {
    record.state = 'idle'
    if (!this.#lifo) {
      this.#ahead.push(record)
      return
    }
    const [hottest] = this.#ahead
    if (hottest === undefined || record.idleSince >= hottest.idleSince) return this.#stack(record)
    // It was only probed, so it stays below connections that were used later: a keep-alive must not change their order.
    const idle = [record, ...this.#takeAll()]
    for (const each of idle.sort((one, other) => one.idleSince - other.idleSince)) this.#stack(each)
  }

  /** Takes out the idle slots that `wanted` chooses, asking for the coldest first; the others keep their order. */
  takeIf(wanted: (record: ConnectionRecord) => boolean): ConnectionRecord[] {
    const inOrder = this.#takeAll()
    const coldestFirst = this.#lifo ? inOrder.reverse() : inOrder
    const taken: ConnectionRecord[] = []
    // Both orders want the coldest back first.
    for (const record of coldestFirst) {
      if (wanted(record)) taken.push(record)
      else this.put(record)
    }
    return taken
  }

  /** Ends a slot; its socket is closed. */
  remove(record: ConnectionRecord): void {
    this.#all.delete(record)
    void this.#pool.destroy(record)
  }

  #stack(record: ConnectionRecord): void {
    const hottest = this.#ahead.pop()
    if (hottest !== undefined) void this.#pool.release(hottest)
    this.#ahead.push(record)
  }

  #takeAll(): ConnectionRecord[] {
    const inOrder: ConnectionRecord[] = []
    for (let record = this.take(); record !== undefined; record = this.take()) inOrder.push(record)
    return inOrder
  }

  #checkOut(): ConnectionRecord {
    const acquired = this.#pool.acquire() as unknown as Immediate<ConnectionRecord>
    return acquired.value as ConnectionRecord
  }
}
