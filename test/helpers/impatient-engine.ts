import { Engine } from '../../src/engine/engine.js'
import { type EngineOptions, resolveEngineOptions } from '../../src/engine/options.js'

/**
 * An engine that gives up a connection 300 ms after a cancel, or a ROLLBACK, instead of 3 seconds: for a server that stays silent
 * whatever happens, so that it makes no difference how busy the machine is.
 */
export function createImpatientEngine(options: EngineOptions): Engine {
  return new Engine({ options: resolveEngineOptions(options), cancelTimeoutMillis: 300 })
}
