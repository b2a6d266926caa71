/** The connections that query builders use again: what one query or transaction leaves behind never reaches the next one. */
import { expect, test } from 'vitest'
import {
  LaterTransactions,
  type LaterConnections,
} from '../../src/integrations/builders/later-connections.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (title text)')
const HOLD = { releaseWhenIdle: false }

function later(): { connections: LaterConnections; engine: ReturnType<typeof fixture.engine> } {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 5_000 })
  return { engine, connections: new LaterTransactions(engine, HOLD).of({}) }
}

test('a connection that is at rest is taken again, and holds nothing of the pool meanwhile', async () => {
  const { engine, connections } = later()
  const first = connections.take()
  expect(engine.stats().borrowed).toBe(0)
  await first.execute('insert into songs values ($1)', ['a'])
  await first.commit()
  await connections.giveBack(first)
  expect(engine.stats().borrowed).toBe(0)
  const again = connections.take()
  expect(again).toBe(first)
  expect(await again.scalar('select title from songs')).toBe('a')
  await again.rollback()
  await connections.giveBack(again)
})

test('two at a time are two connections', () => {
  const { connections } = later()
  expect(connections.take()).not.toBe(connections.take())
})

test.each<[string, (connection: ReturnType<LaterConnections['take']>) => Promise<unknown>]>([
  ['in an open transaction', (on) => on.execute("insert into songs values ('open')")],
  ['in a failed transaction', (on) => on.execute('select 1 / 0').catch(() => undefined)],
  ['with an open savepoint', async (on) => (await on.beginNested(), on.execute('select 1'))],
  [
    'busy with a statement',
    (on) => (void on.execute('select pg_sleep(0.05)').catch(() => 0), Promise.resolve()),
  ],
  ['closed', (on) => on.close()],
])(
  'a connection %s is not taken again; its work is rolled back, and the pool is free',
  async (_state, leave) => {
    const { engine, connections } = later()
    await fixture.db.query('truncate songs')
    const left = connections.take()
    await leave(left)
    await connections.giveBack(left)
    expect([left.closed, engine.stats().borrowed]).toEqual([true, 0])
    const next = connections.take()
    expect(next).not.toBe(left)
    expect([next.inTransaction, await next.scalar('select count(*)::int from songs')]).toEqual([false, 0])
    await connections.giveBack(next)
    await errorOf(left.execute('select 1'))
  },
)

test('a connection keeps the options of its transactions, and no other one gets it', async () => {
  const { engine } = later()
  const transactions = new LaterTransactions(engine, HOLD)
  const readOnly = transactions.of({ readOnly: true })
  expect(transactions.of({ readOnly: true })).toBe(readOnly)
  const strict = transactions.of({ readOnly: true, isolationLevel: 'SERIALIZABLE' })
  expect(strict).not.toBe(readOnly)
  const connection = readOnly.take()
  expect(await connection.scalar('show transaction_read_only')).toBe('on')
  await connection.rollback()
  await readOnly.giveBack(connection)
  expect(strict.take()).not.toBe(connection)
  const plain = transactions.of({}).take()
  expect(await plain.scalar('show transaction_read_only')).toBe('off')
  await plain.close()
})

test('more than a hundred idle ones are not kept', async () => {
  const { connections } = later()
  const taken = Array.from({ length: 101 }, () => connections.take())
  for (const connection of taken) await connections.giveBack(connection)
  expect(taken.map(({ closed }) => closed)).toEqual([...Array.from({ length: 100 }, () => false), true])
})
