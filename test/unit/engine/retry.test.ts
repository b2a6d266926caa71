import { afterEach, expect, test, vi } from 'vitest'
import { databaseErrorFrom, ReadOnlyError } from '../../../src/database-errors.js'
import { runWithRetry } from '../../../src/engine/retry.js'
import { ConnectionLostError } from '../../../src/errors.js'
import type { Clock } from '../../../src/internal/clock.js'

afterEach(() => {
  vi.restoreAllMocks()
})

/** A clock whose timers are over at once; it remembers how long they were. */
function hastyClock(): Clock & { pauses: number[] } {
  const pauses: number[] = []
  return {
    pauses,
    now: () => 0,
    setTimer: (callback, millis) => {
      pauses.push(millis)
      queueMicrotask(callback)
      return { cancel: () => undefined }
    },
  }
}

const fail = (): Promise<never> => Promise.reject(new ConnectionLostError('x'))

test('the default backoff is full jitter: anything up to a limit that doubles, and at most a second', async () => {
  const clock = hastyClock()
  vi.spyOn(Math, 'random').mockReturnValue(1)
  await expect(runWithRetry({ attempts: 9 }, clock, undefined, fail)).rejects.toBeInstanceOf(
    ConnectionLostError,
  )
  expect(clock.pauses).toEqual([25, 50, 100, 200, 400, 800, 1000, 1000])

  const lucky = hastyClock()
  vi.spyOn(Math, 'random').mockReturnValue(0)
  await expect(runWithRetry({ attempts: 3 }, lucky, undefined, fail)).rejects.toBeInstanceOf(
    ConnectionLostError,
  )
  expect(lucky.pauses).toEqual([0, 0])
})

test('after a standby was met, 10 attempts last for 2 s, whatever chance says', async () => {
  const clock = hastyClock()
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const refused = databaseErrorFrom(
    Object.assign(new Error('read-only'), { code: '25006', severity: 'ERROR' }),
    { sessionMayWrite: true },
  )
  expect(refused).toBeInstanceOf(ReadOnlyError)
  const refuse = (): Promise<never> => Promise.reject(refused)
  await expect(runWithRetry({ attempts: 10 }, clock, undefined, refuse)).rejects.toBe(refused)
  expect(clock.pauses.reduce((sum, pause) => sum + pause, 0)).toBeGreaterThan(2_000)
})

test('one attempt means no retry and no pause', async () => {
  const clock = hastyClock()
  await expect(runWithRetry({ attempts: 1 }, clock, undefined, fail)).rejects.toBeInstanceOf(
    ConnectionLostError,
  )
  expect(clock.pauses).toEqual([])
})

test('a run that succeeds is the last, and gives its value', async () => {
  const clock = hastyClock()
  let runs = 0
  const value = await runWithRetry({ attempts: 5 }, clock, undefined, () =>
    ++runs < 3 ? fail() : Promise.resolve(runs),
  )
  expect(value).toBe(3)
})

test('a signal that has fired ends the retries, and the error is that of the run', async () => {
  const clock = hastyClock()
  await expect(runWithRetry({ attempts: 5 }, clock, AbortSignal.abort(), fail)).rejects.toBeInstanceOf(
    ConnectionLostError,
  )
  expect(clock.pauses).toEqual([])
})
