/** What a contender is: code that does the same work with one library, in a process of its own. */

/** Does the work so many times, one after the other. Several callers may run at once. */
export type Run = (cycles: number) => Promise<void>

/** A contender that is connected. */
export interface Contender {
  /** By workload; what the library does not have is left out. */
  readonly runs: Readonly<Record<string, Run>>
  /** Loads many entities and keeps them while something else is done. Resolves to how many. */
  readonly hold?: (whileHeld: () => void) => Promise<number>
  close(): Promise<unknown>
}

/** What a contender's module exports. `variant` is for modules that stand for several contenders. */
export type Open = (url: string, variant: string | undefined) => Contender | Promise<Contender>

/** How many connections each contender may keep, all of them open. */
export const POOL_SIZE = 5

/** One slice of measuring, asked of a contender's process. */
export interface Slice {
  readonly workload: string
  /** So many callers at once. */
  readonly callers: number
  readonly millis: number
  /** Each caller looks at the clock after so many cycles. */
  readonly cycles: number
}

/** What a slice showed. */
export interface Sample {
  readonly operationsPerSecond: number
  /** CPU time of the whole process (garbage collector included) per operation. */
  readonly cpuMicros: number
}

/** Messages from the parent process. */
export type Request =
  | { readonly kind: 'open'; readonly url: string }
  | { readonly kind: 'run'; readonly slice: Slice }
  | { readonly kind: 'weigh' }

/** Messages to the parent process: one for each request. */
export type Reply =
  | { readonly kind: 'opened'; readonly workloads: readonly string[] }
  | { readonly kind: 'sample'; readonly sample: Sample }
  | { readonly kind: 'weight'; readonly bytes: number }
  | { readonly kind: 'failed'; readonly error: string }
