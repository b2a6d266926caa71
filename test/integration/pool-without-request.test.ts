/** A `poolClass` of the caller's own that has nothing but `acquire()`, and the async context of a block that waited. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { expect, test } from 'vitest'
import { QueuePool } from '../../src/pool/queue-pool.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

class PlainPool extends QueuePool {
  override readonly request = undefined as never
}

const fixture = useDatabase()

test('sessions acquire, wait and fail with it', async () => {
  const engine = fixture.engine({ poolClass: PlainPool, poolSize: 1, maxOverflow: 0 })
  const { withSession } = createSessionFactory({ bind: engine })
  expect(
    await Promise.all([1, 2, 3].map((n) => withSession((s) => s.scalar('select $1::int', [n])))),
  ).toEqual([1, 2, 3])
  const connection = await engine.connect()
  expect(
    await errorOf(withSession((session) => session.scalar('select 1'), { poolTimeoutMillis: 0 })),
  ).toMatchObject({
    code: 'POOL_TIMEOUT',
  })
  await connection.close()
})

test.each([undefined, PlainPool])(
  'a begin hook runs in the async context of its block (poolClass %s)',
  async (poolClass) => {
    const engine = fixture.engine({ ...(poolClass && { poolClass }), poolSize: 1, maxOverflow: 0 })
    const factory = createSessionFactory({ bind: engine })
    const store = new AsyncLocalStorage<string>()
    const begun: unknown[] = []
    factory.on('begin', () => begun.push(store.getStore()))
    const connection = await engine.connect()
    const waiting = ['a', 'b'].map((name) =>
      store.run(name, () => factory.withSession((session) => session.scalar('select 1'))),
    )
    await waitUntil(() => engine.stats().waiting === 2)
    await store.run('holder', () => connection.close())
    await Promise.all(waiting)
    expect(begun).toEqual(['a', 'b'])
  },
)
