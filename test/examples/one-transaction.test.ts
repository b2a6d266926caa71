import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('one transaction over entities, Kysely, Drizzle and SQL is stored as a whole, or not at all', async () => {
  const db = await database()
  await using example = runExample('one-transaction.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output.trim().split('\n')).toEqual([
    '4 songs in the transaction',
    'Rolled back (changed my mind): 0 songs',
    'Committed: by an entity, by Kysely, by Drizzle, by SQL',
  ])
  await db.drop()
})
