/** BEGIN and its settings share one Sync with the statements behind them: if the server refuses it, none of those runs. */
import { describe, expect, test } from 'vitest'
import { DatabaseError } from '../../src/database-errors.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { TransactionAbortedError } from '../../src/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import type { SessionOptions } from '../../src/session/session-options.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, useDatabase } from '../integration/session-support.js'

const fixture = useDatabase(
  'create table marks (mark text)',
  // Behind the driver's back: it still takes its statements for prepared.
  'create function forget() returns void language plpgsql as $$ begin deallocate all; end $$',
)

const MARK = 'insert into marks values ($1)'

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks')
  return rows.map(({ mark }) => mark)
}

/** What is asked of a session in the packet that begins its transaction. */
const WORK: readonly (readonly [
  string,
  (sessions: SessionFactory, options?: SessionOptions) => Promise<unknown>,
])[] = [
  [
    'a statement that COMMIT rides with',
    (sessions, options) => sessions.withSession((session) => session.execute(MARK, ['a']), options),
  ],
  [
    'three statements at once',
    (sessions, options) =>
      sessions.withSession(
        (session) => Promise.all(['a', 'b', 'c'].map((mark) => session.execute(MARK, [mark]))),
        options,
      ),
  ],
  [
    'a statement and commit() in one tick',
    async (sessions, options) => {
      await using session = sessions(options)
      await Promise.all([session.execute(MARK, ['a']), session.commit()])
    },
  ],
  [
    'a savepoint block',
    (sessions, options) =>
      sessions.withSession((session) => session.beginNested(() => session.execute(MARK, ['a'])), options),
  ],
]

const IDLE: EngineOptions = { prePingSkipMillis: 0, keepAliveMillis: -1 }

describe.each([
  ['on a connection in use', {}],
  ['on an idle connection, where it is the pre-ping', IDLE],
] as const)('%s', (_name, options: EngineOptions) => {
  describe.each(WORK)('%s', (_work, work) => {
    test('is not run by a server that refuses BEGIN', async () => {
      let refuse = false
      using server = await startFakeServer({
        onStatement: (sql) =>
          refuse && sql === 'BEGIN' ? { code: '25001', message: 'not today' } : undefined,
      })
      const sessions = fixture.factory({ url: server.url, poolSize: 1, maxOverflow: 0, ...options })
      await sessions.withSession((session) => session.execute('select'))
      server.executed.length = 0
      refuse = true

      const error = await errorOf(work(sessions))
      expect(error).toBeInstanceOf(DatabaseError)
      expect(error).toMatchObject({ sqlState: '25001', message: 'not today', statement: 'BEGIN' })
      expect(server.executed).toEqual([])

      refuse = false
      await work(sessions)
      expect(server.executed).toContain(MARK)
      expect(server.acceptedSockets).toBe(1)
      expect(sessions.bind.stats().borrowed).toBe(0)
    })

    test('is run once more by PostgreSQL when it has forgotten BEGIN', async () => {
      await fixture.db.query('truncate marks')
      using proxy = await startProxy(fixture.db.url)
      const sessions = fixture.factory({ url: proxy.url, poolSize: 1, maxOverflow: 0, ...options })
      // BEGIN is prepared on the connection, and then it no longer is.
      await sessions.withSession((session) => session.execute('select'))
      await sessions.withSession((session) => session.execute('select forget()'), { autocommit: true })
      proxy.reset()

      await work(sessions)
      expect(proxy.connections[0]?.messages.some(({ text }) => text === MARK)).toBe(true)
      expect(await marks()).toContain('a')
    })

    test.each([
      ['a role that does not exist', { role: 'nobody_has_this_role' }, '22023'],
      ['a setting that does not exist', { settings: { no_such_setting: '1' } }, '42704'],
      ['a setting with a value that is none', { settings: { work_mem: 'plenty' } }, '22023'],
      ['a setting that cannot be changed', { settings: { max_connections: '7' } }, '55P02'],
    ])('is not run by PostgreSQL when it refuses what the transaction begins with: %s', async (...args) => {
      const [, refused, sqlState] = args
      await fixture.db.query('truncate marks')
      const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0, ...options })
      await sessions.withSession((session) => session.execute('select'))

      const error = await errorOf(work(sessions, refused))
      expect(error).toBeInstanceOf(DatabaseError)
      expect(error).toMatchObject({ sqlState, statement: expect.stringContaining('set_config') })
      expect(await marks()).toEqual([])

      await work(sessions)
      expect(await marks()).toContain('a')
      expect(sessions.bind.stats()).toMatchObject({ size: 1, borrowed: 0 })
    })
  })
})

test('nothing of a refused batch runs later: the next transaction starts empty', async () => {
  await fixture.db.query('truncate marks')
  const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
  await using session = sessions({ role: 'nobody_has_this_role' })
  const outcomes = await Promise.allSettled([session.execute(MARK, ['a']), session.execute(MARK, ['b'])])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(session.inTransaction).toBe(true)
  expect(await errorOf(session.commit())).toBeInstanceOf(TransactionAbortedError)
  await session.rollback()
  expect(session.inTransaction).toBe(false)
  await sessions.withSession((other) => other.execute(MARK, ['c']))
  expect(await marks()).toEqual(['c'])
})
