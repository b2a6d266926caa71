import pg from 'pg'
import { expect, test } from 'vitest'
import { startFakeServer } from './fake-server.js'
import { waitUntil } from './wait-until.js'

test('a fake server answers both protocols as scripted and counts its sockets', async () => {
  using server = await startFakeServer({
    onStatement: (sql) =>
      sql.includes('name') ? { tag: 'SELECT 2', columns: ['name'], rows: [['Ann'], [null]] } : undefined,
  })
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  for (const values of [[], [1]]) {
    const { rows, command, rowCount } = await client.query('SELECT name', values)
    expect({ rows, command, rowCount }).toEqual({
      rows: [{ name: 'Ann' }, { name: null }],
      command: 'SELECT',
      rowCount: 2,
    })
  }
  await client.query('BEGIN')
  expect(server.openSockets).toBe(1)
  await client.end()
  await waitUntil(() => server.openSockets === 0)
  expect(server.executed).toEqual(['SELECT name', 'SELECT name', 'BEGIN'])
  expect(server).toMatchObject({ acceptedSockets: 1, mostSockets: 1 })
})

test('a refused statement is an error and is not executed', async () => {
  using server = await startFakeServer({
    onStatement: (sql) => (sql === 'BEGIN' ? { code: '25P02', message: 'not today' } : undefined),
  })
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await expect(client.query('BEGIN')).rejects.toMatchObject({ code: '25P02', message: 'not today' })
  await client.query('SELECT $1', [1])
  expect(server.executed).toEqual(['SELECT $1'])
  await client.end()
})

test('clients can be refused, ignored and dropped', async () => {
  using refusing = await startFakeServer({ onStartup: () => ({ code: '53300', message: 'too many' }) })
  await expect(new pg.Client({ connectionString: refusing.url }).connect()).rejects.toMatchObject({
    code: '53300',
  })

  using silent = await startFakeServer({ onStartup: ({ user }) => (user === 'fake' ? 'silence' : 'welcome') })
  const waiting = new pg.Client({ connectionString: silent.url }).connect()
  await waitUntil(() => silent.openSockets === 1)
  silent.dropAll()
  await expect(waiting).rejects.toThrow()
})
