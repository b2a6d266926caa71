/** What entities take in memory. */
import type { BenchOptions } from './options.js'
import { ContenderProcess } from './processes.js'
import type { Suite } from './suite.js'

/** Bytes per entity by contender, each weighed in a new process. */
export async function weighEntities(
  { anchor, contenders }: Suite,
  url: string,
  options: BenchOptions,
  built: string,
): Promise<ReadonlyMap<string, number>> {
  const weights = new Map<string, number>()
  for (const entry of [anchor, ...contenders]) {
    if (entry !== anchor && options.contenders?.includes(entry.name) === false) continue
    const contender = new ContenderProcess(entry, built, ['--expose-gc'])
    try {
      await contender.open(url)
      weights.set(entry.name, await contender.weigh())
    } finally {
      await contender.end()
    }
  }
  return weights
}
