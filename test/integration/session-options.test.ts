import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { Session } from '../../src/session/session.js'
import { LockTimeoutError, ReadOnlyError, StatementTimeoutError } from '../../src/database-errors.js'
import { InvalidOptionError } from '../../src/errors.js'
import { isTimeout } from '../../src/database-errors.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table notes (id int primary key, tenant text)',
  'alter table notes enable row level security',
  "create policy tenants on notes using (tenant = current_setting('app.tenant'))",
  "insert into notes values (1, 'a'), (2, 'a'), (3, 'b')",
)

/** A role belongs to the whole server, so its name must be this run's own. */
let role: string
beforeAll(async () => {
  role = `${fixture.db.name}_reader`
  await fixture.db.query(`create role ${role}`)
  await fixture.db.query(`grant select on notes to ${role}`)
})
afterAll(async () => {
  await fixture.db.query(`drop owned by ${role}`)
  await fixture.db.query(`drop role ${role}`)
})

const setting = (session: Session, name: string) =>
  session.scalar<string>('select current_setting($1)', [name])

describe('each option holds for the transaction, and only for it', () => {
  const cases = [
    ['isolationLevel', { isolationLevel: 'SERIALIZABLE' }, 'transaction_isolation', 'serializable'],
    ['isolationLevel', { isolationLevel: 'REPEATABLE READ' }, 'transaction_isolation', 'repeatable read'],
    ['readOnly', { readOnly: true }, 'transaction_read_only', 'on'],
    ['deferrable', { deferrable: true, readOnly: true }, 'transaction_deferrable', 'on'],
    ['statementTimeoutMillis', { statementTimeoutMillis: 1234 }, 'statement_timeout', '1234ms'],
    ['lockTimeoutMillis', { lockTimeoutMillis: 2000 }, 'lock_timeout', '2s'],
    [
      'idleInTransactionTimeoutMillis',
      { idleInTransactionTimeoutMillis: 60_000 },
      'idle_in_transaction_session_timeout',
      '1min',
    ],
    ['settings', { settings: { 'app.tenant': "it's; drop" } }, 'app.tenant', "it's; drop"],
    ['settings', { settings: { work_mem: '8MB' } }, 'work_mem', '8MB'],
  ] as const

  test.each(cases)('%s of a session', async (_option, options, name, value) => {
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    await using session = sessions(options)
    expect(await setting(session, name)).toBe(value)
    // The next transaction of the session begins in the same way.
    await session.commit()
    expect(await setting(session, name)).toBe(value)
    await session.commit()
    // The same connection, and another session: nothing is left.
    const left = await sessions.withSession((other) =>
      other.scalar<string | null>('select current_setting($1, true)', [name]),
    )
    expect(left).not.toBe(value)
  })

  test.each(cases)(
    '%s of the engine, of the factory, and of a block',
    async (_option, options, name, value) => {
      for (const sessions of [fixture.factory(options), fixture.factory({}, options)]) {
        expect(await sessions.withSession((session) => setting(session, name))).toBe(value)
      }
      const { withSession } = fixture.factory()
      expect(await withSession((session) => setting(session, name), options)).toBe(value)
    },
  )

  test('role', async () => {
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    const user = (session: Session) => session.scalar<string>('select current_user')
    expect(await withSession(user, { role })).toBe(role)
    expect(await withSession(user)).not.toBe(role)
  })
})

test('a narrower option wins, one by one', async () => {
  const sessions = fixture.factory(
    { isolationLevel: 'SERIALIZABLE', statementTimeoutMillis: 1000, lockTimeoutMillis: 1000 },
    { statementTimeoutMillis: 2000, lockTimeoutMillis: 2000 },
  )
  await using session = sessions({ lockTimeoutMillis: 3000 })
  expect(await setting(session, 'transaction_isolation')).toBe('serializable')
  expect(await setting(session, 'statement_timeout')).toBe('2s')
  expect(await setting(session, 'lock_timeout')).toBe('3s')
})

test('a narrower option takes back a wider one', async () => {
  const { withSession } = fixture.factory({ readOnly: true, statementTimeoutMillis: 1000 })
  await withSession(
    async (session) => {
      expect(await setting(session, 'transaction_read_only')).toBe('off')
      expect(await setting(session, 'statement_timeout')).toBe('0')
    },
    { readOnly: false, statementTimeoutMillis: 0 },
  )
})

test('undefined takes nothing back', async () => {
  const { withSession } = fixture.factory({}, { isolationLevel: 'SERIALIZABLE' })
  const level = await withSession((session) => setting(session, 'transaction_isolation'), {
    isolationLevel: undefined,
  })
  expect(level).toBe('serializable')
})

test('settings of engine, factory and session are merged by name', async () => {
  const sessions = fixture.factory(
    { settings: { 'app.a': 'engine', 'app.b': 'engine', 'app.c': 'engine' } },
    { settings: { 'app.b': 'factory', 'app.c': 'factory' } },
  )
  await using session = sessions({ settings: { 'app.c': 'session' } })
  const values = await session.execute<Record<string, string>>(
    "select current_setting('app.a') a, current_setting('app.b') b, current_setting('app.c') c",
  )
  expect(values.one()).toEqual({ a: 'engine', b: 'factory', c: 'session' })
})

test('role and settings make row-level security work', async () => {
  const { withSession } = fixture.factory()
  const count = (tenant: string) =>
    withSession((session) => session.scalar<string>('select count(*) from notes'), {
      role,
      settings: { 'app.tenant': tenant },
    })
  expect(await Promise.all([count('a'), count('b'), count('c')])).toEqual(['2', '1', '0'])
})

test('a read-only session refuses writes, and the connection is used again', async () => {
  const { withSession, bind } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
  const failure = await errorOf(
    withSession((session) => session.execute("insert into notes values (9, 'x')"), { readOnly: true }),
  )
  expect(failure).toBeInstanceOf(ReadOnlyError)
  await withSession((session) => session.execute('select 1'))
  expect(bind.stats().counters.connected).toBe(1)
})

test('statementTimeoutMillis ends a statement, lockTimeoutMillis the wait for a lock', async () => {
  const { withSession } = fixture.factory()
  const slow = await errorOf(
    withSession((session) => session.execute('select pg_sleep(10)'), { statementTimeoutMillis: 20 }),
  )
  expect(slow).toBeInstanceOf(StatementTimeoutError)
  expect(isTimeout(slow)).toBe(true)

  const [locked, done] = [gate(), gate()]
  const holder = withSession(async (session) => {
    await session.execute('select * from notes where id = 1 for update')
    locked.open()
    await done.opened
  })
  await locked.opened
  const waiting = await errorOf(
    withSession((session) => session.execute('select * from notes where id = 1 for update'), {
      lockTimeoutMillis: 20,
    }),
  )
  expect(waiting).toBeInstanceOf(LockTimeoutError)
  expect(isTimeout(waiting)).toBe(true)
  done.open()
  await holder
})

test('a setting that PostgreSQL refuses fails the first statement, which is not run', async () => {
  const { withSession } = fixture.factory()
  const failure = await errorOf(
    withSession((session) => session.execute("insert into notes values (9, 'x')"), {
      settings: { work_mem: 'a lot' },
    }),
  )
  expect(failure.message + String(failure.cause)).toContain('work_mem')
  expect(await fixture.db.query('select * from notes where id = 9')).toEqual([])
})

describe('what a session is told about entities is kept', () => {
  test('with the defaults of the design', () => {
    const session = fixture.factory()()
    expect([session.expireOnCommit, session.autoflush, session.autocommit]).toEqual([false, true, false])
  })

  test('and as the factory or the session says', () => {
    const sessions = fixture.factory({}, { expireOnCommit: true, autoflush: false, autocommit: true })
    expect([sessions().expireOnCommit, sessions().autoflush, sessions().autocommit]).toEqual([
      true,
      false,
      true,
    ])
    const other = sessions({ expireOnCommit: false, autoflush: true, autocommit: false })
    expect([other.expireOnCommit, other.autoflush, other.autocommit]).toEqual([false, true, false])
  })
})

describe('wrong options are refused by their name', () => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ isolationLevel: 'serializable' }, 'isolationLevel must be one of'],
    [{ isolationLevl: 'SERIALIZABLE' }, "did you mean 'isolationLevel'?"],
    [{ readonly: true }, "did you mean 'readOnly'?"],
    [{ readOnly: 'yes' }, 'readOnly must be true or false'],
    [{ deferrable: 1 }, 'deferrable must be true or false'],
    [{ statementTimeoutMillis: -1 }, 'statementTimeoutMillis must be a whole number'],
    [{ lockTimeoutMillis: '1s' }, 'lockTimeoutMillis must be a whole number'],
    [{ idleInTransactionTimeoutMillis: 2 ** 31 }, 'idleInTransactionTimeoutMillis must be a whole number'],
    [{ role: '' }, 'role must be a string'],
    [{ settings: 'x' }, 'settings must be an object'],
    [{ settings: { 'app.tenant': 7 } }, 'settings.app.tenant must be a string'],
    [{ expireOnCommit: 'no' }, 'expireOnCommit must be true or false'],
    [{ autoflush: null }, 'autoflush must be true or false'],
    [{ autocommit: 0 }, 'autocommit must be true or false'],
    [{ info: 'x' }, 'info must be an object'],
  ]

  test.each(wrong)('%j of a factory', (options, message) => {
    const bind = fixture.engine()
    expect(() => createSessionFactory({ bind, ...options })).toThrow(InvalidOptionError)
    expect(() => createSessionFactory({ bind, ...options })).toThrow(message)
  })

  test.each<readonly [Record<string, unknown>, string]>([
    ...wrong,
    [{ signal: {} }, 'signal must be an AbortSignal'],
    [{ poolTimeoutMillis: -5 }, 'poolTimeoutMillis must be'],
    [{ poolTimeoutMillis: '5' }, 'poolTimeoutMillis must be'],
  ])('%j of a session and of a block', async (options, message) => {
    const sessions = fixture.factory()
    expect(() => sessions(options as never)).toThrow(message)
    const failure = await errorOf(sessions.withSession(() => undefined, options))
    expect(failure).toBeInstanceOf(InvalidOptionError)
    expect(failure.message).toContain(message)
  })

  test.each([
    [{ commit: 'no' }, 'commit must be true or false'],
    [{ propagation: 'require' }, "did you mean 'required'?"],
    [{ retry: 3 }, 'retry must be an object'],
    [{ retry: { attempts: 0 } }, 'retry.attempts must be a whole number'],
    [{ retry: { attempts: 2, backof: () => 1 } }, "did you mean 'backoff'?"],
    [{ retry: { attempts: 2, backoff: 5 } }, 'retry.backoff must be a function'],
    [{ retrys: 3 }, "did you mean 'retry'?"],
  ])('%j of a block', async (options, message) => {
    const failure = await errorOf(fixture.factory().withSession(() => undefined, options as never))
    expect(failure).toBeInstanceOf(InvalidOptionError)
    expect(failure.message).toContain(message)
  })

  test('a factory wants an engine, and a class if any', () => {
    for (const bind of [undefined, null, {}, 'postgres://x']) {
      expect(() => createSessionFactory({ bind: bind as never })).toThrow('bind must be an engine')
    }
    const bind = fixture.engine()
    expect(() => createSessionFactory({ bind, sessionClass: 'Session' as never })).toThrow('sessionClass')
    expect(() => createSessionFactory({ bind, sesionClass: Session } as never)).toThrow(
      "did you mean 'sessionClass'?",
    )
    expect(() => createSessionFactory({ bind, signal: AbortSignal.timeout(1000) } as never)).toThrow(
      "'signal'",
    )
    expect(() => createSessionFactory(undefined as never)).toThrow(InvalidOptionError)
  })

  test.each([undefined, null, 'select 1', 5, {}])('a block that is %j', async (work) => {
    const failure = await errorOf(fixture.factory().withSession(work as never))
    expect(failure).toBeInstanceOf(InvalidOptionError)
    expect(failure.message).toMatch(/^withSession takes a function, not /)
  })

  test('a class in place of a callback is refused before anything is taken', async () => {
    class Work {}
    const engine = fixture.engine()
    const sessions = fixture.factory()
    const session = sessions()
    const connection = await engine.connect()
    const before = engine.stats().borrowed
    const calls: [string, () => unknown][] = [
      ['withSession', () => sessions.withSession(Work as never)],
      ['begin', () => session.begin(Work as never)],
      ['beginNested', () => session.beginNested(Work as never)],
      ['begin', () => engine.begin(Work as never)],
      ['begin', () => connection.begin(Work as never)],
      ['beginNested', () => connection.beginNested(Work as never)],
      ['noAutoflush', () => session.noAutoflush(Work as never)],
      ['on', () => engine.on('connect', Work as never)],
      ['the hook afterCommit', () => sessions.on('afterCommit', Work as never)],
    ]
    for (const [where, call] of calls) {
      const failure = await errorOf(Promise.resolve().then(call))
      expect(failure).toBeInstanceOf(InvalidOptionError)
      expect(failure.message).toBe(`${where} takes a function, not a class`)
    }
    expect(engine.stats().borrowed).toBe(before)
    await session.close()
    await connection.close()
  })

  test('functions of every other kind are taken: a plain one, one that is built in, a method', async () => {
    const sessions = fixture.factory()
    // A plain function has a prototype that can be written, one that is built in has one that cannot.
    await sessions.withSession(function work() {
      return Promise.resolve()
    })
    await sessions.withSession(Boolean)
    await sessions.withSession({ work: () => Promise.resolve() }.work)
  })

  test('the value of an option that may be secret does not stand in the error', () => {
    const sessions = fixture.factory()
    expect(() => sessions({ settings: { 'app.token': 12345 as never } })).toThrow(/^(?!.*12345)/)
  })
})
