import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('the quick start stores a song, reads it and ends by itself', async () => {
  const db = await database()
  await using example = runExample('quickstart.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output.trim()).toBe('Buy strings')
  expect(await db.query('select body from notes')).toEqual([{ body: 'Buy strings' }])
  await db.drop()
})
