/** Runs a suite: the processes of its contenders, and its workloads against one server after the other. */
import { interleave } from './interleave.js'
import { Measurements, type Cell } from './measurements.js'
import type { BenchOptions } from './options.js'
import { ContenderProcess, type Entry } from './processes.js'

export interface Suite {
  /** What everything is compared with. */
  readonly anchor: Entry
  readonly contenders: readonly Entry[]
  /** Titles by name, in the order of the tables. */
  readonly workloads: ReadonlyMap<string, string>
  /** Cycles between two looks at the clock. */
  readonly cycles: number
}

/** A server to measure against, by its connection string, and what was measured. */
export interface Course {
  readonly url: string
  readonly measurements: Measurements
}

/**
 * Measures everything on every course. The rounds are divided among generations of processes: how well a process runs
 * is also a matter of luck (when the compiler took which decision), and it keeps its luck for life.
 *
 * @param built See `buildContenders`.
 * @param afterContender Called while nothing runs.
 */
export async function runSuite(
  suite: Suite,
  courses: readonly Course[],
  options: BenchOptions,
  built: string,
  afterContender: () => Promise<void>,
): Promise<void> {
  const rounds = Math.ceil(options.rounds / options.generations)
  for (let generation = 0; generation < options.generations; generation += 1) {
    const anchor = new ContenderProcess(suite.anchor, built)
    const contenders = contendersOf(suite)
      .filter(({ name }) => options.contenders?.includes(name) ?? true)
      .map((entry) => new ContenderProcess(entry, built))
    const all = [anchor, ...contenders]
    const cells = cellsOf(suite, options)
    try {
      for (const { url, measurements } of courses) {
        // One after the other, so that connecting is no storm for a server with few connections.
        for (const contender of all) await contender.open(url)
        const { millis, warmUpMillis } = options
        const schedule = { cells, rounds, warmUpMillis, millis, cycles: suite.cycles }
        const tick = (): Promise<void> => {
          process.stderr.write('.')
          return afterContender()
        }
        await interleave(anchor, contenders, { ...schedule, afterContender: tick }, measurements)
      }
    } finally {
      for (const contender of all) await contender.end()
    }
  }
  process.stderr.write('\n')
}

/** The contenders, and before them the second copy of the anchor. */
export function contendersOf({ anchor, contenders }: Suite): Entry[] {
  return [{ ...anchor, name: `${anchor.name} (control)` }, ...contenders]
}

function cellsOf({ workloads }: Suite, options: BenchOptions): Cell[] {
  return [...workloads.keys()]
    .filter((workload) => options.workloads?.includes(workload) ?? true)
    .flatMap((workload) => options.callers.map((callers) => ({ workload, callers })))
}
