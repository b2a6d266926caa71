/**
 * What Kysely 0.29 asks of a connection when a caller aborts a query: `cancelQuery` and `killSession`. The Kysely that is installed here does
 * not ask yet, so the tests do.
 */
import { CompiledQuery, type QueryResult } from 'kysely'
import { expect, test } from 'vitest'
import { kyselyDialect } from '../../src/integrations/kysely.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

/** A connection, as Kysely 0.29 sees it. */
interface Abortable {
  executeQuery(query: CompiledQuery, options?: { signal: AbortSignal }): Promise<QueryResult<unknown>>
  cancelQuery(): Promise<void>
  killSession?(): Promise<void>
}

const SLEEP = CompiledQuery.raw('select pg_sleep(60)')
const ONE = CompiledQuery.raw('select 1 as one')
const signal = new AbortController().signal

async function connectionOn(bind: Parameters<typeof kyselyDialect>[0]) {
  const driver = kyselyDialect(bind).createDriver()
  const connection = await driver.acquireConnection()
  return { driver, connection, abortable: connection as object as Abortable }
}

const sleeping =
  'from pg_stat_activity where datname = current_database() and query like $$select pg_sleep%$$'

async function sleepers(): Promise<number | undefined> {
  const [row] = await fixture.db.query<{ n: number }>(
    `select count(*)::int as n ${sleeping} and state = 'active'`,
  )
  return row?.n
}

test('`cancel query` ends the query on the server, and the connection goes on', async () => {
  const engine = fixture.engine()
  const { driver, connection, abortable } = await connectionOn(engine)
  const cancelled = errorOf(abortable.executeQuery(SLEEP, { signal }))
  await waitUntil(async () => (await sleepers()) === 1)
  await abortable.cancelQuery()
  expect(await cancelled).toMatchObject({ name: 'AbortError' })
  expect(await sleepers()).toBe(0)
  expect((await abortable.executeQuery(ONE, { signal })).rows).toEqual([{ one: 1 }])
  await driver.releaseConnection(connection)
  expect(engine.stats().borrowed).toBe(0)
})

test('`kill session` ends the query and its connection, and the engine goes on', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const { driver, connection, abortable } = await connectionOn(engine)
  await driver.beginTransaction(connection, {})
  const killed = errorOf(abortable.executeQuery(SLEEP, { signal }))
  await waitUntil(async () => (await sleepers()) === 1)
  await abortable.killSession?.()
  expect(await killed).toBeInstanceOf(Error)
  await driver.releaseConnection(connection)
  await waitUntil(async () => (await sleepers()) === 0)
  expect(await engine.begin((next) => next.scalar('select 1'))).toBe(1)
  expect(engine.stats().closed.invalidated).toBe(1)
})

test('a cancel without a query, and one that comes late, do nothing', async () => {
  const engine = fixture.engine()
  const { driver, connection, abortable } = await connectionOn(engine)
  await abortable.cancelQuery()
  await abortable.executeQuery(ONE, { signal })
  await abortable.cancelQuery()
  expect((await abortable.executeQuery(ONE, { signal })).rows).toEqual([{ one: 1 }])
  await driver.releaseConnection(connection)
})

test('in a session `cancel query` fails its transaction, and there is no session to kill', async () => {
  const { withSession } = createSessionFactory({ bind: fixture.engine() })
  await withSession(async (session) => {
    const { abortable } = await connectionOn(session)
    expect(abortable.killSession).toBeUndefined()
    await session
      .beginNested(async () => {
        const cancelled = errorOf(abortable.executeQuery(SLEEP, { signal }))
        await waitUntil(async () => (await sleepers()) === 1)
        await abortable.cancelQuery()
        throw await cancelled
      })
      .catch((error: unknown) => expect(error).toMatchObject({ name: 'AbortError' }))
    expect(await session.scalar('select 1')).toBe(1)
  })
})
