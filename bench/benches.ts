/** All benchmarks, in the order in which they run. A new one is added here, to the scripts of package.json and to README.md. */

export interface Benchmark {
  /** Its file is `NAME.ts`, its script `npm run NAME`. */
  readonly name: string
  /** Options of a short run, and how long that takes, in seconds. */
  readonly short: readonly string[]
  readonly shortSeconds: number
  /** The same of a run of medium length: all contenders and workloads, few samples. */
  readonly medium: readonly string[]
  readonly mediumMinutes: number
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

/** With a shorter warm-up the first workloads of a process are those of cold code. */
const MEDIUM_SLICES = ['--rounds', '4', '--generations', '1', '--warm-up', '4000', '--millis', '150']

export const BENCHMARKS: readonly Benchmark[] = [
  {
    name: 'pool',
    short: SHORT_SLICES,
    shortSeconds: 60,
    medium: MEDIUM_SLICES,
    mediumMinutes: 4,
    fullMinutes: 10,
  },
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
    medium: MEDIUM_SLICES,
    mediumMinutes: 32,
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
    medium: MEDIUM_SLICES,
    mediumMinutes: 20,
    fullMinutes: 45,
  },
  {
    name: 'start',
    short: ['--rounds', '2', '--entity-rounds', '1', '--long-rounds', '0'],
    shortSeconds: 65,
    medium: [],
    mediumMinutes: 3,
    fullMinutes: 3,
  },
  {
    name: 'builders',
    short: [...SHORT_SLICES, '--latency', '1', '--workloads', 'autocommit,read,write'],
    shortSeconds: 70,
    medium: MEDIUM_SLICES,
    mediumMinutes: 12,
    fullMinutes: 30,
  },
  {
    name: 'telemetry',
    short: [...SHORT_SLICES, '--callers', '20', '--latency', '0', '--workloads', 'read'],
    shortSeconds: 20,
    medium: [...MEDIUM_SLICES, '--callers', '20', '--latency', '0'],
    mediumMinutes: 1,
    fullMinutes: 20,
  },
  {
    name: 'service',
    short: ['--rounds', '2', '--warm-up', '2000', '--millis', '250', '--workloads', 'single'],
    shortSeconds: 80,
    medium: ['--rounds', '2', '--warm-up', '2000', '--millis', '500'],
    mediumMinutes: 6,
    fullMinutes: 30,
  },
  {
    name: 'scale',
    short: ['--rounds', '2', '--largest', '3000'],
    shortSeconds: 70,
    medium: ['--rounds', '3', '--largest', '10000'],
    mediumMinutes: 3,
    fullMinutes: 10,
  },
]
