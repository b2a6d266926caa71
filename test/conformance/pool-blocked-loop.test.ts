/** A blocked event loop must not look like a dead server. */
import { describe, expect, it } from 'vitest'
import { createPgDriver } from '../../src/driver/pg-driver.js'
import { resolvePoolOptions } from '../../src/pool/resolve-options.js'
import { QueuePool } from '../../src/pool/queue-pool.js'
import { serverUrl } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'

const watch = guardLeaks()

function block(millis: number): void {
  const until = performance.now() + millis
  while (performance.now() < until);
}

describe('While the event loop is blocked for longer than a time limit', () => {
  it('a probe whose answer has arrived has not failed', async () => {
    const options = resolvePoolOptions({ prePingSkipMillis: 0, prePingTimeoutMillis: 20 })
    const pool = watch(
      new QueuePool({
        driver: createPgDriver({ url: serverUrl(), statementCacheSize: 0 }),
        name: 'blocked',
        options,
      }),
    )
    const first = await pool.acquire()
    first.release()
    for (let turn = 0; turn < 5; turn += 1) {
      const proving = pool.acquire()
      block(100)
      const lease = await proving
      expect(lease.connection).toBe(first.connection)
      lease.release()
    }
    expect(pool.stats()).toMatchObject({ generation: 0, counters: { pinged: 5, connected: 1 } })
    await pool.dispose()
  })

  it('an acquire is served by a connection that came back meanwhile', async () => {
    const options = resolvePoolOptions({ poolSize: 1, maxOverflow: 0 })
    const pool = watch(
      new QueuePool({
        driver: createPgDriver({ url: serverUrl(), statementCacheSize: 0 }),
        name: 'blocked',
        options,
      }),
    )
    const lease = await pool.acquire()
    const waiting = pool.acquire({ timeoutMillis: 20 })
    const answered = lease.connection.ping(5_000).then(() => lease.release())
    block(100)
    ;(await waiting).release()
    await answered
    expect(pool.stats().counters.timedOut).toBe(0)
    await pool.dispose()
  })
})
