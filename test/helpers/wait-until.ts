import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'

/** Options of {@link waitUntil}. */
export interface WaitOptions {
  /** Give up after this long. Default 20000: a machine under load may stall for seconds, and a success never waits. */
  readonly deadlineMillis?: number
  /** What the test was waiting for, for the error; a function is called when the deadline has passed. */
  readonly message?: string | (() => string)
}

/**
 * Waits for a condition: the only way in which a test may wait. Resolves with the first truthy value that `condition`
 * returns; a condition that throws fails at once.
 */
export async function waitUntil<Value>(
  condition: () => Value | Promise<Value>,
  { deadlineMillis = 20_000, message = 'the condition' }: WaitOptions = {},
): Promise<NonNullable<Value>> {
  const deadline = performance.now() + deadlineMillis
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > deadline) {
      const text = typeof message === 'string' ? message : message()
      throw new Error(`Waited ${deadlineMillis} ms in vain for: ${text}`)
    }
    await pause(5)
  }
}

/**
 * Resolves when this process has read what had reached its sockets before the call. A connection hears of its end in the same
 * turn of the event loop as the query that finds the backend gone, or in the next one: the kernel decides the order.
 */
export async function socketsAreRead(): Promise<void> {
  await nextTurn()
  // The first one may come between the callbacks of the turn that is running and the next look at the sockets.
  await nextTurn()
}
