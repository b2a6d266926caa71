/** Checks after a test that it has returned every connection. */
import { IllegalStateError, type Engine, type SessionFactory } from '../../index.js'
import { refuseUnknown } from './options.js'
import { engineOf } from './with-rollback.js'

/** How long work that is about to end may take. */
const PATIENCE_MILLIS = 1_000

/**
 * Waits a moment, then fails if connections are still checked out or callers still wait for one. For `afterEach`.
 *
 * @param options `withinMillis`: how long to wait for work that is about to end. Default 1000.
 * @param target The engine of the code under test, or a session factory bound to it.
 * @throws IllegalStateError with the state of the pool. `leakDetectionMillis` and `captureStacks` report the lines that hold
 *   connections.
 */
export async function expectNoLeaks(
  target: Engine | SessionFactory,
  options: { readonly withinMillis?: number | undefined } = {},
): Promise<void> {
  const engine = engineOf(target, 'expectNoLeaks(engine)')
  refuseUnknown('expectNoLeaks(engine, { withinMillis })', options, ['withinMillis'])
  const { withinMillis = PATIENCE_MILLIS } = options
  const deadline = performance.now() + withinMillis
  const isClean = (): boolean => {
    const { borrowed, waiting } = engine.stats()
    return borrowed === 0 && waiting === 0
  }
  while (!isClean()) {
    if (performance.now() >= deadline) {
      const held = (engine.internals().substitutes.pool.holders?.() ?? []).join('\n')
      throw new IllegalStateError(
        `The test has not returned its connections. ${engine.status()}. A session or connection is not closed, or a call not awaited:\n${held}`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
