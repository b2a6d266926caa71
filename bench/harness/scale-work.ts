/** What `scale.ts` measures: series of sizes, and what a contender is for it. */

export interface Series {
  readonly title: string
  /** What the cost is divided by. */
  readonly unit: 'object' | 'session' | 'value' | 'MB'
  readonly sizes: readonly number[]
}

const OBJECTS = [10, 100, 1_000, 10_000, 100_000]
const COLUMNS = [1, 2, 5, 10, 20, 50, 100, 200]
const MEGABYTES = [1, 2, 5, 10]

export const SERIES = {
  flushNew: { title: 'flush of new objects', unit: 'object', sizes: OBJECTS },
  flushChanged: { title: 'flush of changed objects', unit: 'object', sizes: OBJECTS },
  flushUnchanged: { title: 'flush, nothing changed', unit: 'object', sizes: OBJECTS },
  load: { title: 'load and hold', unit: 'object', sizes: OBJECTS },
  sessions: {
    title: 'sessions at once, 10 connections',
    unit: 'session',
    sizes: [1, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000],
  },
  columnsLoad: { title: 'columns: load 500 rows', unit: 'value', sizes: COLUMNS },
  columnsFlush: { title: 'columns: flush 500 new objects', unit: 'value', sizes: COLUMNS },
  text: { title: 'write and read one text', unit: 'MB', sizes: MEGABYTES },
  bytea: { title: 'write and read one bytea', unit: 'MB', sizes: MEGABYTES },
} as const satisfies Record<string, Series>

export type SeriesName = keyof typeof SERIES

/** Rows of the workloads with columns. */
export const WIDE_ROWS = 500
/** Connections of each contender. */
export const SCALE_POOL_SIZE = 10

/** What one execution with one size cost. */
export interface Cost {
  readonly millis: number
  /** CPU time of the client, garbage collector included. */
  readonly cpuMicros: number
  /** What the heap holds more while the objects, sessions or values are held. NaN if the series does not say. */
  readonly bytes: number
}

/** Given to a series for one execution. */
export interface Meter {
  /** Counts the time of `work`, and of nothing else. */
  time<Value>(work: () => Promise<Value>): Promise<Value>
  /** Memory that is taken from here on counts. */
  mark(): Promise<void>
  /** Here it is weighed. Before it anything may be under way. */
  weigh(): void
}

export interface ScaleContender {
  readonly series: Readonly<Partial<Record<SeriesName, (size: number, meter: Meter) => Promise<void>>>>
  close(): Promise<unknown>
}

export type OpenScale = (url: string) => ScaleContender

/** The name of the table with so many columns besides the key: `wide_20`, whose columns are `c1` to `c20`. */
export function wideTable(columns: number): string {
  return `wide_${String(columns)}`
}

/** `c1`, `c2`, ...: of type integer and text in turn. */
export function wideColumns(columns: number): { readonly name: string; readonly isText: boolean }[] {
  return Array.from({ length: columns }, (_, at) => ({ name: `c${String(at + 1)}`, isText: at % 2 === 1 }))
}

/** Ends a transaction that is not to be stored. */
export class Undo extends Error {}

export function requireSize(found: number, size: number): void {
  if (found !== size) throw new Error(`Expected ${String(size)}, got ${String(found)}`)
}
