/** pg's `allowExitOnIdle: false`: the process does not end as long as the pool has a connection, idle ones included. */
import type { Engine } from '../../index.js'

/** Longer than any connection lives; the timer does nothing. */
const LONG_MILLIS = 2_147_483_647

/** @returns what ends it: nothing is kept alive from then on. */
export function keepProcessAlive(engine: Engine): () => void {
  let timer: NodeJS.Timeout | undefined
  let connections = 0
  const count = (change: number): void => {
    connections += change
    if (connections > 0) timer ??= setInterval(() => undefined, LONG_MILLIS)
    else {
      clearInterval(timer)
      timer = undefined
    }
  }
  const forget = [engine.on('connect', () => count(1)), engine.on('close', () => count(-1))]
  return () => {
    for (const each of forget) each()
    clearInterval(timer)
  }
}
