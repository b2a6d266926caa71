/** The options of an engine, one by one, where each of them can be seen. */
import { inspect } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { createEngine, type Engine } from '../../src/engine/engine.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { InvalidOptionError } from '../../src/errors.js'
import { NullPool } from '../../src/pool/null-pool.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { Session } from '../../src/session/session.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf, errorOf, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const backend = (session: Session) => session.scalar<number>('select pg_backend_pid()')

/** Holds so many connections at once, and gives the numbers of their backends. */
async function hold(engine: Engine, count: number): Promise<(number | undefined)[]> {
  const connections = await Promise.all(Array.from({ length: count }, () => engine.connect()))
  const pids = connections.map(({ processId }) => processId)
  await Promise.all(connections.map((connection) => connection.close()))
  return pids
}

describe("the seed's options", () => {
  test('url', async () => {
    const { withSession } = fixture.factory({ url: fixture.db.url })
    expect(await withSession((session) => session.scalar('select current_database()'))).toBe(fixture.db.name)
  })

  test('host, port, user, password and database instead of url', async () => {
    const { hostname, port, username, password } = new URL(fixture.db.url)
    await using engine = createEngine({
      host: hostname,
      port: Number(port || 5432),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      database: fixture.db.name,
    })
    expect(await engine.begin((connection) => connection.scalar('select current_database()'))).toBe(
      fixture.db.name,
    )
  })

  test('echo', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    try {
      await fixture.factory({ echo: true }).withSession((session) => session.execute('select 4711'))
      await fixture.factory({ echo: false }).withSession((session) => session.execute('select 4712'))
      await fixture.factory().withSession((session) => session.execute('select 4713'))
      const lines = write.mock.calls.map(([line]) => String(line)).join('')
      expect(lines).toContain('select 4711')
      expect(lines).not.toMatch(/select 471[23]/)
    } finally {
      write.mockRestore()
    }
  })

  test('poolSize: so many are kept', async () => {
    const engine = fixture.engine({ poolSize: 2, maxOverflow: 3 })
    await hold(engine, 5)
    await waitUntil(() => engine.stats().size === 2)
    expect(engine.stats()).toMatchObject({ idle: 2, overflow: 0, capacity: 5 })
  })

  test('maxOverflow: so many more, and no other', async () => {
    const engine = fixture.engine({ poolSize: 1, maxOverflow: 1 })
    await using _first = await engine.connect()
    await using _second = await engine.connect()
    expect(await errorOf(engine.connect({ poolTimeoutMillis: 30 }))).toBeInstanceOf(PoolTimeoutError)
    expect(engine.stats().overflow).toBe(1)
  })

  test('poolTimeoutMillis: how long to wait, 0 for not at all', async () => {
    const engine = fixture.engine({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0 })
    await using _held = await engine.connect()
    const failure = await errorOf(engine.connect())
    expect(failure).toMatchObject({ code: 'POOL_TIMEOUT' })
    expect(failure.message).toContain('every connection was in use')
  })

  test('poolRecycleMillis: an old connection is replaced', async () => {
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0, poolRecycleMillis: 1 })
    const first = await sessions.withSession(backend)
    await waitUntil(async () => (await sessions.withSession(backend)) !== first)
    expect(sessions.bind.stats().closed.recycled).toBeGreaterThan(0)
    const patient = fixture.factory({ poolSize: 1, maxOverflow: 0, poolRecycleMillis: -1 })
    expect(await patient.withSession(backend)).toBe(await patient.withSession(backend))
  })

  test('poolPrePing: a connection that died while it was idle is not handed out', async () => {
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0, poolPrePing: true, prePingSkipMillis: 0 })
    const first = await sessions.withSession(backend)
    await terminate(fixture.db, first ?? 0)
    expect(await sessions.withSession(backend)).not.toBe(first)
  })

  test('connectArgs.serverSettings.application_name is seen on the server', async () => {
    const { withSession } = fixture.factory({
      connectArgs: { serverSettings: { application_name: 'songs-api', work_mem: '9MB' } },
    })
    expect(await withSession((session) => session.scalar("select current_setting('work_mem')"))).toBe('9MB')
    expect(await backendsOf(fixture.db, 'songs-api')).toHaveLength(1)
  })

  test('bind, sessionClass, expireOnCommit, autocommit, autoflush of the session factory', async () => {
    class SongSession extends Session {
      count(): Promise<string | null> {
        return this.scalar<string>('select count(*) from notes')
      }
    }
    const engine = fixture.engine()
    const sessions = createSessionFactory({
      bind: engine,
      sessionClass: SongSession,
      expireOnCommit: false,
      autocommit: false,
      autoflush: false,
    })
    expect(sessions.bind).toBe(engine)
    expect(await sessions.withSession((session) => session.count())).toBe('0')
    await using session = sessions()
    expect(session).toBeInstanceOf(SongSession)
    expect([session.expireOnCommit, session.autocommit, session.autoflush]).toEqual([false, false, false])
  })
})

describe('more options of an engine', () => {
  test('name stands in status, stats and errors', async () => {
    const engine = fixture.engine({ name: 'songs', poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0 })
    expect(engine.name).toBe('songs')
    expect(engine.status()).toContain('songs')
    expect(fixture.engine().name).toContain(fixture.db.name)
  })

  test('poolClass NullPool: a connection for each session', async () => {
    const { withSession, bind } = fixture.factory({ poolClass: NullPool })
    expect(await withSession(backend)).not.toBe(await withSession(backend))
    await waitUntil(() => bind.stats().size === 0)
  })

  test('types: results are parsed by what the caller gives', async () => {
    const types = { getTypeParser: (oid: number) => (text: string) => `${oid}:${text}` }
    const { withSession } = fixture.factory({ types })
    const row = await withSession((session) => session.execute('select 7 as a, true as b, null as c'))
    expect(row.one()).toEqual({ a: '23:7', b: '16:t', c: null })
  })

  test('statementCacheSize: so many prepared statements on the server, and none with 0', async () => {
    for (const [statementCacheSize, most] of [
      [0, 0],
      [3, 3],
    ] as const) {
      const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0, statementCacheSize })
      for (let round = 0; round < 3; round++) {
        for (let column = 0; column < 10; column++) {
          const value = await withSession((session) => session.scalar(`select ${column} as c${column}`))
          expect(value).toBe(column)
        }
      }
      const count = await withSession((session) =>
        session.scalar<number>({ text: 'select count(*)::int from pg_prepared_statements', prepare: false }),
      )
      expect(count).toBeLessThanOrEqual(most)
      if (most > 0) expect(count).toBeGreaterThan(0)
    }
  })

  test('by default a statement is parsed once for each connection, from its second use on', async () => {
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    for (let round = 0; round < 5; round++) await withSession((session) => session.scalar('select 4711'))
    const rows = await withSession((session) =>
      session.execute<{ statement: string; calls: number }>(
        'select statement, (generic_plans + custom_plans)::int as calls from pg_prepared_statements',
      ),
    )
    const found = rows.all().filter(({ statement }) => statement === 'select 4711')
    expect(found).toEqual([{ statement: 'select 4711', calls: 4 }])
  })

  test('prepare: false of a statement prepares nothing', async () => {
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    await withSession((session) => session.execute({ text: 'select 4711', prepare: false }))
    const names = await withSession((session) =>
      session.scalars('select statement from pg_prepared_statements'),
    )
    expect(names).not.toContain('select 4711')
  })

  test('a table that changes under a prepared statement', async () => {
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 }, { autocommit: true })
    await fixture.db.query('create table changing (a int)')
    await fixture.db.query('insert into changing values (1)')
    await using session = sessions()
    expect((await session.execute('select * from changing')).all()).toEqual([{ a: 1 }])
    await fixture.db.query('alter table changing add b int default 2')
    expect((await session.execute('select * from changing')).all()).toEqual([{ a: 1, b: 2 }])
  })

  test('the url is taken apart once: later changes to the options do not reach the engine', async () => {
    const options: { -readonly [Name in keyof EngineOptions]: EngineOptions[Name] } = {
      poolSize: 2,
      url: fixture.db.url,
    }
    await using engine = createEngine(options)
    options.poolSize = 50
    expect(engine.stats().poolSize).toBe(2)
  })

  test('without options the environment of libpq says where to connect', async () => {
    const { hostname, port, username, password } = new URL(fixture.db.url)
    const environment = {
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: username,
      PGPASSWORD: password,
      PGDATABASE: fixture.db.name,
    }
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, decodeURIComponent(value))
    try {
      await using engine = createEngine()
      expect(await engine.begin((connection) => connection.scalar('select current_database()'))).toBe(
        fixture.db.name,
      )
    } finally {
      vi.unstubAllEnvs()
    }
  })
})

describe('wrong options are refused at once, by their name', () => {
  test.each([
    [{ poolsize: 5 }, "createEngine has no option 'poolsize'; did you mean 'poolSize'?"],
    [{ poolTimeout: 5 }, "did you mean 'poolTimeoutMillis'?"],
    [{ URL: 'x' }, "did you mean 'url'?"],
    [{ ehco: true }, "did you mean 'echo'?"],
    [{ isolation: 'SERIALIZABLE' }, "'isolation'"],
    [{ max: 5 }, 'poolSize'],
    [{ poolSize: '5' }, 'poolSize must be a whole number'],
    [{ poolSize: -1 }, 'poolSize must be a whole number'],
    [{ poolSize: 1.5 }, 'poolSize must be a whole number'],
    [{ maxOverflow: -2 }, 'maxOverflow must be a whole number'],
    [{ poolTimeoutMillis: -1 }, 'poolTimeoutMillis must be'],
    [{ poolRecycleMillis: 'never' }, 'poolRecycleMillis must be'],
    [{ poolPrePing: 1 }, 'poolPrePing must be true or false'],
    [{ echo: 'verbose' }, "echo must be true, false, 'debug' or a logger"],
    [{ echo: { info: () => undefined } }, "the logger has no method 'debug'"],
    [{ hideParameters: 'yes' }, 'hideParameters must be true or false'],
    [{ statementCacheSize: -1 }, 'statementCacheSize must be a whole number'],
    [{ statementCacheSize: Number.NaN }, 'statementCacheSize must be a whole number'],
    [{ types: {} }, 'types must have a method getTypeParser'],
    [{ name: '' }, 'name must be a string'],
    [{ name: 5 }, 'name must be a string'],
    [{ connectArgs: 'x' }, 'connectArgs'],
    [{ connectArgs: { serverSettings: { application_name: 5 } } }, 'application_name'],
    [{ connectArgs: { serverSetings: {} } }, "did you mean 'serverSettings'?"],
    [{ isolationLevel: 'serializable' }, 'isolationLevel must be one of'],
    [{ settings: { 'app.x': 1 } }, 'settings.app.x must be a string'],
    [{ url: 'mysql://localhost/x' }, 'url'],
    [{ url: 5 }, 'url'],
  ] as const)('%j', (options, message) => {
    const make = (): Engine => createEngine(options as never)
    expect(make).toThrow(InvalidOptionError)
    expect(make).toThrow(message)
  })

  test.each([null, 'postgres://x', 5, [], () => undefined])('%j instead of options', (options) => {
    expect(() => createEngine(options as never)).toThrow(InvalidOptionError)
  })

  test('the echo of an engine may be changed, and is checked then, too', () => {
    const engine = fixture.engine()
    engine.echo = 'debug'
    expect(engine.echo).toBe('debug')
    expect(() => {
      engine.echo = 'loud' as never
    }).toThrow(InvalidOptionError)
  })
})

describe('no password', () => {
  const SECRET = 'hunter2-and-more'

  /** Everything that can be seen of a value. */
  const everything = (value: unknown): string =>
    inspect(value, { depth: 12, showHidden: true, getters: true }) + JSON.stringify(value) + String(value)

  test('stands in an engine, its factories and sessions, or what they say of themselves', async () => {
    const engine = fixture.engine({ url: `postgresql://me:${SECRET}@127.0.0.1:1/db`, poolTimeoutMillis: 200 })
    const sessions = createSessionFactory({ bind: engine })
    const session = sessions()
    const failure = await errorOf(session.execute('select 1'))
    await session.close()
    for (const value of [engine, sessions, session, failure, engine.stats(), engine.status(), engine.name]) {
      expect(everything(value)).not.toContain(SECRET)
    }
  })

  test('stands in the error of an option', () => {
    for (const options of [
      { url: `postgresql://me:${SECRET}@host:99999/db` },
      { url: `postgres//me:${SECRET}@host/db` },
      { password: { [SECRET]: 1 } },
    ]) {
      let failure: unknown
      try {
        createEngine(options as never)
      } catch (error) {
        failure = error
      }
      expect(failure).toBeInstanceOf(InvalidOptionError)
      expect(everything(failure)).not.toContain(SECRET)
    }
  })
})
