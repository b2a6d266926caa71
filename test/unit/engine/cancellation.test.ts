/** How long a cancelled statement may take. */
import { expect, test } from 'vitest'
import { Cancellation } from '../../../src/pipeline/cancellation.js'
import { FakeConnection } from '../pool/fake-driver.js'
import { ManualClock, settle } from '../pool/manual-clock.js'

const TIMEOUT = 3_000

function cancelled(earlierEnds?: Promise<void>) {
  const clock = new ManualClock()
  const connection = new FakeConnection(clock, 1)
  connection.commitHandoff.settled = earlierEnds
  const cancellation = new Cancellation(clock, TIMEOUT)
  cancellation.start(connection, new Error('aborted'), () => undefined)
  return { clock, connection, cancellation }
}

test('a statement that does not end in time takes its connection with it', async () => {
  const { clock, connection, cancellation } = cancelled()
  await clock.advance(TIMEOUT - 1)
  expect(connection.lost).toBeUndefined()
  await clock.advance(1)
  expect(connection.lost?.message).toBe('aborted')
  cancellation.ended()
  expect(clock.timers.all).toBe(0)
})

test('one that ends in time does not', async () => {
  const { clock, connection, cancellation } = cancelled()
  cancellation.ended()
  await clock.advance(TIMEOUT)
  expect(connection.lost).toBeUndefined()
})

test('a cancel that the server ignores is repeated, until the statement ends', async () => {
  const { clock, connection, cancellation } = cancelled()
  expect(connection.cancels).toBe(1)
  await clock.advance(1_200)
  expect(connection.cancels).toBe(3)
  cancellation.ended()
  await clock.advance(TIMEOUT)
  expect(connection.cancels).toBe(3)
  expect(connection.lost).toBeUndefined()
  expect(clock.timers.all).toBe(0)
})

test('nothing is sent while a repeated cancel is on its way, also if the statement has ended meanwhile', async () => {
  const { clock, connection, cancellation } = cancelled()
  await settle()
  expect(cancellation.active).toBe(false)
  let taken!: () => void
  connection.cancel = () => new Promise((resolve) => (taken = resolve))
  await clock.advance(600)
  expect(cancellation.active).toBe(true)
  cancellation.ended()
  expect(cancellation.active).toBe(true)
  taken()
  await settle()
  expect(cancellation.active).toBe(false)
  expect(clock.timers.all).toBe(0)
})

test('its time does not run while the COMMIT of the previous holder is unanswered', async () => {
  let answer!: () => void
  const earlierEnds = new Promise<void>((resolve) => (answer = resolve))
  const { clock, connection } = cancelled(earlierEnds)
  await clock.advance(2 * TIMEOUT)
  expect(connection.lost).toBeUndefined()
  answer()
  await clock.advance(TIMEOUT)
  expect(connection.lost?.message).toBe('aborted')
})

test('no timer runs for statements that ended after that COMMIT', async () => {
  let answer!: () => void
  const { clock, connection, cancellation } = cancelled(new Promise<void>((resolve) => (answer = resolve)))
  cancellation.ended()
  answer()
  await settle()
  await clock.advance(TIMEOUT)
  expect(connection.lost).toBeUndefined()
  expect(clock.timers.all).toBe(0)
})
