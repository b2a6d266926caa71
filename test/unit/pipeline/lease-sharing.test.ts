/** How many connections the reads that have got one use together (`pipelining`). */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Batch, DriverConnection } from '../../../src/driver/driver.js'
import { BUSY_MILLIS, LeaseSharing } from '../../../src/pipeline/lease-sharing.js'
import { Operation } from '../../../src/pipeline/operation.js'
import type { Rider } from '../../../src/pipeline/shared-batch.js'
import { SharedReads } from '../../../src/pipeline/shared-reads.js'
import type { Lease } from '../../../src/pool/pool.js'
import { OWNER } from './operations.js'

const CLOCK = { now: () => 0, setTimer: () => ({ cancel: () => undefined }) }
const FAST = 'select fast'
const SLOW = 'select slow'
const UNKNOWN = 'select unknown'

/** A session that waits with a read. */
class Reader implements Rider {
  read: Operation | undefined
  /** What happened to it. */
  got: 'nothing' | 'connection' | 'batch' = 'nothing'

  constructor(text: string) {
    this.read = new Operation(OWNER, 'statement', { text })
  }

  leased(): void {
    throw new Error('only the sharing decides here')
  }

  refused(): void {
    throw new Error('only the sharing decides here')
  }

  own(): void {
    this.got = 'connection'
  }

  board(): void {
    this.got = 'batch'
    this.read = undefined
  }

  alight(): void {
    // Nothing is answered here.
  }
}

/** A pool of which connections are free, while readers wait. */
class Pool {
  readonly sharing: LeaseSharing
  readonly waiting: Reader[] = []
  /** How many reads were sent in each batch. */
  readonly batches: number[] = []
  released = 0

  constructor() {
    const reads = new SharedReads(CLOCK)
    reads.noteTime(FAST, BUSY_MILLIS / 20)
    reads.noteTime(SLOW, BUSY_MILLIS * 2)
    this.sharing = new LeaseSharing({
      clock: CLOCK,
      cancelTimeoutMillis: 1_000,
      reads,
      isDisposed: () => false,
    })
  }

  /** Reads get connections, in one turn of the event loop. */
  async lend(readers: readonly Reader[], isLost = false): Promise<void> {
    for (const reader of readers) this.sharing.leased(reader, this.#lease(isLost))
    await nextTurn()
  }

  /** Reads have waited for a connection before. */
  async crowd(): Promise<void> {
    this.waiting.push(new Reader(FAST))
    await this.lend([new Reader(FAST)])
    this.batches.length = this.released = 0
  }

  #lease(isLost: boolean): Lease {
    const connection = {
      lost: isLost ? new Error('lost') : undefined,
      submit: ({ statements }: Batch) => this.batches.push(statements.length),
    } as unknown as DriverConnection
    return {
      connection,
      proven: true,
      describe: () => undefined,
      release: () => (this.released += 1),
      takeAlong: (most, takes) => {
        let taken = 0
        for (const reader of [...this.waiting]) {
          if (taken === most || !takes(reader)) continue
          taken += 1
          this.waiting.splice(this.waiting.indexOf(reader), 1)
        }
      },
    } as Partial<Lease> as Lease
  }
}

const readers = (count: number, text: string): Reader[] =>
  Array.from({ length: count }, () => new Reader(text))

describe('after reads have waited', () => {
  test.each([
    { what: 'fast ones share one', text: FAST, got: 4, waiting: 6, batches: [10], released: 3 },
    { what: 'more of them share two', text: FAST, got: 4, waiting: 30, batches: [17, 17], released: 2 },
    { what: 'slow ones use all', text: SLOW, got: 4, waiting: 6, batches: [3, 3, 2, 2], released: 0 },
    { what: 'unknown ones use all', text: UNKNOWN, got: 3, waiting: 3, batches: [2, 2, 2], released: 0 },
  ])('of the connections that reads have got, $what', async ({ text, got, waiting, batches, released }) => {
    const pool = new Pool()
    await pool.crowd()
    const all = [...readers(got, text), ...readers(waiting, text)]
    pool.waiting.push(...all.slice(got))
    await pool.lend(all.slice(0, got))
    expect(pool.batches).toEqual(batches)
    expect(pool.released).toBe(released)
    expect(all.map((reader) => reader.got)).toEqual(all.map(() => 'batch'))
  })

  test('a read that was given up, or whose connection was lost, keeps its connection', async () => {
    const pool = new Pool()
    await pool.crowd()
    const [first, second, third] = readers(3, FAST) as [Reader, Reader, Reader]
    second.read = undefined
    await pool.lend([first, second, third])
    expect([first.got, second.got, third.got]).toEqual(['batch', 'connection', 'batch'])
    expect([pool.batches, pool.released]).toEqual([[2], 1])
    await pool.crowd()
    const late = new Reader(FAST)
    await pool.lend([late], true)
    expect(late.got).toBe('connection')
  })

  test('a read is sent at once again after eight that were alone', async () => {
    const pool = new Pool()
    await pool.crowd()
    for (let read = 0; read < 8; read += 1) {
      const alone = new Reader(FAST)
      const lent = pool.lend([alone])
      expect(alone.got).toBe('nothing')
      await lent
      expect(alone.got).toBe('connection')
    }
    const next = new Reader(FAST)
    void pool.lend([next])
    expect(next.got).toBe('connection')
  })
})

test('reads that have never waited use their own connections', async () => {
  const pool = new Pool()
  const all = readers(3, FAST)
  await pool.lend(all)
  expect(all.map(({ got }) => got)).toEqual(['connection', 'connection', 'connection'])
  expect(pool.released).toBe(0)
})
