/** A driver whose connections have what every driver must have, and neither the hand-off of COMMIT nor COPY. */
import { expect, test } from 'vitest'
import type { Driver, DriverConnection } from '../../src/driver/driver.js'
import { createPgDriver } from '../../src/driver/pg-driver.js'
import { Engine } from '../../src/engine/engine.js'
import { resolveEngineOptions, type EngineOptions } from '../../src/engine/options.js'
import { InvalidStatementError } from '../../src/errors.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table rows (id int)')

const ONE = { poolSize: 1, maxOverflow: 0 }

function createPlainEngine(options: EngineOptions): Engine {
  const resolved = resolveEngineOptions(options)
  const pg = createPgDriver({ ...resolved.connect, statementCacheSize: 0 })
  const driver: Driver = {
    target: pg.target,
    connect: async (how) => without(await pg.connect(how)),
  }
  return new Engine({ options: resolved, driver })
}

function without(connection: DriverConnection): DriverConnection {
  return Object.assign(connection, { commitHandoff: undefined, copy: undefined })
}

/** Commits that are a message of their own were sent without waiting for the answer. */
const handOffs = (proxy: Awaited<ReturnType<typeof startProxy>>) =>
  proxy.connections.flatMap(({ messages }) =>
    messages.filter(({ name, text }) => name === 'Query' && text === 'COMMIT'),
  )

test.each([true, false])(
  'every COMMIT is answered before its block ends (read-only: %s)',
  async (readOnly) => {
    using proxy = await startProxy(fixture.db.url)
    const { withSession } = fixture.factory({ ...ONE, url: proxy.url }, { readOnly }, createPlainEngine)
    const read = () =>
      withSession(async (session) => {
        await session.execute('select 1')
      })
    await Promise.all([read(), read(), read()])
    expect(handOffs(proxy)).toEqual([])
  },
)

test('an abort still cancels the statement', async () => {
  const { withSession } = fixture.factory(ONE, {}, createPlainEngine)
  const error = await errorOf(
    withSession((session) => session.execute('select pg_sleep(60)', { timeoutMillis: 100 })),
  )
  expect(error).toMatchObject({ name: 'StatementTimeoutError' })
  expect(await withSession((session) => session.scalar('select 1'))).toBe(1)
})

test('COPY is refused with an error that names it, and the transaction is rolled back', async () => {
  const { withSession } = fixture.factory(ONE, {}, createPlainEngine)
  const error = await errorOf(
    withSession(async (session) => {
      await session.execute('insert into rows values (1)')
      await session.copyTo('copy rows to stdout')
    }),
  )
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(error.message).toContain('COPY')
  expect(await withSession((session) => session.scalar('select count(*)::int from rows'))).toBe(0)
})
