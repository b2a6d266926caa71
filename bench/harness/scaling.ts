/** Whether work grows in proportion to its size: the slope of its cost on logarithmic axes. */
import { summarise, type Summary } from './statistics.js'

/** What one size cost. */
export interface Point {
  readonly size: number
  readonly cost: number
}

/** How many of the largest sizes the slope is taken of. At small sizes a constant part hides how the rest grows. */
const LARGEST = 3

/** A cost grows faster than linearly if the lower quartile of its slopes is above this. Noise moves a slope by some hundredths. */
export const LINEAR_UP_TO = 1.1

/**
 * The exponent of the growth, by least squares of the logarithms: 1 if twice the size costs twice as much, 2 if it costs four times as much.
 * NaN for fewer than two different sizes. Sizes and costs that are not positive have no logarithm and are left out.
 */
export function slope(points: readonly Point[]): number {
  const logs = points
    .filter(({ size, cost }) => size > 0 && cost > 0)
    .map(({ size, cost }) => ({ x: Math.log(size), y: Math.log(cost) }))
  const meanX = mean(logs.map(({ x }) => x))
  const meanY = mean(logs.map(({ y }) => y))
  const covariance = mean(logs.map(({ x, y }) => (x - meanX) * (y - meanY)))
  const variance = mean(logs.map(({ x }) => (x - meanX) ** 2))
  return variance === 0 ? NaN : covariance / variance
}

/** The slopes of the largest sizes, one for each round. @param rounds The points of each round. */
export function topSlope(rounds: readonly (readonly Point[])[]): Summary {
  const slopes = rounds.map((points) =>
    slope([...points].sort((one, other) => one.size - other.size).slice(-LARGEST)),
  )
  return summarise(slopes.filter((one) => !Number.isNaN(one)))
}

export function growsFasterThanLinearly({ lower }: Summary): boolean {
  return lower > LINEAR_UP_TO
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
