/**
 * Numbers engines from 1 in each process, for all copies of this package. Messages of channels contain the number,
 * because two engines may have the same name.
 */
const KEY: unique symbol = Symbol.for('lifeguard.engineIds') as never

export function nextEngineId(): number {
  const shared = globalThis as { [KEY]?: number }
  shared[KEY] = (shared[KEY] ?? 0) + 1
  return shared[KEY]
}
