/** How many connections two numbers allow. */
import { expect, test } from 'vitest'
import { InvalidOptionError } from '../../../src/errors.js'
import { changeLimits, checkLimits, limitsOf } from '../../../src/pool/limits.js'

test.each<[poolSize: number, maxOverflow: number, keep: number, capacity: number]>([
  [5, 10, 5, 15],
  [1, 0, 1, 1],
  [5, -1, 5, Infinity],
  [0, 0, Infinity, Infinity],
  [0, -1, Infinity, Infinity],
])(
  'poolSize %i and maxOverflow %i: %d are kept, %d are the most',
  (poolSize, maxOverflow, keep, capacity) => {
    expect(limitsOf({ poolSize, maxOverflow })).toEqual({ poolSize, maxOverflow, keep, capacity })
  },
)

test.each<[poolSize: number, maxOverflow: number, minIdle: number, refused: string | undefined]>([
  [5, 10, 5, undefined],
  [0, 0, 99, undefined],
  [5, 10, 6, 'minIdle'],
  [-1, 0, 0, 'poolSize'],
  [1.5, 0, 0, 'poolSize'],
  [1, -2, 0, 'maxOverflow'],
  [1, 0, -1, 'minIdle'],
])('poolSize %d, maxOverflow %d, minIdle %d: %s is refused', (poolSize, maxOverflow, minIdle, refused) => {
  const check = (): void => checkLimits({ poolSize, maxOverflow, minIdle })
  if (refused === undefined) return check()
  expect(check).toThrow(InvalidOptionError)
  expect(check).toThrow(refused)
})

test.each<[change: object, poolSize: number, maxOverflow: number]>([
  [{}, 5, 10],
  [{ poolSize: 7 }, 7, 10],
  [{ maxOverflow: -1 }, 5, -1],
  [{ poolSize: undefined, maxOverflow: 0 }, 5, 0],
])('a change by %j keeps what it leaves out', (change, poolSize, maxOverflow) => {
  const current = limitsOf({ poolSize: 5, maxOverflow: 10 })
  expect(changeLimits(current, change, 2)).toEqual(limitsOf({ poolSize, maxOverflow }))
})

test.each<[change: unknown, message: string]>([
  [{ poolsize: 7 }, 'poolsize'],
  [{ poolSize: 1 }, 'minIdle 2 cannot be kept'],
  [7, 'the new limits'],
])('a change by %j is refused', (change, message) => {
  expect(() => changeLimits(limitsOf({ poolSize: 5, maxOverflow: 10 }), change as never, 2)).toThrow(message)
})
