import { expect, test } from 'vitest'

import { withoutMicroseconds } from './without-microseconds.js'

test.each([
  ['12:00:00.630999+00', '12:00:00.63+00'],
  ['12:00:00.63+00', '12:00:00.63+00'],
  ['12:00:00.000999', '12:00:00'],
  ['12:00:00', '12:00:00'],
  ['12:00:00.123', '12:00:00.123'],
  ['(1,"2026-01-01 12:00:00.100001",0.1000)', '(1,"2026-01-01 12:00:00.1",0.1000)'],
])('%s is %s to the millisecond', (text, expected) => {
  expect(withoutMicroseconds(text)).toBe(expected)
})
