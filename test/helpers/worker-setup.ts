/** Runs before each test file. */
import { beforeEach } from 'vitest'

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
