/**
 * Numbers of engines, from 1 in each process, both copies of this package (import, require) included: messages of channels carry them,
 * because two engines may have one name.
 */
const KEY: unique symbol = Symbol.for('lifeguard.engineIds') as never

export function nextEngineId(): number {
  const shared = globalThis as { [KEY]?: number }
  shared[KEY] = (shared[KEY] ?? 0) + 1
  return shared[KEY]
}
