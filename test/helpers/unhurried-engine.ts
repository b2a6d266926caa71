import { createPgDriver } from '../../src/driver/pg-driver.js'
import { Engine } from '../../src/engine/engine.js'
import { type EngineOptions, resolveEngineOptions } from '../../src/engine/options.js'
import { systemClock } from '../../src/internal/clock.js'

/**
 * An engine whose driver sees no time pass: no statement is slow, and planned anew for that, and none gets too old. What is
 * prepared stays prepared, however busy the machine is.
 */
export function createUnhurriedEngine(options: EngineOptions): Engine {
  const resolved = resolveEngineOptions(options)
  const { connect, types, hideParameters, statementCacheSize } = resolved
  const clock = { ...systemClock, now: () => 0 }
  const driver = createPgDriver({ ...connect, types, hideParameters, statementCacheSize, clock })
  return new Engine({ options: resolved, driver })
}
