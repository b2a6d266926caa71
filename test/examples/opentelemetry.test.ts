import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { runExample } from './processes.js'

test('spans and metrics of an engine are told to OpenTelemetry, without values', async () => {
  const db = await database()
  await using example = runExample('opentelemetry.ts', { DATABASE_URL: db.url })
  expect(await example.exitCode(), example.output).toBe(0)
  expect(example.output).toContain(`SELECT ${db.name}: select $1::text as title`)
  expect(example.output).toContain(`SELECT ${db.name}: select ? as title`)
  expect(example.output).toContain('lifeguard.transaction: ')
  expect(example.output).toContain('db.client.operation.duration')
  expect(example.output).toContain('db.client.connection.count')
  expect(example.output).not.toContain('secret')
  await db.drop()
})
