/** Autocommit mode: nothing that only a transaction can keep is dropped there in silence. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { TransactionOptions } from '../../src/pipeline/transaction-options.js'
import { ConnectionClosedError, InvalidOptionError, SessionClosedError } from '../../src/errors.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table marks (mark text)')
const ADD = 'insert into marks values ($1)'

beforeEach(async () => {
  await fixture.db.query('truncate marks')
})

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks order by mark')
  return rows.map(({ mark }) => mark)
}

const REFUSED: readonly (readonly [keyof TransactionOptions, TransactionOptions])[] = [
  ['role', { role: 'reader' }],
  ['settings', { settings: { 'app.tenant': '1' } }],
  ['readOnly', { readOnly: true }],
  ['isolationLevel', { isolationLevel: 'SERIALIZABLE' }],
  ['deferrable', { deferrable: true }],
  ['statementTimeoutMillis', { statementTimeoutMillis: 200 }],
  ['lockTimeoutMillis', { lockTimeoutMillis: 0 }],
]

describe.each(REFUSED)('%s with autocommit is refused', (name, options) => {
  /** Every place that takes the two, alone or one from a wider place. */
  const places: Record<string, () => unknown> = {
    'of a factory': () => fixture.factory({}, { ...options, autocommit: true }),
    'of the engine, autocommit of a factory': () => fixture.factory(options, { autocommit: true }),
    'of a session, autocommit of the factory': () => fixture.factory({}, { autocommit: true })(options),
    'of a factory, autocommit of a session': () => fixture.factory({}, options)({ autocommit: true }),
    'of a block': () => fixture.factory().withSession(() => undefined, { ...options, autocommit: true }),
    'of a block, autocommit of the factory': () =>
      fixture.factory({}, { autocommit: true }).withSession(() => undefined, options),
    'of the engine, autocommit of a block': () =>
      fixture.factory(options).withSession(() => undefined, { autocommit: true }),
    'of a connection': () => fixture.engine().connect({ ...options, autocommit: true }),
    'of the engine, autocommit of a connection': () => fixture.engine(options).connect({ autocommit: true }),
  }

  test.each(Object.entries(places))('%s', async (place, use) => {
    const error = await errorOf(Promise.resolve().then(use))
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error).toMatchObject({ option: name })
    expect(error.message).toContain('Leave autocommit out')
    expect(error.message.includes('an option of the engine')).toBe(place.startsWith('of the engine'))
  })
})

test('a time limit names the setting of the server that holds for every statement', async () => {
  const error = await errorOf(fixture.engine({ lockTimeoutMillis: 5 }).connect({ autocommit: true }))
  expect(error.message).toContain("serverSettings: { lock_timeout: '...' }")
  const engine = fixture.engine({ connectArgs: { serverSettings: { statement_timeout: '20' } } })
  await using connection = await engine.connect({ autocommit: true })
  expect(await errorOf(connection.execute('select pg_sleep(10)'))).toMatchObject({ sqlState: '57014' })
})

test('options that ask for nothing, or count between statements only, go with autocommit', async () => {
  const options = { readOnly: false, deferrable: false, settings: {}, idleInTransactionTimeoutMillis: 4321 }
  await using session = fixture.factory(options, { autocommit: true })()
  await session.execute(ADD, ['alone'])
  const limit = await session.begin(() => session.scalar('show idle_in_transaction_session_timeout'))
  expect(limit).toBe('4321ms')
  expect(await marks()).toEqual(['alone'])
})

test('a narrower autocommit: false takes the options', async () => {
  const { withSession } = fixture.factory({}, { autocommit: true })
  const level = await withSession((session) => session.scalar('show transaction_isolation'), {
    autocommit: false,
    isolationLevel: 'REPEATABLE READ',
  })
  expect(level).toBe('repeatable read')
})

test('commit: false is refused: the statements would be stored', async () => {
  const add = (session: { execute(text: string, values: string[]): Promise<unknown> }) =>
    session.execute(ADD, ['dry run'])
  for (const [defaults, options] of [
    [{ autocommit: true }, { commit: false }],
    [{}, { commit: false, autocommit: true }],
  ] as const) {
    const error = await errorOf(fixture.factory({}, defaults).withSession(add, options))
    expect(error).toMatchObject({ code: 'INVALID_OPTION', option: 'commit' })
  }
  expect(await marks()).toEqual([])
  const { withSession } = fixture.factory({}, { autocommit: true })
  await withSession(add, { commit: false, autocommit: false })
  expect(await marks()).toEqual([])
})

describe('beginNested outside of begin()', () => {
  test('is refused before it has run anything, on a session and on a connection', async () => {
    const engine = fixture.engine()
    await using session = createSessionFactory({ bind: engine, autocommit: true })()
    await using connection = await engine.connect({ autocommit: true })
    for (const executor of [session, connection]) {
      const work = async () => {
        await executor.execute(ADD, ['nested'])
        throw new Error('undo')
      }
      for (const nested of [executor.beginNested(work), executor.beginNested()]) {
        const error = await errorOf(nested)
        expect(error).toMatchObject({ code: 'INVALID_OPTION', option: 'autocommit' })
        expect(error.message).toContain('begin(fn)')
      }
      await executor.begin(async () => {
        await errorOf(executor.beginNested(work))
        await executor.execute(ADD, ['around'])
      })
    }
    expect(await marks()).toEqual(['around', 'around'])
  })

  test('is refused when the session or the connection is closed, in any mode', async () => {
    for (const autocommit of [false, true]) {
      const engine = fixture.engine()
      const session = createSessionFactory({ bind: engine, autocommit })()
      await session.close()
      const connection = await engine.connect({ autocommit })
      await connection.close()
      for (const nested of [() => session.beginNested(), () => session.beginNested(() => 'empty')]) {
        expect(await errorOf(nested())).toBeInstanceOf(SessionClosedError)
      }
      for (const nested of [() => connection.beginNested(), () => connection.beginNested(() => 'empty')]) {
        expect(await errorOf(nested())).toBeInstanceOf(ConnectionClosedError)
      }
    }
  })
})

describe('propagation', () => {
  test.each(['required', 'nested', 'mandatory'] as const)(
    '%s is refused where there is no transaction to join',
    async (propagation) => {
      const { withSession } = fixture.factory({}, { autocommit: true })
      const inner = () => withSession((session) => session.execute(ADD, ['inner']), { propagation })
      const error = await errorOf(withSession(inner))
      expect(error).toMatchObject({ code: 'INVALID_OPTION', option: 'propagation' })
      expect(error.message).toContain("'requiresNew'")
      // begin() is one.
      await withSession((session) =>
        session.begin(async () => {
          await inner()
          throw new Error('undo')
        }),
      ).catch(() => undefined)
      expect(await marks()).toEqual([])
    },
  )

  test('autocommit is refused for a block that joins a transaction', async () => {
    const { withSession } = fixture.factory()
    const options = { propagation: 'required', autocommit: true } as const
    const error = await errorOf(withSession(() => withSession(() => undefined, options)))
    expect(error).toMatchObject({ code: 'INVALID_OPTION', option: 'autocommit' })
    const alone = (mark: string) => withSession((session) => session.execute(ADD, [mark]), options)
    await alone('outside it opens a session')
    expect(await marks()).toEqual(['outside it opens a session'])
  })
})

test('a prepared transaction is committed or rolled back there, and refused in a transaction by PostgreSQL', async () => {
  const { withSession } = fixture.factory({}, { autocommit: true })
  const text = (end: string) => `${end} prepared 'nobody prepared this'`
  for (const end of ['commit', 'rollback', 'COMMIT', 'Rollback', 'commit /* it */', 'rollback -- it\n']) {
    const error = await errorOf(withSession((session) => session.execute(text(end))))
    // 42704: there is no such one. The servers of the tests allow none to be prepared.
    expect(error).toMatchObject({ code: 'DATABASE_ERROR', sqlState: '42704' })
    const inside = errorOf(withSession((session) => session.execute(text(end)), { autocommit: false }))
    expect(await inside).toMatchObject({ code: 'DATABASE_ERROR', sqlState: '25001' })
    const control = await errorOf(withSession((session) => session.execute(`${end} work`)))
    expect(control).toMatchObject({ code: 'INVALID_STATEMENT' })
  }
})
