import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('a scrape returns the metrics of the engine, and stats() a window of them', async () => {
  const db = await database()
  await using example = runExample('prometheus.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output).toContain('lifeguard_pool_connections{pool="songs",state="idle"} 1')
  expect(example.output).toContain(
    'lifeguard_statement_duration_seconds_count{pool="songs",command="SELECT",error=""} 1',
  )
  expect(example.output).toMatch(/^1 acquired, p99 [\d.]+ ms in use$/m)
  await db.drop()
})
