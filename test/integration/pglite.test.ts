/** Engines, sessions and entities on PGlite, in this process. */
import { PGlite } from '@electric-sql/pglite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { UniqueViolationError } from '../../src/database-errors.js'
import type { Engine } from '../../src/engine/engine.js'
import {
  ConnectError,
  InvalidOptionError,
  InvalidStatementError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import {
  belongsTo,
  createSessionFactory,
  declarativeBase,
  eq,
  hasMany,
  integer,
  select,
  serial,
  sql,
  text,
  timestamptz,
} from '../../src/index.js'
import { createPgliteEngine, type PgliteEngineOptions } from '../../src/integrations/pglite.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { kyselyOn } from './kysely-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()

class Album extends Base.entity('albums', {
  id: serial('id').primaryKey(),
  title: text('title').notNull(),
}) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}

class Song extends Base.entity('songs', {
  id: serial('id').primaryKey(),
  title: text('title').notNull().unique(),
  plays: integer('plays'),
  addedAt: timestamptz('added_at').serverDefault(sql`now()`),
  albumId: integer('album_id').references('albums.id'),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}

let database: PGlite
const engines: Engine[] = []

function engineOn(options: PgliteEngineOptions = {}): Engine {
  const engine = createPgliteEngine(database, options)
  engines.push(engine)
  return engine
}

const factory = (options?: PgliteEngineOptions): SessionFactory =>
  createSessionFactory({ bind: engineOn(options) })

async function titles(): Promise<string[]> {
  const { rows } = await database.query<{ title: string }>('select title from songs order by id')
  return rows.map(({ title }) => title)
}

beforeAll(async () => {
  database = new PGlite()
  await createPgliteEngine(database).begin((connection) => Base.metadata.createAll(connection))
})
beforeEach(async () => {
  await database.exec('truncate songs, albums restart identity cascade')
})
afterEach(async () => {
  for (const engine of engines.splice(0)) {
    expect(engine.stats().borrowed).toBe(0)
    await engine.dispose()
  }
})
afterAll(() => database.close())

describe('sessions', () => {
  test('commit what their block returns, and roll back what it throws', async () => {
    const { withSession } = factory()
    await withSession((session) => session.execute("insert into songs (title) values ('kept')"))
    const thrown = new Error('no')
    const failing = withSession(async (session) => {
      await session.execute('insert into songs (title) values ($1)', ['undone'])
      throw thrown
    })
    expect(await errorOf(failing)).toBe(thrown)
    expect(await titles()).toEqual(['kept'])
  })

  test('return the types of a server', async () => {
    const row = await factory().withSession((session) =>
      session.execute(sql`select 1::int8 as big, '\x01'::bytea as bytes, ${[1, 2]}::int[] as list, '{"a":1}'::jsonb as doc,
        timestamptz '2020-01-01 00:00Z' as at, null as nothing, ${"it's"}::text as said`),
    )
    expect(row.one()).toEqual({
      big: '1',
      bytes: Buffer.from([1]),
      list: [1, 2],
      doc: { a: 1 },
      at: new Date('2020-01-01T00:00:00Z'),
      nothing: null,
      said: "it's",
    })
  })

  test('have savepoints', async () => {
    await factory().withSession(async (session) => {
      await session.execute("insert into songs (title) values ('a')")
      const error = await errorOf(
        session.beginNested(() => session.execute("insert into songs (title) values ('a')")),
      )
      expect(error).toBeInstanceOf(UniqueViolationError)
      expect(error).toMatchObject({
        sqlState: '23505',
        constraint: 'songs_title_key',
        routine: '_bt_check_unique',
      })
      await session.beginNested(() => session.execute("insert into songs (title) values ('b')"))
    })
    expect(await titles()).toEqual(['a', 'b'])
  })

  test('send statements of one tick in one batch, of which the first failure skips the rest', async () => {
    const results = await factory().withSession((session) =>
      Promise.allSettled([
        session.scalar('select 1'),
        session.scalar('select 1 / 0'),
        session.scalar('select 2'),
      ]).then(async (settled) => {
        await session.rollback()
        return settled
      }),
    )
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    expect(results[1]).toMatchObject({ reason: { sqlState: '22012' } })
  })

  test('do not commit after an error that was caught, or a statement that was not awaited', async () => {
    const { withSession } = factory()
    const caught = withSession(async (session) => {
      await session.execute("insert into songs (title) values ('a')")
      await errorOf(session.execute('select * from missing'))
    })
    expect(await errorOf(caught)).toBeInstanceOf(TransactionAbortedError)
    const forgotten = withSession((session) => {
      session.execute("insert into songs (title) values ('b')").catch(() => undefined)
    })
    expect(await errorOf(forgotten)).toBeInstanceOf(UnawaitedStatementError)
    expect(await titles()).toEqual([])
  })

  test('stream rows by a cursor, also from statements that run in between', async () => {
    const seen = await factory().withSession(async (session) => {
      const seen: number[] = []
      const stream = session.stream<{ n: number }>('select n from generate_series(1, 1000) n', {
        batchSize: 100,
      })
      for await (const { n } of stream) {
        seen.push(n)
        if (n % 100 === 0) expect(await session.scalar('select $1::int', [n])).toBe(n)
        if (n === 500) break
      }
      return seen
    })
    expect(seen).toHaveLength(500)
  })

  test('keep prepared statements, also over many transactions', async () => {
    const { withSession } = factory()
    for (let id = 1; id <= 20; id++)
      await withSession((session) => session.execute('insert into songs (title) values ($1)', [`song ${id}`]))
    const { rows } = await database.query('select name from pg_prepared_statements')
    expect(rows.length).toBeGreaterThan(0)
    expect(await titles()).toHaveLength(20)
  })

  test('run one after the other, in the order of their calls', async () => {
    const { withSession } = factory()
    const order = await Promise.all(
      [1, 2, 3].map((n) =>
        withSession(async (session) => {
          await session.execute('insert into songs (title) values ($1)', [`song ${n}`])
          return await session.scalar<number>('select count(*)::int from songs')
        }),
      ),
    )
    expect(order).toEqual([1, 2, 3])
  })

  test('have the isolation level, the settings and the role that they ask for', async () => {
    const seen = await factory().withSession(
      (session) =>
        session.execute(
          sql`select current_setting('transaction_isolation') as level, current_setting('app.tenant') as tenant`,
        ),
      { isolationLevel: 'SERIALIZABLE', settings: { 'app.tenant': '7' } },
    )
    expect(seen.one()).toEqual({ level: 'serializable', tenant: '7' })
  })
})

describe('entities', () => {
  test('are stored, loaded, changed and deleted', async () => {
    const { withSession } = factory()
    await withSession(async (session) => {
      const album = new Album({ title: 'Help!' })
      session.add(album)
      for (const title of ['Yesterday', 'Help!', 'Ticket to Ride'])
        session.add(new Song({ title, album } as never))
    })
    await withSession(async (session) => {
      const [album] = await session.scalars(select(Album).load('songs'))
      expect(album?.songs.map(({ title }) => title).sort()).toEqual(['Help!', 'Ticket to Ride', 'Yesterday'])
      const song = await session.scalar(select(Song).where(eq(Song.c.title, 'Yesterday')))
      expect(song?.addedAt).toBeInstanceOf(Date)
      if (song !== null) song.plays = 7
      session.delete(album?.songs.find(({ title }) => title === 'Help!') as Song)
    })
    const { rows } = await database.query('select title, plays from songs order by title')
    expect(rows).toEqual([
      { title: 'Ticket to Ride', plays: null },
      { title: 'Yesterday', plays: 7 },
    ])
  })

  test('share their transaction with Kysely', async () => {
    await errorOf(
      factory().withSession(async (session) => {
        session.add(new Song({ title: 'a' }))
        const db = kyselyOn(session)
        expect(await db.selectFrom('songs').select('title').execute()).toEqual([{ title: 'a' }])
        await db.insertInto('songs').values({ title: 'b' }).execute()
        throw new Error('no')
      }),
    )
    expect(await titles()).toEqual([])
  })
})

describe('the engine', () => {
  test('tells notices and settings, and listens to this process', async () => {
    const engine = engineOn({
      connectArgs: { serverSettings: { application_name: 'tests', search_path: 'public, pg_catalog' } },
    })
    const notices: string[] = []
    engine.on('notice', ({ message }) => notices.push(message))
    await engine.begin(async (connection) => {
      await connection.execute("do $$ begin raise notice 'hello'; end $$")
      expect(await connection.scalar('show application_name')).toBe('tests')
      expect(await connection.scalar('show search_path')).toBe('public, pg_catalog')
    })
    expect(notices).toEqual(['hello'])
  })

  test('delivers notifications of this process', async () => {
    const engine = engineOn()
    const stop = new AbortController()
    const heard: string[] = []
    let listening = false
    const reading = (async () => {
      const { signal } = stop
      for await (const { payload } of engine.listen('songs', {
        signal,
        onConnect: () => (listening = true),
      })) {
        heard.push(payload)
        if (heard.length === 2) break
      }
    })()
    await waitUntil(() => listening)
    await engine.begin((connection) => connection.execute("notify songs, 'one'"))
    await database.query("notify songs, 'two'")
    await reading
    expect(heard).toEqual(['one', 'two'])
  })

  test('leaves the session of PGlite as new, and the database open', async () => {
    const engine = engineOn()
    await engine.begin(async (connection) => {
      await connection.execute("set my.mark = 'here'")
      await connection.execute('create temp table marks ()')
    })
    const connection = await engine.connect()
    await connection.execute("insert into songs (title) values ('never committed')")
    await engine.dispose({ timeoutMillis: 0 })
    const { rows } = await database.query<{ mark: string | null; tables: number; prepared: number }>(
      `select nullif(current_setting('my.mark', true), '') as mark,
         (select count(*)::int from pg_class where relname = 'marks') as tables,
         (select count(*)::int from pg_prepared_statements) as prepared`,
    )
    expect(rows).toEqual([{ mark: null, tables: 0, prepared: 0 }])
    expect(await titles()).toEqual([])
    await createPgliteEngine(database).begin((next) => next.execute("insert into songs (title) values ('a')"))
    expect(await titles()).toEqual(['a'])
  })

  test('has one connection: a block that needs another one is told so', async () => {
    const { withSession } = factory({ poolTimeoutMillis: 0 })
    const nested = withSession(async (session) => {
      await session.execute('select 1')
      await withSession((other) => other.execute('select 1'))
    })
    expect(await errorOf(nested)).toBeInstanceOf(PoolTimeoutError)
  })

  test('refuses COPY FROM STDIN, which PGlite would not survive, and can do COPY TO STDOUT', async () => {
    const engine = engineOn()
    const refused = engine.begin((connection) => connection.executeScript('select 1; copy songs from stdin'))
    expect(await errorOf(refused)).toMatchObject({ sqlState: '0A000' })
    const copied = await engine.begin(async (connection) => {
      await connection.execute("insert into songs (title) values ('a')")
      let all = ''
      for await (const chunk of await connection.copyTo('copy (select title from songs) to stdout'))
        all += String(chunk)
      return all
    })
    expect(copied).toBe('a\n')
  })

  test('says that a statement may not be COPY, or end the transaction', async () => {
    const { withSession } = factory()
    for (const text of ['copy songs from stdin', 'commit'])
      expect(await errorOf(withSession((session) => session.execute(text)))).toBeInstanceOf(
        InvalidStatementError,
      )
  })
})

describe('mistakes', () => {
  test.each([
    ['poolSize', { poolSize: 5 }],
    ['maxOverflow', { maxOverflow: 10 }],
    ['url', { url: 'postgres://localhost' }],
    ['host', { host: 'localhost' }],
    ['connectArgs.sslmode', { connectArgs: { sslmode: 'require' } }],
    ['poolSiz', { poolSiz: 1 }],
  ])('%s is refused', (option, options) => {
    const error = (() => {
      try {
        return createPgliteEngine(database, options as never)
      } catch (thrown) {
        return thrown
      }
    })()
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error).toMatchObject({ option })
  })

  test('what is no PGlite is refused', () => {
    for (const given of [undefined, 'memory://', {}])
      expect(() => createPgliteEngine(given as never)).toThrow(/new PGlite\(\)/)
    const closed = Object.create(database, { closed: { value: true } }) as never
    expect(() => createPgliteEngine(closed)).toThrow('This PGlite database was closed')
  })

  test('a setting that does not exist fails the connect', async () => {
    const engine = engineOn({ connectArgs: { serverSettings: { no_such_setting: '1' } } })
    const error = await errorOf(engine.begin((connection) => connection.execute('select 1')))
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({ sqlState: '42704' })
  })

  test('a database that is closed fails the statement, and the engine can be disposed', async () => {
    const closed = new PGlite()
    const engine = createPgliteEngine(closed)
    await engine.begin((connection) => connection.execute('select 1'))
    await closed.close()
    expect(
      (await errorOf(engine.begin((connection) => connection.execute('select 1')))).message,
    ).toBeDefined()
    await engine.dispose()
  })
})
