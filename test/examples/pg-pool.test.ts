import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('the example of pg.Pool runs Drizzle on an engine and in a session, and is told of a COMMIT that stored nothing', async () => {
  const db = await database()
  await using example = runExample('pg-pool.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output.trim().split('\n')).toEqual([
    'refused: 23505',
    'Help!, Tomorrow',
    "PostgreSQL answered 'commit' with ROLLBACK, nothing was stored",
    expect.stringMatching(/^[12] of 12 connections, 0 in use/),
  ])
  await db.drop()
})
