import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('the tour of entities stores, changes, finds and deletes, and ends by itself', async () => {
  const db = await database()
  await using example = runExample('entities.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output.trim().split('\n')).toEqual(['Eleanor Rigby (Revolver): true', 'songs left: 0'])
  expect(await db.query('select from albums')).toEqual([])
  await db.drop()
})
