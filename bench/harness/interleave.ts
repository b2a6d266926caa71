/**
 * The measuring itself. A shared machine has no absolute figures, but what else runs on it hits neighbours alike:
 *
 * 1. One process runs at a time, for a slice of some 250 ms; the others wait without using the CPU.
 * 2. A contender takes turns with the anchor. A sample counts only relative to the mean of the anchor's slices around it.
 * 3. No contender that is measured waits for longer than a slice. After some seconds V8 throws away what its compiler made and makes the
 *    heap smaller, and the kernel may take back memory: one that waits for many others would be compared cold.
 * 4. The order of the contenders is drawn anew for each workload; each first sample is thrown away (plans, caches).
 * 5. A second copy of the anchor takes part as a contender: how far it is from 1.00 is how far to trust the rest.
 */
import type { Sample, Slice } from './contender.js'
import type { Cell, Measurements } from './measurements.js'
import type { ContenderProcess } from './processes.js'

interface Schedule {
  readonly cells: readonly Cell[]
  readonly rounds: number
  /** How long each runs a workload before it is measured, so that all code is compiled. */
  readonly warmUpMillis: number
  readonly millis: number
  readonly cycles: number
  /** Called after each contender, while nothing runs. */
  readonly afterContender: () => Promise<void>
}

export async function interleave(
  anchor: ContenderProcess,
  contenders: readonly ContenderProcess[],
  { cells, rounds, warmUpMillis, millis, cycles, afterContender }: Schedule,
  measurements: Measurements,
): Promise<void> {
  for (const cell of cells) {
    const slice: Slice = { ...cell, millis, cycles }
    await anchor.run({ ...slice, millis: warmUpMillis })
    for (const contender of shuffled(contenders)) {
      if (!contender.has(cell.workload)) continue
      await contender.run({ ...slice, millis: warmUpMillis })
      let before = await anchor.run(slice)
      for (let round = 0; round <= rounds; round += 1) {
        const sample = await contender.run(slice)
        const after = await anchor.run(slice)
        if (round > 0) measurements.add(cell, contender.name, sample, meanOf(before, after))
        before = after
      }
      await afterContender()
    }
  }
}

function meanOf(one: Sample, other: Sample): Sample {
  return {
    operationsPerSecond: (one.operationsPerSecond + other.operationsPerSecond) / 2,
    cpuMicros: (one.cpuMicros + other.cpuMicros) / 2,
  }
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)
}
