/** The geometric types. Coordinates are floating-point numbers, so that NaN and infinities are among them. */
import type { Column } from '../../index.js'
import { columnOf, encodeFloat, kindOf, refused } from './text-column.js'

/** A place in the plane. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** All points with `a * x + b * y + c = 0`. */
export interface Line {
  readonly a: number
  readonly b: number
  readonly c: number
}

/** What lies between two points. */
export interface Segment {
  readonly from: Point
  readonly to: Point
}

/** A rectangle by two opposite corners: PostgreSQL gives the upper right one as `high`. */
export interface Box {
  readonly high: Point
  readonly low: Point
}

/** Points in a row; `closed`: the last one is joined to the first. */
export interface Path {
  readonly points: readonly Point[]
  readonly closed: boolean
}

/** A centre and a radius. */
export interface Circle {
  readonly center: Point
  readonly radius: number
}

/** A point: `{ x: 1, y: 2 }`. PostgreSQL has no `=` for it: compare with SQL, or order by {@link distance}. */
export function point(name?: string): Column<Point | null> {
  return columnOf<Point>(name, {
    ddl: 'point',
    decode: (text) => pointAt(numbersOf(text, 2), 0),
    encode: writePoint,
  })
}

/** A line without ends: `{ a, b, c }`. */
export function line(name?: string): Column<Line | null> {
  return columnOf<Line>(name, {
    ddl: 'line',
    decode: (text) => {
      const [a = NaN, b = NaN, c = NaN] = numbersOf(text, 3)
      return { a, b, c }
    },
    encode: (value) => `{${encodeFloat(objectOf(value).a)},${encodeFloat(value.b)},${encodeFloat(value.c)}}`,
  })
}

/** A part of a line: `{ from, to }`. */
export function lseg(name?: string): Column<Segment | null> {
  return columnOf<Segment>(name, {
    ddl: 'lseg',
    decode: (text) => {
      const numbers = numbersOf(text, 4)
      return { from: pointAt(numbers, 0), to: pointAt(numbers, 2) }
    },
    encode: (value) => `[${writePoint(objectOf(value).from)},${writePoint(value.to)}]`,
  })
}

/** A rectangle: `{ high, low }`, whichever corners are given. */
export function box(name?: string): Column<Box | null> {
  return columnOf<Box>(name, {
    ddl: 'box',
    delimiter: ';',
    decode: (text) => {
      const numbers = numbersOf(text, 4)
      return { high: pointAt(numbers, 0), low: pointAt(numbers, 2) }
    },
    encode: (value) => {
      const { high, low } = objectOf(value)
      writePoint(high)
      writePoint(low)
      return `${writePoint({ x: larger(high.x, low.x), y: larger(high.y, low.y) })},${writePoint({ x: smaller(high.x, low.x), y: smaller(high.y, low.y) })}`
    },
  })
}

/** Points in a row: `{ points, closed }`. */
export function path(name?: string): Column<Path | null> {
  return columnOf<Path>(name, {
    ddl: 'path',
    decode: (text) => ({ points: pointsOf(text), closed: text.startsWith('(') }),
    encode: (value) => {
      const points = writePoints(objectOf(value).points)
      return value.closed ? `(${points})` : `[${points}]`
    },
  })
}

/** The corners of an area, in order. */
export function polygon(name?: string): Column<readonly Point[] | null> {
  return columnOf<readonly Point[]>(name, {
    ddl: 'polygon',
    decode: pointsOf,
    encode: (value) => `(${writePoints(value)})`,
  })
}

/** A circle: `{ center, radius }`. */
export function circle(name?: string): Column<Circle | null> {
  return columnOf<Circle>(name, {
    ddl: 'circle',
    decode: (text) => {
      const numbers = numbersOf(text, 3)
      return { center: pointAt(numbers, 0), radius: numbers[2] as number }
    },
    encode: (value) => `<${writePoint(objectOf(value).center)},${encodeFloat(value.radius)}>`,
  })
}

// NaN is larger than every number for PostgreSQL. Equal ones keep their places: they may be 0 and -0.
function larger(a: number, b: number): number {
  return Number.isNaN(a) || a >= b ? a : b
}

function smaller(a: number, b: number): number {
  return Number.isNaN(a) || a >= b ? b : a
}

function objectOf<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) return value
  throw refused(`takes an object, not ${kindOf(value)}`)
}

function writePoint(value: Point): string {
  const { x, y } = objectOf(value)
  return `(${encodeFloat(x)},${encodeFloat(y)})`
}

function writePoints(points: readonly Point[]): string {
  if (!Array.isArray(points)) throw refused(`takes an array of points, not ${kindOf(points)}`)
  if (points.length === 0) throw refused('takes at least one point')
  return points.map(writePoint).join()
}

function pointsOf(text: string): Point[] {
  const numbers = numbersOf(text)
  return Array.from({ length: numbers.length / 2 }, (_, index) => pointAt(numbers, index * 2))
}

function pointAt(numbers: readonly number[], index: number): Point {
  return { x: numbers[index] as number, y: numbers[index + 1] as number }
}

/** All numbers in a text. */
function numbersOf(text: string, count?: number): number[] {
  const numbers = (text.match(/[^\s,(){}<>[\]]+/g) ?? []).map(Number)
  if (count === undefined ? numbers.length % 2 === 0 : numbers.length === count) return numbers
  throw refused('holds a value that cannot be read; does it have another type in the database?')
}
