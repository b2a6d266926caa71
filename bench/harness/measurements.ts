/** What was measured against one server: samples relative to the anchor, from all rounds and all generations of processes. */
import type { Sample } from './contender.js'
import { summarise, type Summary } from './statistics.js'

/** What is measured together. */
export interface Cell {
  readonly workload: string
  readonly callers: number
}

/** A contender's figures, relative to the anchor's. */
export interface Ratios {
  readonly throughput: Summary
  readonly cpu: Summary
}

/** The anchor's own figures. */
interface AnchorFigures {
  readonly operationsPerSecond: Summary
  readonly cpuMicros: Summary
}

export class Measurements {
  readonly #ratios = new Map<string, Sample[]>()
  readonly #anchors = new Map<string, Sample[]>()

  /** @param anchor The mean of the neighbours. */
  add(cell: Cell, contender: string, sample: Sample, anchor: Sample): void {
    push(this.#anchors, keyOf(cell), anchor)
    push(this.#ratios, keyOf(cell, contender), {
      operationsPerSecond: sample.operationsPerSecond / anchor.operationsPerSecond,
      cpuMicros: sample.cpuMicros / anchor.cpuMicros,
    })
  }

  /** Undefined if the contender does not do that. */
  ratios(cell: Cell, contender: string): Ratios | undefined {
    const samples = this.#ratios.get(keyOf(cell, contender))
    return samples && { throughput: speed(samples), cpu: cpu(samples) }
  }

  anchor(cell: Cell): AnchorFigures | undefined {
    const samples = this.#anchors.get(keyOf(cell))
    return samples && { operationsPerSecond: speed(samples), cpuMicros: cpu(samples) }
  }
}

function keyOf({ workload, callers }: Cell, contender = ''): string {
  return `${workload} ${String(callers)} ${contender}`
}

function push(samples: Map<string, Sample[]>, key: string, sample: Sample): void {
  const known = samples.get(key)
  if (known === undefined) samples.set(key, [sample])
  else known.push(sample)
}

function speed(samples: readonly Sample[]): Summary {
  return summarise(samples.map(({ operationsPerSecond }) => operationsPerSecond))
}

function cpu(samples: readonly Sample[]): Summary {
  return summarise(samples.map(({ cpuMicros }) => cpuMicros))
}
