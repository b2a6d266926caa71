/** Runs before each test file. */
import { afterAll, beforeEach, expect } from 'vitest'

const GUARDED = Symbol.for('lifeguard.tests.guarded')

// A test process whose run was killed must not go on alone. It may run several files, each of which loads this one anew.
if (!Object.hasOwn(process, GUARDED)) {
  Object.defineProperty(process, GUARDED, { value: true })
  process.once('disconnect', () => process.exit(1))
}

// Wherever it was asked for: the command line, the configuration, the test itself.
beforeEach(({ task }) => {
  const { retry } = task
  if (retry !== undefined && retry !== 0) {
    throw new Error(
      `retry: ${JSON.stringify(retry)}. A test that fails now and then is wrong, or what it tests is.`,
    )
  }
})

// Each file begins as the first one of its process would: a warning that is emitted once is emitted again.
Reflect.deleteProperty(globalThis, Symbol.for('lifeguard.warned'))

/** What the files after this one would notice. */
function leftBehind(): unknown {
  const listeners = ['warning', 'unhandledRejection', 'uncaughtException', 'rejectionHandled']
  return { listeners: listeners.map((name) => process.listenerCount(name)), environment: { ...process.env } }
}
const before = leftBehind()
afterAll(() => expect(leftBehind(), 'what a test file leaves behind in its process').toEqual(before))
