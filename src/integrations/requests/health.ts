/** The answer of a health endpoint. */
import type { CheckOptions, Engine, EngineCheck } from '../../index.js'

/** What a health endpoint sends: 200 if the database answers, otherwise 503. */
export interface HealthAnswer {
  readonly status: number
  readonly body: Omit<EngineCheck, 'serverVersion' | 'error'>
}

/** Asks the engine. Public as health endpoints often are, they say neither the version nor the error. */
export async function healthOf(engine: Engine, options?: CheckOptions): Promise<HealthAnswer> {
  const { ok, reason, latencyMillis, pool } = await engine.check(options)
  return { status: ok ? 200 : 503, body: { ok, reason, latencyMillis: Math.round(latencyMillis), pool } }
}
