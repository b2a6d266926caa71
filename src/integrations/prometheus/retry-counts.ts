/** Counts the retries of an engine's blocks, by the error of the failed attempt. */
import type { Engine } from '../../index.js'
import { errorTypeOf, sqlStateOf } from '../telemetry/error-type.js'

export class RetryCounts {
  readonly byError: Map<string, number> = new Map()
  readonly stop: () => void

  constructor(engine: Engine) {
    this.stop = engine.on('retry', ({ error }) => {
      const type = errorTypeOf(error, sqlStateOf(error))
      this.byError.set(type, (this.byError.get(type) ?? 0) + 1)
    })
  }
}
