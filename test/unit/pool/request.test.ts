/** `request()`: as `acquire()`, for a receiver instead of a promise. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { expect, test } from 'vitest'
import type { Lease } from '../../../src/pool/pool.js'
import { makePool } from './make-pool.js'
import { settle } from './manual-clock.js'

/** Notes what it is told, and where. */
function makeReceiver(store?: AsyncLocalStorage<string>) {
  const told: unknown[] = []
  return {
    told,
    leased: (lease: Lease): void => void told.push(store === undefined ? lease : store.getStore()),
    refused: (error: unknown): void => void told.push(error),
  }
}

const ask = (
  pool: ReturnType<typeof makePool>['pool'],
  receiver: ReturnType<typeof makeReceiver>,
  options = {},
) => pool.request(receiver, options, undefined, undefined)

test('an idle connection is handed out at once', async () => {
  const { pool } = makePool()
  ;(await pool.acquire()).release()
  const receiver = makeReceiver()
  ask(pool, receiver)
  expect(receiver.told).toMatchObject([{ active: true }])
})

test('a waiting receiver is told in the async context of its caller, and not on the stack of the release', async () => {
  const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
  const store = new AsyncLocalStorage<string>()
  const receiver = makeReceiver(store)
  const lease = await pool.acquire()
  store.run('the caller', () => ask(pool, receiver))
  store.run('the holder', () => lease.release())
  expect(receiver.told).toEqual([])
  await settle()
  expect(receiver.told).toEqual(['the caller'])
})

test('receivers and promises wait in one queue', async () => {
  const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
  const order: string[] = []
  const lease = await pool.acquire()
  const receiver = (name: string) => ({
    leased: (given: Lease): void => {
      order.push(name)
      given.release()
    },
    refused: (): void => void order.push('refused'),
  })
  pool.request(receiver('first'), {}, undefined, undefined)
  const second = pool.acquire().then((given) => {
    order.push('second')
    given.release()
  })
  pool.request(receiver('third'), {}, undefined, undefined)
  lease.release()
  await second
  await settle()
  expect(order).toEqual(['first', 'second', 'third'])
  expect(pool.stats()).toMatchObject({ waiting: 0, borrowed: 0 })
})

test('a receiver is refused once: by its signal, its timeout, the full queue, the disposed pool', async () => {
  const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0, maxWaiting: 2, poolTimeoutMillis: 100 })
  const lease = await pool.acquire()
  const aborting = new AbortController()
  const [aborted, late, full, disposed] = [makeReceiver(), makeReceiver(), makeReceiver(), makeReceiver()]
  ask(pool, aborted, { signal: aborting.signal })
  ask(pool, late)
  ask(pool, full)
  expect(full.told).toMatchObject([{ code: 'POOL_QUEUE_FULL' }])
  aborting.abort()
  expect(aborted.told).toEqual([])
  await clock.advance(200)
  await settle()
  expect(aborted.told).toMatchObject([{ code: 'ABORTED' }])
  expect(late.told).toMatchObject([{ code: 'POOL_TIMEOUT' }])
  const alreadyAborted = makeReceiver()
  ask(pool, alreadyAborted, { signal: aborting.signal })
  expect(alreadyAborted.told).toMatchObject([{ code: 'ABORTED' }])
  ask(pool, disposed)
  const disposal = pool.dispose({ timeoutMillis: 0 })
  await settle()
  expect(disposed.told).toMatchObject([{ code: 'ENGINE_DISPOSED' }])
  const afterwards = makeReceiver()
  ask(pool, afterwards)
  expect(afterwards.told).toMatchObject([{ code: 'ENGINE_DISPOSED' }])
  lease.release()
  await clock.advance(5_000)
  await disposal
})

test('listeners of acquire hear of a receiver as of a promise', async () => {
  const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0 })
  const waits: number[] = []
  pool.events.on('acquire', ({ waitedMillis }) => void waits.push(waitedMillis))
  const lease = await pool.acquire()
  const receiver = makeReceiver()
  ask(pool, receiver)
  await clock.advance(30)
  lease.release()
  await settle()
  expect(receiver.told).toMatchObject([{ active: true }])
  expect(waits).toEqual([0, 30])
})
