/** The table of docs/transactions.md, row by row. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngine, createSessionFactory, type Engine, type SessionFactory } from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'

const watch = guardLeaks()
const documented = readFileSync(new URL('../../docs/transactions.md', import.meta.url), 'utf8')

let db: TestDatabase
let proxy: Proxy
beforeAll(async () => {
  db = await database()
  proxy = await startProxy(db.url)
})
afterAll(async () => {
  proxy.close()
  await db.drop()
})

type WithSession = SessionFactory['withSession']

/** Round trips of a block once everything is prepared, until its value is there. */
async function roundTrips(
  block: (withSession: WithSession) => Promise<unknown>,
  prePingSkipMillis: number,
): Promise<number> {
  const engine: Engine = watch(
    createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0, prePingSkipMillis }),
  )
  try {
    const { withSession } = createSessionFactory({ bind: engine })
    // Twice: to connect, and to prepare what the second run prepares.
    await block(withSession)
    await block(withSession)
    // A read-only COMMIT may still be on its way.
    await withSession((session) => session.execute('select 1'))
    proxy.reset()
    await block(withSession)
    return proxy.roundTrips
  } finally {
    await engine.dispose()
  }
}

const one = (withSession: WithSession): Promise<unknown> =>
  withSession(async (session) => (await session.execute('select 1')).all())

const rows: [name: string, text: string, proven: number, unproven: number, block: typeof one][] = [
  ['nothing', '0', 0, 0, (withSession) => withSession(() => 1)],
  ['awaits one statement, then returns', '2', 2, 2, one],
  [
    'awaits one statement, read-only',
    '1 until its value',
    1,
    1,
    (withSession) =>
      withSession(async (session) => (await session.execute('select 1')).all(), { readOnly: true }),
  ],
  [
    'returns the promise of its only statement',
    '1; 2 on a connection that has to prove that it lives',
    1,
    2,
    (withSession) => withSession((session) => session.execute('select 1')),
  ],
  [
    'returns the promise of its only statement, read-only',
    '1',
    1,
    1,
    (withSession) => withSession((session) => session.execute('select 1'), { readOnly: true }),
  ],
  [
    'awaits three statements in one `Promise.all`',
    'as for one',
    2,
    2,
    (withSession) =>
      withSession(async (session) => {
        await Promise.all([1, 2, 3].map((number) => session.execute(`select ${number}`)))
      }),
  ],
  [
    'awaits one statement in a savepoint',
    'as for one',
    2,
    2,
    (withSession) =>
      withSession(async (session) => {
        await session.beginNested(() => session.execute('select 1'))
      }),
  ],
  [
    'isolation level, timeouts, role, settings',
    '0 more',
    2,
    2,
    (withSession) =>
      withSession(async (session) => (await session.execute('select 1')).all(), {
        isolationLevel: 'SERIALIZABLE',
        lockTimeoutMillis: 1000,
        role: 'pg_monitor',
        settings: { 'app.tenant': '7' },
      }),
  ],
  ['the proof that an idle connection lives', '0 more, because BEGIN is the proof', 2, 2, one],
  [
    'one statement in autocommit mode',
    '1, and 1 more for the proof',
    1,
    2,
    (withSession) =>
      withSession(async (session) => (await session.execute('select 1')).all(), { autocommit: true }),
  ],
]

test.each(rows)('%s: %s', async (name, text, proven, unproven, block) => {
  expect(documented).toMatch(new RegExp(`^\\| ${name} +\\| ${text} +\\|$`, 'm'))
  expect(await roundTrips(block, 60_000)).toBe(proven)
  expect(await roundTrips(block, 0)).toBe(unproven)
})

test('the table has no other row', () => {
  const table = /\| what a block does[^]*?\n\n/.exec(documented)?.[0] ?? ''
  expect(table.trim().split('\n')).toHaveLength(2 + rows.length)
})
