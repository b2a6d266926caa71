/** What an engine echoes of its pg.Pool: each statement once, however it was sent. */
import pg from 'pg'
import Cursor from 'pg-cursor'
import { expect, test } from 'vitest'
import type { PoolClient } from '../../src/integrations/pg-pool.js'
import { faced } from './pg-pool-support.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase()

interface Line {
  readonly text: string
  readonly isFailed: boolean
  readonly millis: number
}

/** What is echoed of `work`, on one client. */
async function echoOf(work: (client: PoolClient) => Promise<unknown>): Promise<Line[]> {
  const lines: Line[] = []
  const note =
    (isFailed: boolean) =>
    (fields: object, text: string): void => {
      lines.push({ text, isFailed, millis: (fields as { durationMillis: number }).durationMillis })
    }
  const echo = { info: note(false), debug: () => undefined, error: note(true) }
  const client = await faced(fixture, { echo }).pool.connect()
  const startedAt = performance.now()
  await work(client)
  client.release()
  for (const { millis } of lines) expect(millis).toBeLessThanOrEqual(performance.now() - startedAt)
  return lines
}

async function readAll(client: PoolClient, text: string): Promise<void> {
  const cursor = client.query(new Cursor(text))
  await cursor.read(10)
  await cursor.close()
}

test.each<[string, (client: PoolClient) => Promise<unknown>, string[]]>([
  ['a query', (client) => client.query('select $1::int as x', [1]), ['select $1::int as x -- ["1"]']],
  ['several statements', (client) => client.query('select 1; select 2'), ['select 1; select 2']],
  ['a query in binary', (client) => client.query({ text: 'select 3', binary: true } as never), ['select 3']],
  ['a cursor', (client) => readAll(client, 'select 4'), ['select 4']],
  [
    'a query of pg itself',
    (client) =>
      new Promise((resolve) => void client.query(new pg.Query('select 5', resolve as never) as never)),
    ['select 5'],
  ],
  [
    'a transaction',
    async (client) => {
      for (const text of ['begin', 'savepoint a', 'select 6', 'commit']) await client.query(text)
    },
    ['begin', 'savepoint a', 'select 6', 'commit'],
  ],
  [
    'a cursor in a transaction',
    async (client) => {
      await client.query('begin')
      await readAll(client, 'select 7')
      await client.query('commit')
    },
    ['begin', 'select 7', 'commit'],
  ],
  [
    'a transaction that never reaches the server',
    async (client) => {
      await client.query('begin')
      await client.query('commit')
    },
    [],
  ],
])('%s is echoed once', async (_what, work, texts) => {
  const lines = await echoOf(work)
  expect(lines.map(({ text }) => text)).toEqual(texts)
  expect(lines.some(({ isFailed }) => isFailed)).toBe(false)
})

test('failures are echoed once, and the statements before and after them', async () => {
  const lines = await echoOf(async (client) => {
    await client.query('select 1 / 0').catch(() => undefined)
    await client.query('select 1; select 1 / 0; select 2').catch(() => undefined)
    await readAll(client, 'select 1 / 0').catch(() => undefined)
    await client.query('select 8')
  })
  expect(lines.map(({ text, isFailed }) => [text.slice(0, 12), isFailed])).toEqual([
    ['select 1 / 0', true],
    ['select 1; se', true],
    ['select 1 / 0', true],
    ['select 8', false],
  ])
})
