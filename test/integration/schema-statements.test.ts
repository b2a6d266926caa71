import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, DummyDriver } from 'kysely'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { declarativeBase } from '../../src/schema/base.js'
import { deleteFrom, update } from '../../src/query/bulk.js'
import {
  boolean,
  integer,
  jsonb,
  numeric,
  serial,
  text,
  timestamptz,
  uuid,
  version,
} from '../../src/schema/column-types.js'
import * as conditions from '../../src/query/conditions.js'
import {
  and,
  asc,
  between,
  desc,
  eq,
  gt,
  inArray,
  isNull,
  like,
  ne,
  not,
  or,
} from '../../src/query/conditions.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import {
  selectByKey,
  selectByKeys,
  selectRelated,
  type LoadStatement,
} from '../../src/query/key-statements.js'
import { belongsTo, hasMany, manyToMany } from '../../src/schema/relations.js'
import { select } from '../../src/query/select.js'
import type { EncodedText } from '../../src/schema/table-column.js'
import { insertRows } from '../../src/query/insert-statements.js'
import { matchReturned } from '../../src/query/returned-rows.js'
import { deleteRows, shortfallOf, updateRows, type WriteStatement } from '../../src/query/write-statements.js'
import { sql, type Condition } from '../../src/sql.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { TextClient } from './schema-support.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: serial().primaryKey(),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: integer('album_id').references('albums.id'),
  live: boolean(),
  updatedAt: timestamptz('updated_at').onUpdate(sql`timestamptz '2026-01-31 12:00Z'`),
}) {
  static readonly relations = {
    album: belongsTo(() => Album, 'albumId'),
    tags: manyToMany(() => Tag, 'song_tags', { orderBy: () => desc(Tag.c.name) }),
  }
}
class Album extends Base.entity('albums', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}
class Tag extends Base.entity('tags', { name: text().primaryKey() }) {}
Base.entity('song_tags', {
  songId: integer('song_id').primaryKey().references('songs.id'),
  tag: text().primaryKey().references('tags.name'),
})

let db: TestDatabase
let client: TextClient
beforeAll(async () => {
  db = await database()
  client = await TextClient.connect(db.url)
  await Base.metadata.createAll(client)
})
afterAll(async () => {
  await client.end()
  await db.drop()
})
beforeEach(async () => {
  await db.query(`
    truncate songs, albums, tags, song_tags restart identity;
    insert into albums (name) values ('Blue'), ('Hejira');
    insert into songs (title, plays, album_id, live) values
      ('Carey', 10, 1, true), ('River', 20, 1, null), ('Coyote', 30, 2, false), ('Urge for Going', 40, null, null);
    insert into tags values ('sea'), ('winter'), ('road');
    insert into song_tags values (1, 'sea'), (1, 'road'), (2, 'winter'), (3, 'road');
  `)
})

const titles = async (
  query: { toEntityQuery(): never } | ReturnType<typeof select<typeof Song>>,
): Promise<string[]> =>
  (await client.items(query as ReturnType<typeof select<typeof Song>>)).map(({ title }) => title)

describe('select', () => {
  test('gives instances of the class', async () => {
    const [carey] = await client.items(select(Song).where(eq(Song.c.title, 'Carey')))
    expect(carey).toBeInstanceOf(Song)
    expect({ ...carey }).toEqual({
      id: 1,
      title: 'Carey',
      plays: 10,
      albumId: 1,
      live: true,
      updatedAt: null,
    })
  })

  test.each<[string, Condition, string]>([
    ['eq', eq(Song.c.plays, 10), 'Carey'],
    ['eq null', eq(Song.c.albumId, null), 'Urge for Going'],
    ['eq column', eq(Song.c.id, Song.c.albumId), 'Carey'],
    ['eq SQL', eq(Song.c.title, sql`initcap(${'river'})`), 'River'],
    ['ne', ne(Song.c.albumId, 1), 'Coyote'],
    ['ne null', and(ne(Song.c.live, null), ne(Song.c.live, true)), 'Coyote'],
    ['gt', gt(Song.c.plays, 30), 'Urge for Going'],
    ['gte', conditions.gte(Song.c.plays, 40), 'Urge for Going'],
    ['lt', conditions.lt(Song.c.plays, 20), 'Carey'],
    ['lte', conditions.lte(Song.c.plays, 10), 'Carey'],
    ['between', between(Song.c.plays, 15, 20), 'River'],
    ['inArray', inArray(Song.c.title, ['River', "'; drop table songs; --"]), 'River'],
    ['inArray of nothing', inArray(Song.c.title, []), ''],
    ['like', like(Song.c.title, 'C_r%'), 'Carey'],
    ['ilike', conditions.ilike(Song.c.title, 'c_r%'), 'Carey'],
    ['isNull', isNull(Song.c.albumId), 'Urge for Going'],
    ['and, or, not', and(or(eq(Song.c.id, 1), eq(Song.c.id, 2)), not(eq(Song.c.live, true))), ''],
    ['or before and', or(and(eq(Song.c.id, 1), eq(Song.c.id, 2)), eq(Song.c.id, 3)), 'Coyote'],
    ['a fragment', sql`length(${Song.c.title}) = ${5} and ${Song.c.plays} < ${15}`, 'Carey'],
    ['and of nothing', and(), 'Carey,River,Coyote,Urge for Going'],
    ['or of nothing', or(), ''],
  ])('where %s', async (_name, condition, expected) => {
    expect((await titles(select(Song).where(condition).orderBy(Song.c.id))).join()).toBe(expected)
  })

  test('orders, limits, skips', async () => {
    expect(await titles(select(Song).orderBy(desc(Song.c.plays)).limit(2).offset(1))).toEqual([
      'Coyote',
      'River',
    ])
    const byAlbum = select(Song).orderBy(asc(Song.c.albumId, { nulls: 'first' }), desc(Song.c.title))
    expect(await titles(byAlbum)).toEqual(['Urge for Going', 'River', 'Carey', 'Coyote'])
    expect(await titles(select(Song).limit(0))).toEqual([])
  })

  test('gives records of some columns, each once if wanted', async () => {
    const query = select(Song).columns('albumId', 'live')
    expect(await client.items(query.where(eq(Song.c.albumId, 1)).orderBy(Song.c.id))).toEqual([
      { albumId: 1, live: true },
      { albumId: 1, live: null },
    ])
    expect(await client.items(select(Song).columns('albumId').distinct().orderBy(Song.c.albumId))).toEqual([
      { albumId: 1 },
      { albumId: 2 },
      { albumId: null },
    ])
  })

  test('counts, with limit and distinct respected', async () => {
    const count = async (query: {
      count(): ReturnType<ReturnType<typeof select>['count']>
    }): Promise<number[]> => client.items(query.count())
    expect(await count(select(Song))).toEqual([4])
    expect(await count(select(Song).where(gt(Song.c.plays, 10)).orderBy(Song.c.plays))).toEqual([3])
    expect(await count(select(Song).limit(3))).toEqual([3])
    expect(await count(select(Song).columns('albumId').distinct())).toEqual([3])
  })

  test('tells whether there is a row, as a statement and as a condition', async () => {
    expect(await client.items(select(Song).where(eq(Song.c.title, 'Carey')).exists())).toEqual([true])
    expect(await client.items(select(Song).where(eq(Song.c.title, 'Help')).exists())).toEqual([false])
    const popular = select(Song).where(eq(Song.c.albumId, Album.c.id), gt(Song.c.plays, 25))
    const albums = await client.items(select(Album).where(ne(Album.c.name, 'x'), popular.exists()))
    expect(albums.map(({ name }) => name)).toEqual(['Hejira'])
  })

  test('locks rows, leaving out locked ones or failing', async () => {
    const other = await TextClient.connect(db.url)
    try {
      await other.executeScript('begin')
      await other.items(select(Song).where(eq(Song.c.id, 1)).forUpdate())
      expect(await titles(select(Song).orderBy(Song.c.id).limit(1).forUpdate({ skipLocked: true }))).toEqual([
        'River',
      ])
      await expect(titles(select(Song).forUpdate({ noWait: true }))).rejects.toMatchObject({ code: '55P03' })
    } finally {
      await other.end()
    }
    expect(() => select(Song).forUpdate({ noWait: true, skipLocked: true })).toThrow('not both')
  })

  test('takes its rows from any statement', async () => {
    const kysely = new Kysely<{ songs: { id: number; title: string } }>({
      dialect: {
        createAdapter: () => new PostgresAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new PostgresIntrospector(db),
        createQueryCompiler: () => new PostgresQueryCompiler(),
      },
    })
    const over = gt(Song.c.plays, 15)
    expect(
      await titles(
        select(Song)
          .from(sql`select * from songs where plays < ${35}`)
          .where(over),
      ),
    ).toEqual(['River', 'Coyote'])
    const raw = `select *, '$1' as "$9" from songs /* $7 */ where plays < $2 and title <> $1; -- $8`
    expect(await titles(select(Song).from(raw.replace('; --', ' --'), ['River', 35]).where(over))).toEqual([
      'Coyote',
    ])
    expect(await titles(select(Song).from('select * from songs where id = 1;'))).toEqual(['Carey'])
    const built = kysely.selectFrom('songs').selectAll().where('title', '=', 'River')
    expect(await titles(select(Song).from(built).where(over).limit(5))).toEqual(['River'])
    const changed = sql`update songs set plays = 99 where id = ${2} returning *`
    expect(await titles(select(Song).from(changed).where(eq(Song.c.plays, 99)))).toEqual(['River'])
    expect(await client.items(select(Song).from('select * from songs where id < $1', [3]).count())).toEqual([
      2,
    ])
    const nested = select(Song)
      .from('select * from songs where id < $1', [3])
      .where(eq(Song.c.albumId, Album.c.id))
    expect(
      await client.items(select(Album).where(eq(Album.c.name, 'Blue'), nested.exists()).count()),
    ).toEqual([1])
    expect(() => select(Song).from('select $2', [1])).toThrow('placeholder $2 and 1 values')
    expect(() => select(Song).from('select 1').forUpdate()).toThrow('cannot be combined with from')
  })

  test('never changes: every method gives a new one', () => {
    const all = select(Song)
    all.where(eq(Song.c.id, 1)).limit(1).orderBy(Song.c.id).columns('id')
    expect(all.toEntityQuery().text).toBe(select(Song).toEntityQuery().text)
  })

  test('refuses what would silently match everything or nothing', () => {
    expect(() => select(Song).where(undefined as never)).toThrow('A condition is made by')
    expect(() => eq(Song.c.title, undefined as never)).toThrow('songs.title is undefined')
    expect(() => inArray(Song.c.albumId, [null as never])).toThrow('holds null: use isNull')
    expect(() => select(Song).limit(-1)).toThrow('limit must be a whole number')
    expect(() => eq(Song.c.title, 'a\0')).toThrow('cannot hold a NUL character')
    expect(() => like(Song.c.title, 'a\0')).toThrow('without NUL')
    expect(() => select(Song).load('album').columns('id')).toThrow('Relations can be loaded with entities')
    expect(() => select(Song).load('albun' as 'album')).toThrow("songs has no relation 'albun'")
  })
})

describe('update and deleteFrom', () => {
  test('change many rows, keep onUpdate columns, and give what was changed', async () => {
    const changed = await client.items(
      update(Song)
        .set({ plays: sql`${Song.c.plays} + ${5}`, live: undefined })
        .set({ title: "O'Carey" })
        .where(eq(Song.c.id, 1))
        .returning(),
    )
    expect(changed).toEqual([
      new Song({
        id: 1,
        title: "O'Carey",
        plays: 15,
        albumId: 1,
        live: true,
        updatedAt: new Date('2026-01-31T12:00:00Z'),
      }),
    ])
    expect(await client.items(update(Song).set({ live: null }).returning('id'))).toHaveLength(4)
    expect(
      await client.items(
        update(Song).set({ updatedAt: null }).where(eq(Song.c.id, 1)).returning('updatedAt'),
      ),
    ).toEqual([{ updatedAt: null }])
    expect(() => update(Song).set({}).toEntityQuery()).toThrow('The update of songs sets nothing')
  })

  test('raise the version, so that sessions notice', async () => {
    const Versioned = declarativeBase().entity('versioned', {
      id: serial().primaryKey(),
      version: version(),
      n: integer(),
    })
    expect(update(Versioned).set({ n: 1 }).toEntityQuery().text).toBe(
      'update "versioned" set "n" = $1, "version" = "versioned"."version" + 1',
    )
  })

  test('delete', async () => {
    await db.query('truncate song_tags')
    expect(await client.items(deleteFrom(Song).where(gt(Song.c.plays, 25)).returning('title'))).toEqual([
      { title: 'Coyote' },
      { title: 'Urge for Going' },
    ])
    expect(await client.count(deleteFrom(Song).toEntityQuery())).toBe(2)
  })
})

describe('loading by key', () => {
  const sorted = async (statement: LoadStatement): Promise<EncodedText[][]> =>
    (await client.rows(statement)).sort()

  test('one and many', async () => {
    const { table } = metaOf(Song)
    expect((await client.rows(selectByKey(table, ['2']))).map((row) => row[1])).toEqual(['River'])
    expect((await client.rows(selectByKey(table, ['2'], ' for update'))).length).toBe(1)
    expect((await client.rows(selectByKeys(table, [['2'], ['3'], ['99']]))).map((row) => row[1])).toEqual([
      'River',
      'Coyote',
    ])
    const links = Base.metadata.tables.find(({ name }) => name === 'song_tags')
    if (links === undefined) throw new Error('no such table')
    expect(
      await sorted(
        selectByKeys(links, [
          ['1', 'sea'],
          ['3', 'road'],
          ['3', 'sea'],
        ]),
      ),
    ).toEqual([
      ['1', 'sea'],
      ['3', 'road'],
    ])
  })

  test('relations, each row with the key of its owner', async () => {
    const related = async (entity: typeof Song | typeof Album, name: string, owners: EncodedText[][]) => {
      const relation = metaOf(entity).relations.get(name)
      if (relation === undefined) throw new Error('no such relation')
      const statement = selectRelated(relation, owners)
      const rows = await client.rows(statement)
      return rows.map(
        (row) => `${row.slice(0, statement.ownerColumns).join()}: ${row[statement.ownerColumns]}`,
      )
    }
    expect(await related(Song, 'album', [['2'], ['1']])).toEqual(['1: 1', '2: 2'])
    expect(await related(Album, 'songs', [['1'], ['2']])).toEqual(['1: 1', '1: 2', '2: 3'])
    const tags = await related(Song, 'tags', [['1'], ['2'], ['3']])
    expect(tags.map((tag) => tag.slice(3))).toEqual(['winter', 'sea', 'road', 'road'])
    expect(tags.sort()).toEqual(['1: road', '1: sea', '2: winter', '3: road'])
  })
})

describe('writing rows', () => {
  /** Everything that PostgreSQL can fill in, composite keys, versions. */
  const Wide = declarativeBase()
  const Serial = Wide.entity('serials', {
    id: serial().primaryKey(),
    name: text(),
    tags: text().array(),
    data: jsonb(),
    at: timestamptz()
      .notNull()
      .serverDefault(sql`now()`),
    upper: text().generated(sql`upper(name)`),
  })
  const Generated = Wide.entity('generateds', {
    id: uuid()
      .primaryKey()
      .serverDefault(sql`gen_random_uuid()`),
    part: integer().primaryKey(),
    name: text(),
  })
  const Client = Wide.entity('clients', {
    a: numeric().primaryKey(),
    b: text('a"b').primaryKey(),
    name: text(),
    n: integer()
      .onUpdate(sql`n + 1`)
      .notNull()
      .serverDefault(sql`7`),
    version: version(),
  })
  beforeAll(async () => {
    await Wide.metadata.createAll(client)
  })

  async function write(statement: WriteStatement, count: number): Promise<EncodedText[][]> {
    // Read as texts.
    const rows = matchReturned(statement, await client.rows(statement), count) as EncodedText[][] | undefined
    return (rows ?? []).map((row) => row.slice(0, statement.returning.length))
  }

  test('gives a row what PostgreSQL filled in, whatever the number of rows', async () => {
    const { table } = metaOf(Serial)
    const name = table.column('name')
    for (const count of [1, 2, 500]) {
      const names = Array.from({ length: count }, (_, index) => `${count}, "${index}"`)
      const statement = insertRows(
        table,
        [name],
        names.map((value) => [value]),
      )
      const returned = await write(statement, count)
      expect(statement.returning.map(({ name: column }) => column)).toEqual(['id', 'at', 'upper'])
      expect(returned.map((row) => row?.[2])).toEqual(names.map((value) => value.toUpperCase()))
      const ids = returned.map((row) => row?.[0] ?? null)
      const stored = await client.rows(
        selectByKeys(
          table,
          ids.map((id) => [id]),
        ),
      )
      expect(new Map(stored.map((row) => [row[0], row[1]]))).toEqual(
        new Map(ids.map((id, index) => [id, names[index]])),
      )
    }
    expect(insertRows(table, [name], [['a'], ['b']]).text).toBe(
      insertRows(table, [name], [['a'], ['b'], ['c']]).text,
    )
  })

  test('gives serial keys in the order of the rows, and the sequence goes on after them', async () => {
    const { table } = metaOf(Serial)
    const returned = await write(insertRows(table, [table.column('name')], [['x'], ['y'], ['z']]), 3)
    const ids = returned.map((row) => Number(row?.[0]))
    expect([ids[1], ids[2]]).toEqual([Number(ids[0]) + 1, Number(ids[0]) + 2])
    const [next] = await write(insertRows(table, [], [[]]), 1)
    expect(Number(next?.[0])).toBe(Number(ids[2]) + 1)
  })

  test('takes keys from an identity column too', async () => {
    const Identity = declarativeBase().entity('identities', { id: serial().primaryKey(), name: text() })
    await db.query('create table identities (id int generated always as identity primary key, name text)')
    const { table } = metaOf(Identity)
    const rows = [['a'], ['b']]
    const returned = await write(insertRows(table, [table.column('name')], rows), 2)
    expect(returned).toEqual([['1'], ['2']])
  })

  test('takes rows without any column', async () => {
    const { table } = metaOf(Serial)
    const returned = await write(insertRows(table, [], [[], [], []]), 3)
    expect(new Set(returned.map((row) => row?.[0])).size).toBe(3)
  })

  test('matches by key where the client gives it, and where PostgreSQL makes part of it', async () => {
    const clients = metaOf(Client).table
    const given = [clients.column('a'), clients.column('b'), clients.column('name')]
    const rows = Array.from({ length: 50 }, (_, index) => [`${index}.0`, `k'${index % 7}`, `${index}`])
    const returned = await write(insertRows(clients, given, rows), 50)
    expect(returned.map((row) => row?.join())).toEqual(rows.map(() => '7'))
    const generated = metaOf(Generated).table
    const parts = [generated.column('part'), generated.column('name')]
    const made = await write(
      insertRows(generated, parts, [
        ['1', 'x'],
        ['1', 'y'],
        ['2', 'z'],
      ]),
      3,
    )
    const stored = await client.rows({ text: 'select id, name from generateds', values: [] })
    expect(Object.fromEntries(stored.map(([id, name]) => [name, id]))).toEqual({
      x: made[0]?.[0],
      y: made[1]?.[0],
      z: made[2]?.[0],
    })
  })

  test('carries arrays and documents through unnest', async () => {
    const { table } = metaOf(Serial)
    const columns = [table.column('tags'), table.column('data')]
    const rows = [
      ['{"a,b",NULL,"\\""}', '{"x": "\\""}'],
      ['{}', null],
      [null, '[1]'],
    ]
    const returned = await write(insertRows(table, columns, rows), 3)
    const ids = returned.map((row) => [row?.[0] ?? null])
    const stored = await client.rows(selectByKeys(table, ids))
    expect(stored.map((row) => row.slice(2, 4))).toEqual([
      ['{"a,b",NULL,"\\""}', '{"x": "\\""}'],
      ['{}', null],
      [null, '[1]'],
    ])
    const changed = ids.map((key, index) => ({ key: key, values: [`{${index}}`] }))
    expect(await client.count(updateRows(table, [table.column('tags')], changed))).toBe(3)
    expect((await client.rows(selectByKeys(table, ids))).map((row) => row[2]).sort()).toEqual([
      '{0}',
      '{1}',
      '{2}',
    ])
  })

  test('brings any text back as it was, alone, in bulk and in arrays', async () => {
    const { table } = metaOf(Serial)
    const [name, tags, data] = [table.column('name'), table.column('tags'), table.column('data')]
    const any = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'))
    const values = fc.record({ name: any, tags: fc.array(any), data: fc.dictionary(any, fc.array(any)) })
    await fc.assert(
      fc.asyncProperty(fc.array(values, { minLength: 1, maxLength: 5 }), async (given) => {
        const rows = given.map((row) => [name.encode(row.name), tags.encode(row.tags), data.encode(row.data)])
        const returned = await write(insertRows(table, [name, tags, data], rows), rows.length)
        const ids = returned.map((row) => Number(row?.[0]))
        const stored = await client.items(
          select(Serial).where(inArray(Serial.c.id, ids)).orderBy(Serial.c.id),
        )
        expect(stored.map((row) => ({ name: row.name, tags: row.tags, data: row.data }))).toEqual(given)
        const [first] = given
        const same = select(Serial).where(eq(Serial.c.name, first?.name ?? null), inArray(Serial.c.id, ids))
        expect((await client.items(same)).length).toBeGreaterThan(0)
      }),
      { numRuns: 60 },
    )
  })

  test('updates rows by key and version, all or none, and tells what PostgreSQL changed', async () => {
    await db.query('truncate clients')
    const { table } = metaOf(Client)
    await client.run(
      insertRows(
        table,
        [table.column('a'), table.column('b')],
        [
          ['1', 'x'],
          ['2', 'y'],
          ['3', 'z'],
        ],
      ),
    )
    const columns = [table.column('name'), table.column('a')]
    const rows = [
      { key: ['2', 'y'], version: '1', values: ['two', '20'] },
      { key: ['1', 'x'], version: '1', values: ['one', '10'] },
    ]
    const stale = { key: ['3', 'z'], version: '5', values: ['three', '30'] }
    await expect(write(updateRows(table, columns, [...rows, stale]), 3)).rejects.toSatisfy(
      ({ message }: Error) => shortfallOf(message)?.rows === '2 of 3 rows of clients',
    )
    await expect(write(updateRows(table, columns, [stale]), 1)).rejects.toSatisfy(
      ({ message }: Error) => shortfallOf(message)?.rows === '0 of 1 rows of clients',
    )
    expect(await write(updateRows(table, columns, rows), 2)).toEqual([['8'], ['8']])
    const [one] = await write(
      updateRows(table, columns, [{ key: ['20', 'y'], version: '2', values: ['zwei', '2'] }]),
      1,
    )
    expect(one).toEqual(['9'])
    expect(
      await client.rows({ text: 'select a, name, version from clients order by a', values: [] }),
    ).toEqual([
      ['2', 'zwei', '3'],
      ['3', null, '1'],
      ['10', 'one', '2'],
    ])
    expect(await client.count(updateRows(table, [], [{ key: ['3', 'z'], version: '1', values: [] }]))).toBe(1)
  })

  test('deletes rows by key, and with a version() only if all versions match', async () => {
    await db.query('truncate clients; truncate serials restart identity')
    const clients = metaOf(Client).table
    await client.run(
      insertRows(
        clients,
        [clients.column('a'), clients.column('b')],
        [
          ['1', 'x'],
          ['2', 'y'],
          ['3', 'z'],
        ],
      ),
    )
    const row = { key: ['1', 'x'], version: '1' }
    const stale = { key: ['2', 'y'], version: '2' }
    await expect(client.run(deleteRows(clients, [row, stale]))).rejects.toSatisfy(
      ({ message }: Error) => shortfallOf(message)?.rows === '1 of 2 rows of clients',
    )
    await client.run(deleteRows(clients, [row]))
    expect(await client.rows({ text: 'select a from clients order by a', values: [] })).toEqual([
      ['2'],
      ['3'],
    ])
    const serials = metaOf(Serial).table
    await client.run(insertRows(serials, [], [[], [], []]))
    expect(await client.count(deleteRows(serials, [{ key: ['1'] }, { key: ['3'] }, { key: ['9'] }]))).toBe(2)
  })

  test('stores 100,000 rows in one statement', async () => {
    await db.query('truncate serials restart identity')
    const { table } = metaOf(Serial)
    const count = 100_000
    const rows = Array.from({ length: count }, (_, index) => [`name ${index}`, '{}'])
    const returned = await write(insertRows(table, [table.column('name'), table.column('tags')], rows), count)
    expect(returned[99_999]).toEqual(['100000', expect.any(String), 'NAME 99999'])
    const changed = rows.map((_, index) => ({ key: [`${index + 1}`], values: ['x'] }))
    expect(await client.count(updateRows(table, [table.column('name')], changed))).toBe(count)
    expect(await client.count(deleteRows(table, changed))).toBe(count)
  })
})
