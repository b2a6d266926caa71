/** A transaction of `connection.begin()` that has ended: `commit()` says how, `rollback()` has nothing to do. */
import { expect, test } from 'vitest'
import { IllegalStateError } from '../../src/errors.js'
import type { Connection, Transaction } from '../../src/engine/connection.js'
import { errorOf, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase()

test.each<
  [what: string, end: (transaction: Transaction, connection: Connection) => PromiseLike<unknown>, why: string]
>([
  ['committed', (transaction) => transaction.commit(), 'it was committed already'],
  ['committed on the connection', (_, connection) => connection.commit(), 'it was committed already'],
  ['rolled back', (transaction) => transaction.rollback(), 'it was rolled back already'],
  ['rolled back on the connection', (_, connection) => connection.rollback(), 'it was rolled back already'],
  ['disposed of', (transaction) => transaction[Symbol.asyncDispose](), 'it was rolled back already'],
  [
    'lost, and rolled back',
    async (transaction, connection) => {
      await terminate(fixture.db, connection.processId)
      await errorOf(connection.execute('select 1'))
      await transaction.rollback()
    },
    'it was rolled back already',
  ],
  ['ended by close()', (_, connection) => connection.close(), 'it was rolled back already'],
])('a transaction that was %s', async (_what, end, why) => {
  await using connection = await fixture.engine().connect()
  const transaction = await connection.begin()
  await connection.execute('select 1')
  await end(transaction, connection)
  const error = await errorOf(transaction.commit())
  expect(error).toBeInstanceOf(IllegalStateError)
  expect(error.message).toBe(`Cannot commit the transaction: ${why}`)
  await transaction.rollback()
})
