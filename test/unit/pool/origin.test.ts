import { expect, test } from 'vitest'
import { captureOrigin, type Origin } from '../../../src/pool/origin.js'

test('an origin has room for the frames of the library beside those of its caller', () => {
  const limit = Error.stackTraceLimit
  const deep = (depth: number): Origin => (depth === 0 ? captureOrigin(deep) : deep(depth - 1))
  const outermost = (): Origin => deep(0)
  expect(outermost().stack).toContain('outermost')
  const below = (depth: number): Origin => (depth === 0 ? captureOrigin(captureOrigin) : below(depth - 1))
  const frames = below(100).stack.split('\n').slice(1)
  expect(frames).toHaveLength(limit + 8)
  expect(Error.stackTraceLimit).toBe(limit)
})
