/** Checks after a test that it has returned every connection. */
import { IllegalStateError, type Engine } from '../../index.js'

/** How long work that is about to end may take. */
const PATIENCE_MILLIS = 1_000

/**
 * Waits a moment, then fails if connections are still checked out or callers still wait for one. For `afterEach`.
 *
 * @param options `withinMillis`: how long to wait for work that is about to end. Default 1000.
 * @throws IllegalStateError with the state of the pool. `leakDetectionMillis` and `captureStacks` report the lines that hold
 *   connections.
 */
export async function expectNoLeaks(
  engine: Engine,
  { withinMillis = PATIENCE_MILLIS }: { readonly withinMillis?: number | undefined } = {},
): Promise<void> {
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
