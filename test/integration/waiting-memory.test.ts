/** What a caller takes that waits for a connection: a service under load has thousands of them. And what stays of those that have ended. */
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { declarativeBase } from '../../src/schema/base.js'
import { integer } from '../../src/schema/column-types.js'
import type { Session } from '../../src/session/session.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase()
const WAITERS = 2_000

/** Bytes of heap for each of so many blocks that wait for a connection. */
async function bytesOfEach(work: (session: Session) => Promise<unknown>): Promise<number> {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: null })
  const { withSession } = createSessionFactory({ bind: engine })
  // What is made once: compiled code, shapes of objects, the stack that these callers share.
  const wait = async (count: number, measured: () => Promise<void>): Promise<void> => {
    const lease = await engine.connect()
    const waiting: Promise<unknown>[] = []
    for (let index = 0; index < count; index++) waiting.push(withSession(work))
    await waitUntil(() => engine.stats().waiting === count)
    await measured()
    await lease.close()
    await Promise.all(waiting)
  }
  await wait(WAITERS, () => setImmediate())
  const before = heap()
  let bytes = 0
  await wait(WAITERS, async () => {
    await setImmediate()
    bytes = (heap() - before) / WAITERS
  })
  return bytes
}

function heap(): number {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc')
  globalThis.gc()
  return process.memoryUsage().heapUsed
}

test.each<[string, (session: Session) => Promise<unknown>, number]>([
  ['a block that returns its only statement', (session) => session.execute('select 1'), 2_250],
  ['a block that awaits', async (session) => await session.scalar('select 1'), 2_800],
])('%s takes little while it waits for a connection', async (_, work, limit) => {
  expect(await bytesOfEach(work)).toBeLessThan(limit)
})

class Counted extends declarativeBase().entity('counted', { id: integer().primaryKey() }) {}

test.each<[string, (session: Session) => Promise<unknown>]>([
  ['a statement', (session) => session.scalar('select 1')],
  ['an entity', (session) => session.get(Counted, 1)],
])('of blocks with %s that each start the next one by a timer, only the last stay', async (_, work) => {
  await fixture.db.query('create table if not exists counted (id int primary key)')
  await fixture.db.query('insert into counted values (1) on conflict do nothing')
  const engine = fixture.engine({ captureStacks: true })
  const { withSession } = createSessionFactory({ bind: engine })
  const sessions: WeakRef<Session>[] = []
  const alive = await new Promise<number>((resolve, reject) => {
    const block = async (session: Session): Promise<void> => {
      await work(session)
      if (sessions.push(new WeakRef(session)) < 40) return void setTimeout(start, 0)
      // A WeakRef keeps its target until the end of the turn that made it.
      await setImmediate()
      globalThis.gc?.()
      resolve(sessions.filter((reference) => reference.deref() !== undefined).length)
    }
    const start = (): void => void withSession(block).catch(reject)
    start()
  })
  expect(alive).toBeLessThan(5)
})
