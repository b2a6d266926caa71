/** The queue of a pool by itself: order, deadlines, aborts, takeover, with a clock that moves when it is told. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deadlineOf, WaitQueue, Waiter, type Wanted } from '../../../src/pool/wait-queue.js'
import type { LeaseReceiver } from '../../../src/pool/pool.js'
import { ManualClock } from './manual-clock.js'

interface Made {
  readonly queue: WaitQueue
  readonly clock: ManualClock
  /** What the queue has told its pool, and the callers. */
  readonly told: string[]
  join(name: string, timeoutMillis: number | null, signal?: AbortSignal): Waiter
  /** Who waits, in order. */
  names(): string[]
}

const wanted = (options: Wanted['options']): Wanted => ({ options, context: undefined, callSite: undefined })

function makeQueue(clock = new ManualClock(), nameOf = new Map<Waiter, string>()): Made {
  const told: string[] = []
  const queue: WaitQueue = new WaitQueue(clock, {
    aborted: (waiter) => told.push(`${nameOf.get(waiter) ?? '?'} aborted`),
    expired: (waiter, position, lateMillis) =>
      told.push(
        `${nameOf.get(waiter) ?? '?'} expired at ${position}${lateMillis > 0 ? `, ${lateMillis} late` : ''}`,
      ),
  })
  return {
    queue,
    clock,
    told,
    join: (name, timeoutMillis, signal) => {
      const now = clock.now()
      const receiver: LeaseReceiver = {
        leased: () => told.push(`${name} leased`),
        refused: (error) => told.push(`${name} refused: ${(error as Error).message}`),
      }
      const waiter = new Waiter(receiver, now, deadlineOf(timeoutMillis, now), wanted({ signal }))
      nameOf.set(waiter, name)
      queue.join(waiter)
      return waiter
    },
    names: () => {
      const names: string[] = []
      for (let waiter = queue.first; waiter !== undefined; waiter = waiter.next)
        names.push(nameOf.get(waiter) ?? '?')
      expect(queue.size).toBe(names.length)
      return names
    },
  }
}

test.each<[timeoutMillis: number | null, deadline: number]>([
  [null, Infinity],
  [0, -Infinity],
  [1, 1_001],
  [30_000, 31_000],
])('who may wait for %s has the deadline %s', (timeoutMillis, deadline) => {
  expect(deadlineOf(timeoutMillis, 1_000)).toBe(deadline)
  const receiver: LeaseReceiver = { leased: () => undefined, refused: () => undefined }
  expect(new Waiter(receiver, 1_000, deadline, wanted({})).impatient).toBe(timeoutMillis === 0)
})

describe('deadlines', () => {
  test('end in the order of time, each at its place in the queue, with one timer for all', async () => {
    const { clock, told, join, names } = makeQueue()
    join('never', null)
    join('late', 300)
    join('at once', 0)
    join('soon', 100)
    expect(clock.timers.all).toBe(1)
    await clock.advance(99)
    expect(told).toEqual([])
    await clock.advance(1)
    expect(told).toEqual(['soon expired at 3'])
    expect(clock.timers.all).toBe(1)
    await clock.advance(1_000)
    expect([told, names(), clock.timers.all]).toEqual([
      ['soon expired at 3', 'late expired at 1'],
      ['never', 'at once'],
      0,
    ])
  })

  test('of several at one time all end before the first is told', async () => {
    const { queue, clock, told, join } = makeQueue()
    const sizes: number[] = []
    const push = told.push.bind(told)
    told.push = (...lines) => {
      sizes.push(queue.size)
      return push(...lines)
    }
    join('a', 100)
    join('b', 100)
    await clock.advance(100)
    expect([[...told], sizes]).toEqual([
      ['a expired at 0', 'b expired at 1'],
      [0, 0],
    ])
  })

  test('tell how long the event loop was blocked', async () => {
    const { clock, told, join } = makeQueue()
    join('a', 100)
    await clock.freeze(500)
    expect(told).toEqual(['a expired at 0, 400 late'])
  })

  test('leave no timer when the last waiter has left', () => {
    const { queue, clock, join } = makeQueue()
    const [one, other] = [join('a', 100), join('b', 200)]
    queue.leave(one)
    expect(clock.timers.all).toBe(1)
    queue.leave(other)
    expect([clock.timers.all, queue.open]).toEqual([0, true])
  })
})

describe('aborts', () => {
  test('take one out, and are not listened to afterwards', async () => {
    const { queue, clock, told, join, names } = makeQueue()
    const [first, second] = [new AbortController(), new AbortController()]
    join('a', 100, first.signal)
    const waiter = join('b', 100, second.signal)
    join('c', 100, second.signal)
    first.abort()
    expect([told, names()]).toEqual([['a aborted'], ['b', 'c']])
    queue.leave(waiter)
    second.abort()
    expect([told, names()]).toEqual([['a aborted', 'c aborted'], []])
    await clock.advance(1_000)
    expect(told).toHaveLength(2)
  })
})

describe('suspended', () => {
  test('timeouts of waiting callers are paused, and those of new callers begin', async () => {
    const { queue, clock, told, join } = makeQueue()
    join('before', 100)
    await clock.advance(60)
    queue.suspend()
    expect([queue.suspended, queue.open, clock.timers.all]).toEqual([true, false, 0])
    await clock.advance(1_000)
    join('during', 100)
    // A second time changes nothing.
    queue.suspend()
    await clock.advance(1_000)
    expect(told).toEqual([])
    queue.resume()
    await clock.advance(39)
    expect(told).toEqual([])
    await clock.advance(1)
    expect(told).toEqual(['before expired at 0'])
    await clock.advance(59)
    expect(told).toHaveLength(1)
    await clock.advance(1)
    expect(told).toEqual(['before expired at 0', 'during expired at 0'])
  })

  test('resumed without having been suspended: nothing changes', async () => {
    const { queue, clock, told, join } = makeQueue()
    join('a', 100)
    await clock.advance(50)
    queue.resume()
    await clock.advance(50)
    expect(told).toEqual(['a expired at 0'])
  })
})

describe('takeover', () => {
  test.each([false, true])(
    'keeps order, signals and the time that is left (suspended: %s)',
    async (isSuspended) => {
      const names = new Map<Waiter, string>()
      const clock = new ManualClock()
      const [before, after] = [makeQueue(clock, names), makeQueue(clock, names)]
      const abort = new AbortController()
      before.join('a', 100)
      before.join('b', 200, abort.signal)
      const first = after.join('first', null)
      await clock.advance(60)
      if (isSuspended) before.queue.suspend()
      expect(after.queue.adopt(before.queue)).toBe(2)
      expect([before.names(), after.names(), after.queue.suspended]).toEqual([
        [],
        ['first', 'a', 'b'],
        isSuspended,
      ])
      if (isSuspended) await clock.advance(5_000)
      expect(after.told).toEqual([])
      after.queue.resume()
      await clock.advance(39)
      expect(after.told).toEqual([])
      await clock.advance(1)
      abort.abort()
      expect([before.told, after.told]).toEqual([[], ['a expired at 1', 'b aborted']])
      after.queue.leave(first)
      expect(clock.timers.all).toBe(0)
    },
  )
})

test('the chosen waiters are refused, by their place among those that stay', async () => {
  const { queue, told, join, names } = makeQueue()
  for (const name of ['a', 'b', 'c', 'd']) join(name, name === 'b' || name === 'd' ? 0 : null)
  const asked: number[] = []
  const rejected = queue.rejectIf(
    (waiter, position) => {
      asked.push(position)
      return waiter.impatient
    },
    ({ deadline }) => new Error(String(deadline)),
  )
  expect([rejected, asked, names()]).toEqual([2, [0, 1, 1, 2], ['a', 'c']])
  await Promise.resolve()
  expect(told).toEqual(['b refused: -Infinity', 'd refused: -Infinity'])
})

test('is a list, first in first out, in any order of leaving', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 40 }), (steps) => {
      const { queue, join, names } = makeQueue()
      const model: [name: string, waiter: Waiter][] = []
      for (const [index, step] of steps.entries()) {
        const leaving = step > 4 ? model[step - 5] : undefined
        if (leaving === undefined) model.push([String(index), join(String(index), step * 100)])
        else {
          queue.leave(leaving[1])
          model.splice(step - 5, 1)
        }
        expect(names()).toEqual(model.map(([name]) => name))
        expect(queue.open).toBe(model.length === 0)
      }
    }),
  )
})
