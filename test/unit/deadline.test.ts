import { describe, expect, it } from 'vitest'
import { setDeadline } from '../../src/internal/deadline.js'
import { ManualClock } from './pool/manual-clock.js'

describe('setDeadline', () => {
  it('calls back once, after its time', async () => {
    const clock = new ManualClock()
    const calls: number[] = []
    setDeadline(clock, (lateMillis) => calls.push(lateMillis), 100)
    await clock.advance(99)
    expect(calls).toEqual([])
    await clock.advance(1_000)
    expect(calls).toEqual([0])
  })

  it('can be cancelled', async () => {
    const clock = new ManualClock()
    const calls: number[] = []
    setDeadline(clock, (lateMillis) => calls.push(lateMillis), 100).cancel()
    await clock.advance(1_000)
    expect(calls).toEqual([])
  })

  it('gives what is ready a turn when the loop was blocked, and says for how long it was', async () => {
    const clock = new ManualClock()
    const calls: number[] = []
    setDeadline(clock, (lateMillis) => calls.push(lateMillis), 100)
    const answered = setDeadline(clock, () => calls.push(NaN), 100)
    // Runs between the timer and its second turn, as a socket's data does.
    clock.setTimer(() => answered.cancel(), 500)
    await clock.freeze(500)
    expect(calls).toEqual([400])
  })
})
