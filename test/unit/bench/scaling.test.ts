import { describe, expect, test } from 'vitest'
import { growsFasterThanLinearly, slope, topSlope, type Point } from '../../../bench/harness/scaling.js'
import { summarise } from '../../../bench/harness/statistics.js'

const pointsOf = (cost: (size: number) => number, sizes = [1, 10, 100, 1_000, 10_000]): Point[] =>
  sizes.map((size) => ({ size, cost: cost(size) }))

describe('quartiles', () => {
  test('of an odd and of an even number of values, in any order', () => {
    expect(summarise([5, 1, 3, 2, 4])).toEqual({ median: 3, lower: 2, upper: 4 })
    expect(summarise([4, 1, 3, 2])).toEqual({ median: 2.5, lower: 1.75, upper: 3.25 })
  })

  test('of one value are the value, of none are no number', () => {
    expect(summarise([7])).toEqual({ median: 7, lower: 7, upper: 7 })
    expect(summarise([])).toEqual({ median: NaN, lower: NaN, upper: NaN })
  })

  test('leave the given values in their order', () => {
    const values = [3, 1, 2]
    summarise(values)
    expect(values).toEqual([3, 1, 2])
  })
})

describe('the slope on logarithmic axes', () => {
  test.each([
    ['constant', 0, () => 7],
    ['linear', 1, (size: number) => 3 * size],
    ['quadratic', 2, (size: number) => size ** 2 / 5],
    ['falling', -1, (size: number) => 10 / size],
  ])('of a %s cost is %d', (_, expected, cost) => {
    expect(slope(pointsOf(cost))).toBeCloseTo(expected, 10)
  })

  test('leaves out what has no logarithm', () => {
    expect(
      slope([...pointsOf((size) => size), { size: 0, cost: 5 }, { size: 5, cost: 0 }, { size: 3, cost: -1 }]),
    ).toBeCloseTo(1, 10)
  })

  test('of fewer than two sizes is no number', () => {
    expect(slope([])).toBeNaN()
    expect(slope([{ size: 10, cost: 1 }])).toBeNaN()
    expect(
      slope([
        { size: 10, cost: 1 },
        { size: 10, cost: 2 },
      ]),
    ).toBeNaN()
  })
})

describe('growth', () => {
  const growth = (cost: (size: number) => number): boolean =>
    growsFasterThanLinearly(topSlope([pointsOf(cost), pointsOf((size) => cost(size) * 1.02), pointsOf(cost)]))

  test('is not faster than linear with a constant part, or with noise', () => {
    expect(growth((size) => 1_000 + size)).toBe(false)
    expect(growth((size) => size * (1 + 0.05 * Math.sin(size)))).toBe(false)
    expect(growth((size) => size * Math.log2(size + 1))).toBe(true)
  })

  test('is seen at the largest sizes although a constant part hides it at the small ones', () => {
    const cost = (size: number): number => 100_000 + size ** 2
    expect(slope(pointsOf(cost))).toBeLessThan(1)
    expect(growth(cost)).toBe(true)
  })

  test('is judged by the largest sizes in whatever order they were measured', () => {
    const shuffled = pointsOf((size) => 100_000 + size ** 2, [10_000, 1, 1_000, 100, 10])
    expect(topSlope([shuffled]).median).toBeGreaterThan(1)
  })

  test('of one round that is slow in the end is not named', () => {
    const steady = pointsOf((size) => size)
    expect(growsFasterThanLinearly(topSlope([steady, steady, pointsOf((size) => size ** 1.5)]))).toBe(false)
  })
})
