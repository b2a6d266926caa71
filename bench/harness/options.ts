/** The options of the benchmarks on the command line. */
import { parseArgs } from 'node:util'

export interface BenchOptions {
  readonly rounds: number
  /** How often all processes are started anew. */
  readonly generations: number
  readonly warmUpMillis: number
  readonly millis: number
  readonly callers: readonly number[]
  readonly latencies: readonly number[]
  /** Names of those to run; undefined for all. */
  readonly workloads: readonly string[] | undefined
  readonly contenders: readonly string[] | undefined
  /** True: write the tables to `results/` as well. */
  readonly publish: boolean
}

/** What a benchmark may have defaults of its own for. */
type Length = Pick<BenchOptions, 'rounds' | 'generations'>

const usage = ({ rounds, generations }: Length): string => `
  --rounds N          samples per figure (default ${String(rounds)})
  --generations N     the rounds are divided among so many generations of processes (default ${String(generations)})
  --warm-up N         milliseconds of a workload before a contender is measured with it (default 4000)
  --millis N          length of a slice (default 250)
  --callers 1,20      so many at once
  --latency 0,1       added to each round trip, in milliseconds (not for pool)
  --workloads a,b     only these
  --contenders a,b    only these
  --print-only        leave results/ alone; so does a choice of workloads or contenders`

export function benchOptions(length: Length = { rounds: 12, generations: 3 }): BenchOptions {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: String(length.rounds) },
      generations: { type: 'string', default: String(length.generations) },
      'warm-up': { type: 'string', default: '4000' },
      millis: { type: 'string', default: '250' },
      callers: { type: 'string', default: '1,20' },
      latency: { type: 'string', default: '0,1' },
      workloads: { type: 'string' },
      contenders: { type: 'string' },
      'print-only': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage(length))
    process.exit()
  }
  return {
    rounds: Number(values.rounds),
    generations: Number(values.generations),
    warmUpMillis: Number(values['warm-up']),
    millis: Number(values.millis),
    callers: namesOf(values.callers).map(Number),
    latencies: namesOf(values.latency).map(Number),
    workloads: values.workloads === undefined ? undefined : namesOf(values.workloads),
    contenders: values.contenders === undefined ? undefined : namesOf(values.contenders),
    publish:
      !values['print-only'] &&
      // A folder of its own may have whatever was chosen.
      (process.env['LIFEGUARD_BENCH_RESULTS'] !== undefined ||
        (values.workloads === undefined && values.contenders === undefined)),
  }
}

/** Names that are separated by commas. Commas before a space belong to the name of a contender. */
export function namesOf(text: string): string[] {
  return text.split(/,(?! )/)
}
