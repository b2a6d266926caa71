/** What the tests of pg.Pool's face share. */
import type { EngineOptions } from '../../src/engine/options.js'
import type { Engine } from '../../src/engine/engine.js'
import { poolFrom, type Pool } from '../../src/integrations/pg-pool.js'
import type { Fixture } from './session-support.js'

export interface Faced {
  readonly engine: Engine
  readonly pool: Pool
}

/** An engine and its face. */
export function faced(fixture: Fixture, options?: EngineOptions): Faced {
  const engine = fixture.engine(options)
  return { engine, pool: poolFrom(engine) }
}

/** The warnings of this process while `work` runs, and until the end of the turn after it. */
export async function warningsOf(work: () => Promise<unknown>): Promise<string[]> {
  const warnings: string[] = []
  const listen = (warning: Error): void => void warnings.push(String(warning))
  process.on('warning', listen)
  try {
    await work()
    await new Promise(setImmediate)
  } finally {
    process.off('warning', listen)
  }
  return warnings
}
