/** What becomes of a connection that comes back, as a table: its state x the options. */
import { describe, expect, test } from 'vitest'
import type { PoolOptions } from '../../../src/pool/options.js'
import { disconnect, type FakeConnection } from './fake-driver.js'
import { connectionOf, makePool } from './make-pool.js'
import { settle } from './manual-clock.js'

type Fate = 'idle' | 'closed'

interface Row {
  readonly what: string
  readonly connection?: (connection: FakeConnection) => void
  readonly options?: PoolOptions
  readonly fate: Fate
  readonly resets?: readonly string[]
  readonly reason?: string
}

const inTransaction = (connection: FakeConnection): void =>
  void (connection.transactionStatus = 'transaction')

const TABLE: readonly Row[] = [
  { what: 'clean', fate: 'idle' },
  { what: 'in a transaction', connection: inTransaction, fate: 'idle', resets: ['rollback'] },
  {
    what: 'in a transaction, and nothing is reset',
    connection: inTransaction,
    options: { poolResetOnReturn: false },
    fate: 'idle',
  },
  {
    what: 'clean, and everything is reset',
    options: { poolResetOnReturn: 'session' },
    fate: 'idle',
    resets: ['session'],
  },
  {
    what: 'in a failed transaction',
    connection: (connection) => (connection.transactionStatus = 'failed'),
    fate: 'idle',
    resets: ['rollback'],
  },
  {
    what: 'while a statement is running',
    connection: (connection) => (connection.busy = true),
    fate: 'closed',
    reason: 'busy',
  },
  {
    what: 'in a transaction, and the reset fails',
    connection: (connection) => {
      inTransaction(connection)
      connection.onReset = () => disconnect()
    },
    fate: 'closed',
    resets: ['rollback'],
    reason: 'reset',
  },
]

test.each(TABLE)('$what: $fate', async ({ connection: prepare, options, fate, resets = [], reason }) => {
  const { pool } = makePool({ poolSize: 1, maxOverflow: 0, ...options })
  const lease = await pool.acquire()
  const connection = connectionOf(lease)
  prepare?.(connection)
  lease.release()
  // The second release has no effect on the next holder.
  lease.release()
  await settle()
  const { idle, closed, counters } = pool.stats()
  expect(connection.resets).toEqual(resets)
  expect([idle, connection.open]).toEqual(fate === 'idle' ? [1, true] : [0, false])
  expect(counters).toMatchObject({ released: 1, reset: resets.length })
  const reasons = Object.entries(closed).filter(([, count]) => count > 0)
  expect(reasons).toEqual(reason === undefined ? [] : [[reason, 1]])
})

describe('a connection that is closed anyway', () => {
  test('is not reset first, if it was invalidated softly', async () => {
    const { pool } = makePool({ poolSize: 1 })
    const lease = await pool.acquire()
    lease.softInvalidate(new Error('old'))
    const connection = connectionOf(lease)
    connection.transactionStatus = 'transaction'
    expect(connection.open).toBe(true)
    lease.release()
    await settle()
    expect([connection.open, connection.resets, pool.stats().closed.invalidated]).toEqual([false, [], 1])
  })

  test('is closed after its reset if it is excess by then', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 1 })
    const [kept, extra] = await Promise.all([pool.acquire(), pool.acquire()])
    kept.release()
    const connection = connectionOf(extra)
    connection.transactionStatus = 'transaction'
    extra.release()
    await settle()
    expect([connection.resets, connection.open, pool.stats().closed.overflow]).toEqual([
      ['rollback'],
      false,
      1,
    ])
  })
})

describe('the other ends of a loan', () => {
  test.each<[reason: unknown, others: 'idle' | 'closed']>([
    [new Error('a mistake'), 'idle'],
    // The server has gone: whatever is as old goes with it.
    [disconnect(), 'closed'],
  ])('invalidated for %s: the other connections are %s', async (reason, others) => {
    const { pool, clock } = makePool({ poolSize: 2, maxOverflow: 0 })
    const [one, other] = await Promise.all([pool.acquire(), pool.acquire()])
    other.release()
    await clock.advance(1)
    one.invalidate(reason)
    await settle()
    expect(connectionOf(one).open).toBe(false)
    const next = await pool.acquire()
    expect(next.connection === other.connection).toBe(others === 'idle')
    next.release()
  })

  test('detached: it is the caller’s, and its slot is free', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
    const lease = await pool.acquire()
    const waiting = pool.acquire()
    lease.detach()
    const next = await waiting
    const connection = connectionOf(lease)
    expect([connection.open, lease.active, next.connection === lease.connection]).toEqual([
      true,
      false,
      false,
    ])
    next.release()
    connection.destroy()
  })
})
