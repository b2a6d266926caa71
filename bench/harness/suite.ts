/** Runs a suite: the processes of its contenders, and all of its workloads against one server. */
import { interleave, type Measured, type Schedule } from './interleave.js'
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

/** The name of the anchor's second copy, whose figures show the noise. */
export function controlOf(anchor: Entry): string {
  return `${anchor.name} (control)`
}

/** The processes of a suite; `run` measures them against one server after another. */
export class SuiteRun implements AsyncDisposable {
  readonly #suite: Suite
  readonly #options: BenchOptions
  readonly #anchor: ContenderProcess
  readonly #contenders: readonly ContenderProcess[]

  /** @param built See `buildContenders`. */
  constructor(suite: Suite, options: BenchOptions, built: string) {
    this.#suite = suite
    this.#options = options
    this.#anchor = new ContenderProcess(suite.anchor, built)
    const control = { ...suite.anchor, name: controlOf(suite.anchor) }
    this.#contenders = [control, ...suite.contenders]
      .filter(({ name }) => options.contenders?.includes(name) ?? true)
      .map((entry) => new ContenderProcess(entry, built))
  }

  /**
   * Lets every process run everything for a while, so that all code is compiled: the anchor, which runs far more often
   * than the others, would be ahead for that alone.
   */
  async warmUp(url: string): Promise<void> {
    for (const contender of this.#all) {
      await contender.open(url)
      for (const workload of this.#workloads.filter((name) => contender.has(name))) {
        for (const callers of this.#options.callers) {
          const millis = this.#options.warmUpMillis / this.#options.callers.length
          await contender.run({ workload, callers, millis, cycles: this.#suite.cycles })
        }
      }
      process.stderr.write('w')
    }
  }

  async run(url: string, afterRound?: Schedule['afterRound']): Promise<Measured> {
    const { rounds, millis, callers } = this.#options
    // One after the other, so that connecting is no storm for a server with few connections.
    for (const contender of this.#all) await contender.open(url)
    return interleave(this.#anchor, this.#contenders, {
      cells: this.#workloads.flatMap((workload) => callers.map((count) => ({ workload, callers: count }))),
      rounds,
      millis,
      cycles: this.#suite.cycles,
      afterRound: async (round) => {
        process.stderr.write('.')
        await afterRound?.(round)
      },
    })
  }

  /** Closes every connection; `run` opens new ones. */
  async close(): Promise<void> {
    for (const contender of this.#all) await contender.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((contender) => contender.end()))
  }

  get #all(): readonly ContenderProcess[] {
    return [this.#anchor, ...this.#contenders]
  }

  get #workloads(): readonly string[] {
    const chosen = this.#options.workloads
    return [...this.#suite.workloads.keys()].filter((name) => chosen?.includes(name) ?? true)
  }
}
