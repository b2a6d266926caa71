/** How long a cancelled statement may take. */
import { expect, test } from 'vitest'
import { Cancellation } from '../../../src/pipeline/cancellation.js'
import { FakeConnection } from '../pool/fake-driver.js'
import { ManualClock, settle } from '../pool/manual-clock.js'

const TIMEOUT = 3_000

function cancelled(concluding?: Promise<void>) {
  const clock = new ManualClock()
  const connection = new FakeConnection(clock, 1)
  connection.concluding = concluding
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

test('its time does not run while a COMMIT of somebody else goes first', async () => {
  let conclude!: () => void
  const concluding = new Promise<void>((resolve) => (conclude = resolve))
  const { clock, connection } = cancelled(concluding)
  await clock.advance(2 * TIMEOUT)
  expect(connection.lost).toBeUndefined()
  conclude()
  await clock.advance(TIMEOUT)
  expect(connection.lost?.message).toBe('aborted')
})

test('nothing runs any more for what has ended behind that COMMIT', async () => {
  let conclude!: () => void
  const { clock, connection, cancellation } = cancelled(new Promise<void>((resolve) => (conclude = resolve)))
  cancellation.ended()
  conclude()
  await settle()
  await clock.advance(TIMEOUT)
  expect(connection.lost).toBeUndefined()
  expect(clock.timers.all).toBe(0)
})
