/** Fresh processes of several contenders, one at a time, in a random order that changes with each round. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import type { Entry } from './processes.js'
import type { StartSample, StartSchedule } from './start-child.js'
import { summarise, type Summary } from './statistics.js'

/** The samples of one contender, by round. */
export type Starts = ReadonlyMap<string, readonly StartSample[]>

/** What a group of contenders does. */
export interface StartGroup {
  readonly title: string
  /** The first one is what the others are compared with. */
  readonly contenders: readonly Entry[]
  readonly schedule: StartSchedule
  readonly rounds: number
}

/**
 * Runs every contender once in each round.
 * @param built See `buildContenders`.
 */
export async function runStarts(
  { contenders, schedule, rounds }: StartGroup,
  url: string,
  built: string,
): Promise<Starts> {
  const samples = new Map<string, StartSample[]>(contenders.map(({ name }) => [name, []]))
  // The first one is not counted: it reads the files from the disk.
  for (let round = -1; round < rounds; round++) {
    for (const entry of shuffled(contenders)) {
      const sample = await start(entry, url, built, round < 0 ? { ...schedule, marks: [1] } : schedule)
      if (round >= 0) samples.get(entry.name)?.push(sample)
      process.stderr.write('.')
    }
  }
  return samples
}

/** The median of a figure, and its quartiles. */
export function figure(starts: Starts, name: string, of: (sample: StartSample) => number): Summary {
  return summarise((starts.get(name) ?? []).map(of))
}

/** A figure relative to that of another contender in the same round. */
export function compared(
  starts: Starts,
  name: string,
  anchor: string,
  by: (sample: StartSample, other: StartSample) => number,
): Summary {
  const others = starts.get(anchor) ?? []
  return summarise(
    (starts.get(name) ?? []).flatMap((sample, round) => {
      const other = others[round]
      return other === undefined ? [] : [by(sample, other)]
    }),
  )
}

async function start(
  { name, module }: Entry,
  url: string,
  built: string,
  schedule: StartSchedule,
): Promise<StartSample> {
  const path = `${built}/contenders/${module}.js`
  const child = spawn(
    process.execPath,
    [`${built}/harness/start-child.js`, path, url, JSON.stringify(schedule)],
    {
      // Without what the environment asks of node. The work of a contender is checked by the other benchmarks.
      env: { PATH: process.env['PATH'], NODE_ENV: 'production', BENCH_UNCHECKED: '1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const printed = await text(child.stdout)
  if (printed === '') throw new Error(`A process of ${name} printed nothing`)
  return JSON.parse(printed) as StartSample
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item)
}
