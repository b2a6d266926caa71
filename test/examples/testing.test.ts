import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('tests with node:test are rolled back one after the other, and end by themselves', async () => {
  const db = await database()
  await using example = runExample('testing.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output).toMatch(/pass 2\b/)
  expect(example.output).toMatch(/fail 0\b/)
  await db.drop()
})

test('the same on PGlite, without a server', async () => {
  await using example = runExample('testing-pglite.ts', { DATABASE_URL: '' })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output).toMatch(/pass 2\b/)
  expect(example.output).toMatch(/fail 0\b/)
})
