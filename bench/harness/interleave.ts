/**
 * The measuring itself. A shared machine has no absolute figures, but whatever else runs on it hits neighbours alike:
 *
 * 1. One process runs at a time, for a slice of some 250 ms; the others wait without using the CPU.
 * 2. The anchor runs before and after every other slice. A sample counts only relative to the mean of its two neighbours.
 * 3. The order of the contenders is drawn anew in each round. The first round is thrown away (plans, caches).
 * 4. A second copy of the anchor takes part as a contender: how far it is from 1.00 is how far to trust the rest.
 */
import type { Sample, Slice } from './contender.js'
import type { ContenderProcess } from './processes.js'
import { summarise, type Summary } from './statistics.js'

/** Relative to the anchor. */
interface Ratios {
  readonly throughput: number[]
  readonly cpu: number[]
}

/** What is measured together. */
export interface Cell {
  readonly workload: string
  readonly callers: number
}

export interface Outcome extends Cell {
  readonly contender: string
  readonly throughput: Summary
  readonly cpu: Summary
}

/** The anchor's own figures, for orientation. */
export interface AnchorFigures extends Cell {
  readonly operationsPerSecond: Summary
  readonly cpuMicros: Summary
}

export interface Schedule {
  readonly cells: readonly Cell[]
  readonly rounds: number
  readonly millis: number
  readonly cycles: number
  /** Called after each round. */
  readonly afterRound?: (round: number) => Promise<void>
}

export interface Measured {
  readonly outcomes: readonly Outcome[]
  readonly anchors: readonly AnchorFigures[]
}

export async function interleave(
  anchor: ContenderProcess,
  contenders: readonly ContenderProcess[],
  schedule: Schedule,
): Promise<Measured> {
  const { cells, rounds, millis, cycles } = schedule
  const records = cells.map((cell) => ({
    cell,
    anchors: [] as Sample[],
    ratios: new Map<string, Ratios>(
      contenders
        .filter((contender) => contender.has(cell.workload))
        .map(({ name }) => [name, { throughput: [], cpu: [] }]),
    ),
  }))
  for (let round = 0; round <= rounds; round += 1) {
    for (const { cell, anchors, ratios } of records) {
      const slice: Slice = { ...cell, millis, cycles }
      const counts = round > 0
      let before = await anchor.run(slice)
      if (counts) anchors.push(before)
      for (const contender of shuffled(contenders)) {
        const taken = ratios.get(contender.name)
        if (taken === undefined) continue
        const sample = await contender.run(slice)
        const after = await anchor.run(slice)
        if (counts) {
          anchors.push(after)
          taken.throughput.push(ratio(sample, before, after, 'operationsPerSecond'))
          taken.cpu.push(ratio(sample, before, after, 'cpuMicros'))
        }
        before = after
      }
    }
    await schedule.afterRound?.(round)
  }
  return {
    outcomes: records.flatMap(({ cell, ratios }) =>
      [...ratios].map(([contender, { throughput, cpu }]) => ({
        ...cell,
        contender,
        throughput: summarise(throughput),
        cpu: summarise(cpu),
      })),
    ),
    anchors: records.map(({ cell, anchors }) => ({
      ...cell,
      operationsPerSecond: summarise(anchors.map((sample) => sample.operationsPerSecond)),
      cpuMicros: summarise(anchors.map((sample) => sample.cpuMicros)),
    })),
  }
}

function ratio(sample: Sample, before: Sample, after: Sample, figure: keyof Sample): number {
  return sample[figure] / ((before[figure] + after[figure]) / 2)
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)
}
