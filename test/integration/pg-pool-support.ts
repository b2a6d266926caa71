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
