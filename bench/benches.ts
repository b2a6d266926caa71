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

/** A contender whose code V8 has not optimised runs at a third of its speed: the warm-up is most of a short run. */
const SHORT_SLICES = [
  '--rounds',
  '3',
  '--generations',
  '1',
  '--warm-up',
  '1500',
  '--millis',
  '100',
  '--callers',
  '20',
]

export const BENCHMARKS: readonly Benchmark[] = [
  { name: 'pool', short: SHORT_SLICES, shortSeconds: 60, fullMinutes: 10 },
  {
    name: 'session',
    short: [
      ...SHORT_SLICES,
      '--workloads',
      'read,write,autocommit',
      '--contenders',
      'lifeguard,postgres.js,kysely,drizzle',
    ],
    shortSeconds: 95,
    fullMinutes: 120,
  },
  {
    name: 'orm',
    short: [
      ...SHORT_SLICES,
      '--latency',
      '0',
      '--workloads',
      'insert,change,load,graph',
      '--contenders',
      'lifeguard,typeorm,drizzle,prisma',
    ],
    shortSeconds: 105,
    fullMinutes: 45,
  },
  {
    name: 'start',
    short: ['--rounds', '2', '--entity-rounds', '1', '--long-rounds', '0'],
    shortSeconds: 65,
    fullMinutes: 3,
  },
  {
    name: 'builders',
    short: [...SHORT_SLICES, '--latency', '1', '--workloads', 'autocommit,read,write'],
    shortSeconds: 70,
    fullMinutes: 30,
  },
  {
    name: 'service',
    short: ['--rounds', '2', '--warm-up', '2000', '--millis', '250', '--workloads', 'single'],
    shortSeconds: 80,
    fullMinutes: 30,
  },
  { name: 'scale', short: ['--rounds', '2', '--largest', '3000'], shortSeconds: 70, fullMinutes: 10 },
]
