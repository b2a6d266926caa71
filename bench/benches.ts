/** All benchmarks, in the order in which they run. A new one is added here, to the scripts of package.json and to README.md. */

export interface Benchmark {
  /** Its file is `NAME.ts`, its script `npm run NAME`. */
  readonly name: string
  /** Options of a short run, and how long that takes, in seconds. */
  readonly short: readonly string[]
  readonly shortSeconds: number
  /** How long the run with its defaults takes, in minutes. */
  readonly fullMinutes: number
}

const SHORT_SLICES = ['--rounds', '3', '--generations', '1', '--warm-up', '300', '--millis', '100']

export const BENCHMARKS: readonly Benchmark[] = [
  { name: 'pool', short: SHORT_SLICES, shortSeconds: 50, fullMinutes: 10 },
  {
    name: 'session',
    short: [...SHORT_SLICES, '--callers', '20', '--workloads', 'read,readOnly,write,three,autocommit'],
    shortSeconds: 150,
    fullMinutes: 120,
  },
  {
    name: 'orm',
    short: [...SHORT_SLICES, '--callers', '20', '--latency', '0'],
    shortSeconds: 120,
    fullMinutes: 45,
  },
  {
    name: 'start',
    short: ['--rounds', '2', '--entity-rounds', '1', '--long-rounds', '0'],
    shortSeconds: 60,
    fullMinutes: 3,
  },
  {
    name: 'builders',
    short: [...SHORT_SLICES, '--callers', '20', '--latency', '1'],
    shortSeconds: 40,
    fullMinutes: 30,
  },
  {
    name: 'service',
    short: ['--rounds', '2', '--warm-up', '600', '--millis', '250', '--workloads', 'single,updates'],
    shortSeconds: 90,
    fullMinutes: 30,
  },
  { name: 'scale', short: ['--rounds', '2', '--largest', '10000'], shortSeconds: 60, fullMinutes: 10 },
]
