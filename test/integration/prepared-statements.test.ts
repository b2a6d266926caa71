/** Prepared statements after the schema has changed: what is sent means what it would mean to a new connection. */
import { describe, expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import type { Session } from '../../src/session/session.js'
import { declarativeBase } from '../../src/schema/base.js'
import { integer } from '../../src/schema/column-types.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create schema tenant_a',
  'create schema tenant_b',
  'create table tenant_a.events (at timestamp)',
  'create table tenant_b.events (at timestamptz)',
  `create function use_tenant(name text) returns text language sql
     as $$ select set_config('search_path', name, true) $$`,
)

const WITH_OFFSET = '2026-01-01T10:00:00+05:00'
const IN_UTC = '2026-01-01 05:00:00'
/** Of a column without a time zone `at time zone` makes one with it. */
const WITHOUT_OFFSET = '2026-01-01 10:00:00+00'
const serverVersion = async (): Promise<number> => {
  const [row] = await fixture.db.query<{ version: number }>(
    "select current_setting('server_version_num')::int as version",
  )
  return row?.version ?? 0
}

const INSERT = 'insert into events (at) values ($1)'

/** What the one event says. */
const stored = (session: Pick<Session, 'scalar'>): Promise<string | undefined> =>
  session.scalar<string>("select (at at time zone 'UTC')::text from events").then((text) => text ?? undefined)

/** One connection, on a table with a timestamp, that knows the INSERT as a prepared statement. */
async function warm() {
  await fixture.db.query('drop table if exists events')
  await fixture.db.query('create table events (at timestamp)')
  await fixture.db.query("set time zone 'UTC'")
  const engine = fixture.engine({
    poolSize: 1,
    maxOverflow: 0,
    connectArgs: { serverSettings: { timezone: 'UTC' } },
  })
  const insert = () => engine.begin((connection) => connection.execute(INSERT, [WITH_OFFSET]))
  for (let use = 0; use < 3; use++) await insert()
  const names = await engine.begin((connection) =>
    connection.scalars<string>('select name from pg_prepared_statements where statement = $1', [INSERT]),
  )
  expect(names.length).toBe(1)
  await engine.begin((connection) => connection.execute('truncate events'))
  const read = () => engine.begin(stored)
  return { engine, insert, read }
}

const MIGRATION = "alter table events alter at type timestamptz using at at time zone 'UTC'"

describe('after a migration', () => {
  const WAYS: readonly [string, (engine: Engine) => Promise<unknown>][] = [
    ['as a statement of another engine', (engine) => engine.begin((own) => own.execute(MIGRATION))],
    [
      'in a script',
      (engine) => engine.begin((own) => own.executeScript(`${MIGRATION}; create index on events (at)`)),
    ],
    ['in a DO block', (engine) => engine.begin((own) => own.execute(`do $do$ begin ${MIGRATION}; end $do$`))],
    [
      'in autocommit mode',
      async (engine) => {
        await using connection = await engine.connect({ autocommit: true })
        await connection.execute(MIGRATION)
      },
    ],
  ]

  test.each(WAYS)('%s, warm connections use the new types', async (_how, migrate) => {
    const { insert, read } = await warm()
    await migrate(fixture.engine())
    await insert()
    expect(await read()).toBe(IN_UTC)
  })

  test('by its own connection, in the same transaction and even the same batch', async () => {
    const { engine, read } = await warm()
    await engine.begin((connection) =>
      Promise.all([connection.execute(MIGRATION), connection.execute(INSERT, [WITH_OFFSET])]),
    )
    expect(await read()).toBe(IN_UTC)
  })

  test('that is rolled back, its own connection uses the old types again', async () => {
    const { engine, insert, read } = await warm()
    const undone = engine.begin(async (connection) => {
      await connection.execute(MIGRATION)
      await connection.execute(INSERT, [WITH_OFFSET])
      await connection.execute(INSERT, [WITH_OFFSET])
      throw new Error('undo')
    })
    await expect(undone).rejects.toThrow('undo')
    await insert()
    expect(await read()).toBe(WITHOUT_OFFSET)
  })

  test('that a savepoint undoes, the rest of the transaction uses the old types', async () => {
    const { engine, read } = await warm()
    const { withSession } = createSessionFactory({
      bind: engine,
    })
    await withSession(async (session) => {
      const nested = session.beginNested(async () => {
        await session.execute(MIGRATION)
        await session.execute(INSERT, [WITH_OFFSET])
        throw new Error('undo')
      })
      await expect(nested).rejects.toThrow('undo')
      await session.execute(INSERT, [WITH_OFFSET])
    })
    expect(await read()).toBe(WITHOUT_OFFSET)
  })

  test('by createAll, every statement is prepared anew', async () => {
    const { engine } = await warm()
    const Base = declarativeBase()
    Base.entity('made_by_create_all', { id: integer().primaryKey() })
    const prepared = () =>
      engine.begin((connection) =>
        connection.scalar<string>('select name from pg_prepared_statements where statement = $1', [INSERT]),
      )
    const before = await prepared()
    await fixture.engine().begin((connection) => Base.metadata.createAll(connection))
    await engine.begin((connection) => connection.execute(INSERT, [WITH_OFFSET]))
    expect(await prepared()).not.toBe(before)
  })

  test('of another process, refresh() makes connections use the new types, also one that is borrowed', async () => {
    const { engine } = await warm()
    await using connection = await engine.connect()
    await connection.scalar('select 1')
    await connection.commit()
    await fixture.db.query(MIGRATION)
    engine.refresh()
    await connection.execute(INSERT, [WITH_OFFSET])
    await connection.commit()
    expect(await stored(connection)).toBe(IN_UTC)
  })
})

describe('between tenants that a search path tells apart', () => {
  const path = (name: string) => ({ settings: { search_path: name } })

  async function oneConnection() {
    await fixture.db.query('truncate tenant_a.events, tenant_b.events')
    await fixture.db.query('drop table if exists events')
    const { withSession } = fixture.factory({
      poolSize: 1,
      maxOverflow: 0,
      connectArgs: { serverSettings: { timezone: 'UTC' } },
    })
    return withSession
  }

  test.each([
    ['the option settings', undefined],
    ['SET', (name: string) => `set search_path to ${name}`],
    ['SET LOCAL', (name: string) => `set local search_path to ${name}`],
    ['set_config', (name: string) => `select set_config('search_path', '${name}', true)`],
    ['a function that sets it', (name: string) => `select public.use_tenant('${name}')`],
  ])('by %s, each has the types of its own table', async (_how, set) => {
    // Earlier servers do not report the search path.
    if (set?.('').includes('use_tenant') === true && (await serverVersion()) < 180_000) return
    const withSession = await oneConnection()
    const work = (name: string, use: (session: Session) => Promise<unknown>) =>
      withSession(
        async (session) => {
          if (set !== undefined) await session.execute(set(name))
          return use(session)
        },
        set === undefined ? path(name) : {},
      )
    for (let round = 0; round < 3; round++) {
      for (const name of ['tenant_a', 'tenant_b'])
        await work(name, (session) => session.execute(INSERT, [WITH_OFFSET]))
    }
    const read = (name: string) =>
      work(name, (session) =>
        session.scalars(`select distinct (at at time zone 'UTC')::text from ${name}.events`),
      )
    expect(await read('tenant_a')).toEqual([WITHOUT_OFFSET])
    expect(await read('tenant_b')).toEqual([IN_UTC])
  })
})

describe('with temporary tables', () => {
  test('one that is made anew with another type is written with that', async () => {
    const { withSession } = fixture.factory({
      poolSize: 1,
      maxOverflow: 0,
      connectArgs: { serverSettings: { timezone: 'UTC' } },
    })
    const use = (type: string) =>
      withSession(async (session) => {
        await session.execute(`create temp table drafts (at ${type}) on commit drop`)
        await session.execute('insert into drafts values ($1)', [WITH_OFFSET])
        return session.scalar("select to_char(at, 'HH24:MI') from drafts")
      })
    for (let round = 0; round < 3; round++) {
      expect(await use('timestamp')).toBe('10:00')
      expect(await use('timestamptz')).toBe('05:00')
    }
  })

  test('one that hides another table is used from then on, and no longer than it lives', async () => {
    await fixture.db.query('drop table if exists notes')
    await fixture.db.query('create table notes (text text)')
    await fixture.db.query("insert into notes values ('permanent')")
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    const read = (session: Session) => session.scalar('select text from notes where length(text) > $1', [0])
    for (let use = 0; use < 3; use++) expect(await withSession(read)).toBe('permanent')
    for (let round = 0; round < 2; round++) {
      await withSession(async (session) => {
        await session.execute("create temp table notes on commit drop as select 'temporary' as text")
        expect(await read(session)).toBe('temporary')
        expect(await read(session)).toBe('temporary')
      })
      expect(await withSession(read)).toBe('permanent')
    }
  })
})

describe('the statement cache survives', () => {
  test.each([
    ['DISCARD ALL as a statement', (text: string) => text, 'discard all'],
    ['DEALLOCATE ALL as a statement', (text: string) => text, 'deallocate all'],
    ['DISCARD ALL in a script', undefined, 'discard all'],
    ['DEALLOCATE ALL in a script', undefined, 'select 1; deallocate all; select 2'],
  ] as const)('%s', async (_how, asStatement, text) => {
    const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
    const select = () => engine.begin((connection) => connection.scalar('select $1::int + 1', [1]))
    for (let use = 0; use < 3; use++) await select()
    await engine.connect({ autocommit: true }).then(async (connection) => {
      await (asStatement === undefined ? connection.executeScript(text) : connection.execute(text))
      await connection.close()
    })
    for (let use = 0; use < 3; use++) expect(await select()).toBe(2)
  })

  test('DEALLOCATE ALL in one batch with a later prepared statement', async () => {
    const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
    const select = () => engine.begin((connection) => connection.scalar('select $1::int + 2', [1]))
    for (let use = 0; use < 3; use++) await select()
    const [, three] = await engine.begin((connection) =>
      Promise.all([connection.execute('deallocate all'), connection.scalar('select $1::int + 2', [1])]),
    )
    expect(three).toBe(3)
  })
})

test('texts that are used once are not kept on the server, nor are long ones', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const long = `select '${'x'.repeat(20_000)}' as long`
  await engine.begin(async (connection) => {
    await connection.execute('select 4711 as once')
    for (let use = 0; use < 3; use++) {
      await connection.execute('select 4711 as often')
      await connection.execute(long)
    }
  })
  const kept = await engine.begin((connection) =>
    connection.scalars<string>('select statement from pg_prepared_statements'),
  )
  expect(kept).toContain('select 4711 as often')
  expect(kept).not.toContain('select 4711 as once')
  expect(kept).not.toContain(long)
})
