/** The unique name of an engine in metrics. */
import type { Engine } from '../../index.js'

const KEY: unique symbol = Symbol.for('lifeguard.poolLabels') as never

/**
 * The name of the engine; `name#2` if another engine that is not disposed is reported under the same name. One engine keeps its label
 * until it is disposed.
 */
export function poolLabelOf(engine: Engine): string {
  const { host, atEnd } = engine.internals()
  const { engineId } = host.source
  const shared = globalThis as { [KEY]?: Map<string, number> }
  const labels = (shared[KEY] ??= new Map())
  for (let number = 1; ; number++) {
    const label = number === 1 ? engine.name : `${engine.name}#${number}`
    const holder = labels.get(label)
    if (holder === engineId) return label
    if (holder !== undefined) continue
    labels.set(label, engineId)
    atEnd.add(() => void labels.delete(label))
    return label
  }
}
