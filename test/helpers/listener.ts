/** Listens to a channel in the background. */
import type { Engine } from '../../src/index.js'

export interface Listener {
  /** The payloads, in order. */
  readonly received: readonly string[]
  /** How often it has connected. */
  readonly connects: number
  /** Stops it, and waits for its end. */
  stop(): Promise<void>
}

export function listenTo(engine: Engine, channel: string): Listener {
  const received: string[] = []
  let connects = 0
  const controller = new AbortController()
  const listening = (async () => {
    const options = { onConnect: () => void (connects += 1), signal: controller.signal }
    for await (const { payload } of engine.listen(channel, options)) received.push(payload)
  })()
  // Told by `stop`, also if it fails before that.
  listening.catch(() => undefined)
  return {
    received,
    get connects() {
      return connects
    },
    stop: () => {
      controller.abort()
      return listening
    },
  }
}
