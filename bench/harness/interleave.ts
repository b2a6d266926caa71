/**
 * The measuring itself. A shared machine has no absolute figures, but whatever else runs on it hits neighbours alike:
 *
 * 1. One process runs at a time, for a slice of some 250 ms; the others wait without using the CPU.
 * 2. The anchor runs before and after every other slice. A sample counts only relative to the mean of its two neighbours.
 * 3. The order of the contenders is drawn anew in each round. The first round is thrown away (plans, caches).
 * 4. All rounds of one workload follow one another, so that nobody waits for more than some seconds. After a minute V8
 *    has thrown away what its compiler made; the anchor, which never waits, would be compared with cold code.
 * 5. A second copy of the anchor takes part as a contender: how far it is from 1.00 is how far to trust the rest.
 */
import type { Sample, Slice } from './contender.js'
import type { Cell, Measurements } from './measurements.js'
import type { ContenderProcess } from './processes.js'

interface Schedule {
  readonly cells: readonly Cell[]
  readonly rounds: number
  /** How long everybody runs a cell before its first round, so that all code is compiled. */
  readonly warmUpMillis: number
  readonly millis: number
  readonly cycles: number
  /** Called after each round, and after warming up. */
  readonly afterRound: () => Promise<void>
}

export async function interleave(
  anchor: ContenderProcess,
  contenders: readonly ContenderProcess[],
  { cells, rounds, warmUpMillis, millis, cycles, afterRound }: Schedule,
  measurements: Measurements,
): Promise<void> {
  for (const cell of cells) {
    const able = contenders.filter((contender) => contender.has(cell.workload))
    for (const contender of [anchor, ...able]) {
      await contender.run({ ...cell, millis: warmUpMillis, cycles })
    }
    await afterRound()
    const slice: Slice = { ...cell, millis, cycles }
    for (let round = 0; round <= rounds; round += 1) {
      let before = await anchor.run(slice)
      for (const contender of shuffled(able)) {
        const sample = await contender.run(slice)
        const after = await anchor.run(slice)
        if (round > 0) measurements.add(cell, contender.name, sample, meanOf(before, after))
        before = after
      }
      await afterRound()
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
