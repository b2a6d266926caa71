/** Kysely on an engine: queries, transactions, savepoints, streams, aborts. */
import { Migrator, sql, type Kysely } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { isRetryable, UniqueViolationError } from '../../src/database-errors.js'
import type { Engine } from '../../src/engine/engine.js'
import { IllegalStateError, InvalidOptionError, InvalidStatementError } from '../../src/errors.js'
import { kyselyDialect } from '../../src/integrations/kysely.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { kyselyOn, SONGS, type Tables } from './kysely-support.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(SONGS)

beforeEach(() => fixture.db.query('truncate songs restart identity'))

async function titles(): Promise<string[]> {
  const rows = await fixture.db.query<{ title: string }>('select title from songs order by id')
  return rows.map(({ title }) => title)
}

const add = (db: Kysely<Tables>, title: string) => db.insertInto('songs').values({ title }).execute()

function fresh(options: Parameters<typeof fixture.engine>[0] = {}): { engine: Engine; db: Kysely<Tables> } {
  const engine = fixture.engine(options)
  return { engine, db: kyselyOn(engine) }
}

describe('queries', () => {
  test('return rows and counts as with the dialect of Kysely', async () => {
    const { db } = fresh()
    const inserted = await db
      .insertInto('songs')
      .values([{ title: 'a' }, { title: 'b' }])
      .executeTakeFirst()
    expect(inserted).toMatchObject({ numInsertedOrUpdatedRows: 2n, insertId: undefined })
    const returned = await db.insertInto('songs').values({ title: 'c' }).returning('id').executeTakeFirst()
    expect(returned).toEqual({ id: 3 })
    const updated = await db.updateTable('songs').set({ plays: 1 }).where('id', '<', 3).executeTakeFirst()
    expect(updated.numUpdatedRows).toBe(2n)
    expect(await db.selectFrom('songs').select(['id', 'plays']).orderBy('id').execute()).toEqual([
      { id: 1, plays: 1 },
      { id: 2, plays: 1 },
      { id: 3, plays: null },
    ])
    expect((await db.deleteFrom('songs').executeTakeFirst()).numDeletedRows).toBe(3n)
    expect((await sql`select 1 as one`.execute(db)).numAffectedRows).toBeUndefined()
  })

  test('give their connection back, and take one again', async () => {
    const { engine, db } = fresh({ poolSize: 1, maxOverflow: 0 })
    await Promise.all([add(db, 'a'), add(db, 'b'), add(db, 'c')])
    expect((await titles()).sort()).toEqual(['a', 'b', 'c'])
    expect(engine.stats().borrowed).toBe(0)
  })

  test('keep the options that the engine has for transactions', async () => {
    const { db } = fresh({ settings: { 'app.tenant': '7' }, isolationLevel: 'REPEATABLE READ' })
    const seen = sql<{ tenant: string; level: string }>`
      select current_setting('app.tenant') as tenant, current_setting('transaction_isolation') as level`
    expect((await seen.execute(db)).rows).toEqual([{ tenant: '7', level: 'repeatable read' }])
    await add(db, 'a')
    expect(await errorOf(add(db, 'a'))).toBeInstanceOf(UniqueViolationError)
    expect(await titles()).toEqual(['a'])
  })

  test('of db.connection() share one connection, also around a transaction', async () => {
    const { engine, db } = fresh()
    await db.connection().execute(async (one) => {
      const pid = async (on: Kysely<Tables>): Promise<unknown> =>
        (await sql`select pg_backend_pid() as pid, current_setting('my.mark') as mark`.execute(on)).rows
      await sql`select set_config('my.mark', 'here', false)`.execute(one)
      const before = await pid(one)
      expect(await one.transaction().execute((trx) => pid(trx))).toEqual(before)
      expect(await pid(one)).toEqual(before)
      await add(one, 'stored by itself')
      await sql`reset my.mark`.execute(one)
    })
    expect(engine.stats().borrowed).toBe(0)
    expect(await titles()).toEqual(['stored by itself'])
  })

  test('of several statements run as one, in a transaction or by themselves', async () => {
    const several = sql`insert into songs (title) values ('a;b'); -- one
      do $x$ begin insert into songs (title) values ('in a body'); end; $x$;`
    for (const options of [{}, { lockTimeoutMillis: 5000 }]) {
      const { db } = fresh(options)
      await fixture.db.query('truncate songs')
      expect(await several.execute(db)).toEqual({ rows: [] })
      await db
        .transaction()
        .execute((trx) => sql`select 1; insert into songs (title) values ('last')`.execute(trx))
      expect(await titles()).toEqual(['a;b', 'in a body', 'last'])
      expect((await sql`select ';' as x; `.execute(db)).rows).toEqual([{ x: ';' }])
    }
  })

  test('are refused if they would end the transaction, with what to do', async () => {
    const { db } = fresh()
    const error = await errorOf(db.transaction().execute((trx) => sql`commit`.execute(trx)))
    expect(error).toBeInstanceOf(InvalidStatementError)
  })
})

describe('errors', () => {
  test('are those of Lifeguard, with the SQLSTATE as code', async () => {
    const { db } = fresh()
    await add(db, 'a')
    const error = await errorOf(add(db, 'a'))
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect(error).toMatchObject({
      code: '23505',
      sqlState: '23505',
      constraint: 'songs_title_key',
      table: 'songs',
    })
    expect(isRetryable(error)).toBe(false)
  })

  test('that a retry helps are still known as such', async () => {
    const { db } = fresh()
    await add(db, 'a')
    const level = 'serializable' as const
    const increment = (other?: () => Promise<unknown>) =>
      db
        .transaction()
        .setIsolationLevel(level)
        .execute(async (trx) => {
          await trx.selectFrom('songs').selectAll().execute()
          await other?.()
          await trx.updateTable('songs').set({ plays: 1 }).execute()
        })
    const error = await errorOf(increment(() => increment()))
    expect(error).toMatchObject({ code: '40001' })
    expect(isRetryable(error)).toBe(true)
  })

  test('say what kyselyDialect takes', () => {
    for (const bind of [undefined, {}, 'postgres://'])
      expect(() => kyselyDialect(bind as never)).toThrow(InvalidOptionError)
  })
})

describe('transactions', () => {
  test('commit what their callback did, or roll it back', async () => {
    const { db } = fresh()
    expect(await db.transaction().execute((trx) => add(trx, 'kept').then(() => 'value'))).toBe('value')
    const thrown = new Error('no')
    const work = async (trx: Kysely<Tables>): Promise<never> => {
      await add(trx, 'undone')
      throw thrown
    }
    expect(await errorOf(db.transaction().execute(work))).toBe(thrown)
    expect(await titles()).toEqual(['kept'])
  })

  test('have the isolation level and the access mode that they ask for', async () => {
    const { db } = fresh()
    const modes = sql`select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as ro`
    const strict = db.transaction().setIsolationLevel('serializable').setAccessMode('read only')
    expect((await strict.execute((trx) => modes.execute(trx))).rows).toEqual([
      { level: 'serializable', ro: 'on' },
    ])
    const plain = await db.transaction().execute((trx) => modes.execute(trx))
    expect(plain.rows).toEqual([{ level: 'read committed', ro: 'off' }])
    expect(await errorOf(strict.execute((trx) => add(trx, 'a')))).toMatchObject({ code: '25006' })
  })

  test('take BEGIN with their first query, and cost nothing without one', async () => {
    using proxy = await startProxy(fixture.db.url)
    const engine = fixture.engine({ url: proxy.url })
    const db = kyselyOn(engine)
    await add(db, 'warm')
    const before = proxy.connections.flatMap(({ messages }) => messages).length
    await db.transaction().execute(() => Promise.resolve())
    expect(proxy.connections.flatMap(({ messages }) => messages)).toHaveLength(before)
  })

  test('that are controlled have savepoints, which can be rolled back to again', async () => {
    const { engine, db } = fresh()
    const trx = await db.startTransaction().execute()
    await add(trx, 'a')
    const inside = await trx.savepoint('one').execute()
    await add(inside, 'b')
    const deeper = await inside.savepoint('two').execute()
    await errorOf(add(deeper, 'b'))
    const back = await deeper.rollbackToSavepoint('two').execute()
    await add(back, 'c')
    await back.rollbackToSavepoint('one').execute()
    await add(inside, 'd')
    await inside.releaseSavepoint('one').execute()
    const unknown = await errorOf(trx.rollbackToSavepoint('one' as never).execute())
    expect(unknown).toBeInstanceOf(IllegalStateError)
    await trx.commit().execute()
    expect(await titles()).toEqual(['a', 'd'])
    expect(engine.stats().borrowed).toBe(0)
  })

  test('that are controlled are rolled back by hand, too', async () => {
    const { engine, db } = fresh()
    const trx = await db.startTransaction().execute()
    await add(trx, 'a')
    await trx.rollback().execute()
    expect(await titles()).toEqual([])
    expect(engine.stats().borrowed).toBe(0)
  })
})

describe('streams', () => {
  const numbers = (db: Kysely<Tables>, size?: number) =>
    db
      .selectFrom(sql<{ n: number }>`(select n from generate_series(1, 1000) n)`.as('series'))
      .select('n')
      .stream(size)

  test('read by a cursor, so that few rows are in memory', async () => {
    using proxy = await startProxy(fixture.db.url)
    const engine = fixture.engine({ url: proxy.url })
    const db = kyselyOn(engine)
    let seen = 0
    for await (const { n } of numbers(db, 100)) {
      expect(n).toBe(++seen)
      if (seen === 150) break
    }
    await waitUntil(() => engine.stats().borrowed === 0)
    const rows = proxy.connections.flatMap(({ messages }) =>
      messages.filter(({ name }) => name === 'Execute'),
    )
    expect(rows.length).toBeGreaterThanOrEqual(2)
    expect(await sql`select 1 as one`.execute(db)).toMatchObject({ rows: [{ one: 1 }] })
  })

  test('end to end, inside of a transaction and outside', async () => {
    const { db } = fresh({ poolSize: 1, maxOverflow: 0 })
    const count = async (on: Kysely<Tables>): Promise<number> => {
      let rows = 0
      for await (const row of numbers(on, 300)) rows += row === undefined ? 0 : 1
      return rows
    }
    expect(await count(db)).toBe(1000)
    expect(await db.transaction().execute(async (trx) => (await count(trx)) + (await count(trx)))).toBe(2000)
  })

  test('store what their statement writes, also if the reader stops early', async () => {
    const { db } = fresh()
    const writing = db
      .insertInto('songs')
      .values([{ title: 'a' }, { title: 'b' }])
      .returning('title')
      .stream(1)
    for await (const { title } of writing) {
      expect(title).toBe('a')
      break
    }
    await waitUntil(async () => (await titles()).length === 2)
  })

  test('fail with the error of their statement, or of their size', async () => {
    const { engine, db } = fresh()
    const read = async (rows: AsyncIterable<unknown>): Promise<void> => {
      for await (const row of rows) expect(row).toBeDefined()
    }
    const failing = db.selectFrom('songs').select(sql`1/0`.as('x'))
    await add(db, 'a')
    expect(await errorOf(read(failing.stream()))).toMatchObject({ code: '22012' })
    expect(await errorOf(read(numbers(db, 0)))).toBeInstanceOf(InvalidOptionError)
    expect(engine.stats().borrowed).toBe(0)
  })
})

test('introspection and migrations work', async () => {
  const { db } = fresh()
  const tables = await db.introspection.getTables()
  expect(tables.find(({ name }) => name === 'songs')?.columns.map(({ name }) => name)).toEqual([
    'id',
    'title',
    'plays',
  ])
  const migrator = new Migrator({
    db,
    provider: {
      getMigrations: () =>
        Promise.resolve({
          '1_albums': {
            up: (on) => on.schema.createTable('albums').addColumn('id', 'serial').execute(),
            down: (on) => on.schema.dropTable('albums').execute(),
          },
        }),
    },
  })
  expect((await migrator.migrateToLatest()).results).toMatchObject([{ status: 'Success' }])
  expect((await migrator.migrateDown()).results).toMatchObject([{ status: 'Success' }])
})

test('destroy() leaves the engine open', async () => {
  const { engine, db } = fresh()
  await add(db, 'a')
  await db.destroy()
  expect(await engine.begin((connection) => connection.scalar('select 1'))).toBe(1)
})
