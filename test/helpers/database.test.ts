import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, database, serverUrl } from './database.js'
import { query } from './databases.js'

let db: TestDatabase
beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

test('every call gives an empty database of its own', async () => {
  const other = await database()
  await db.query('CREATE TABLE here ()')
  await expect(other.query('SELECT * FROM here')).rejects.toMatchObject({ code: '42P01' })
  await other.drop()
  expect(await query(serverUrl(), 'SELECT 1 FROM pg_database WHERE datname = $1', [other.name])).toEqual([])
})
