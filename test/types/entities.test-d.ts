/** Entities in sessions: what flows through queries, loading and hooks, and what must not compile. */
import { randomUUID } from 'node:crypto'
import { describe, expectTypeOf, test } from 'vitest'
import {
  belongsTo,
  build,
  createSessionFactory,
  declarativeBase,
  deleteFrom,
  eq,
  hasMany,
  insert,
  integer,
  manyToMany,
  select,
  serial,
  Session,
  sql,
  text,
  timestamptz,
  update,
  uuid,
  version,
} from '../../src/index.js'
import type {
  ValueStatement,
  BelongsTo,
  BuildValues,
  Cascade,
  CollectionName,
  CollectionOptions,
  Column,
  ColumnName,
  ColumnRef,
  ColumnRefs,
  ColumnsOf,
  Condition,
  ConflictChanges,
  Connection,
  DeclarativeBase,
  DdlOptions,
  Engine,
  EntityHooks,
  EntityOptions,
  EntitySession,
  FilterOptions,
  Filters,
  Exists,
  GetOptions,
  HasMany,
  IndexOptions,
  Insert,
  InstanceOf,
  DeferredName,
  Loaded,
  LoadedPart,
  LoadOptions,
  LockOptions,
  ManyToMany,
  NamingStrategy,
  Operand,
  OrderOptions,
  Picked,
  ReferenceRules,
  RefreshOptions,
  RelationName,
  RelationPath,
  Result,
  ResultStream,
  Row,
  ScriptRunner,
  Select,
  SessionEvent,
  SqlFragment,
  Update,
  WithRelations,
} from '../../src/index.js'

const Base = declarativeBase()

class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' }),
  createdAt: timestamptz('created_at')
    .notNull()
    .serverDefault(sql`now()`),
  length: integer()
    .notNull()
    .generated(sql`char_length(title)`),
  version: version(),
}) {
  static readonly relations = {
    album: belongsTo(() => Album, 'albumId'),
    tags: manyToMany(() => Tag, 'song_tags'),
  }
  static readonly hooks: EntityHooks<Song> = {
    beforeInsert: (song) => {
      song.title = song.title.trim()
    },
    afterLoad: (song) => expectTypeOf(song).toEqualTypeOf<Song>(),
  }
  get popular(): boolean {
    return this.plays > 1000
  }
}
class Album extends Base.entity('albums', {
  id: uuid().primaryKey().default(randomUUID),
  name: text().notNull(),
}) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}
class Tag extends Base.entity('tags', { id: serial().primaryKey(), name: text().notNull() }) {}
class SongTag extends Base.entity('song_tags', {
  songId: uuid().primaryKey().references('songs.id'),
  tagId: integer().primaryKey().references('tags.id'),
}) {}

declare const session: Session
declare const connection: Connection
declare const engine: Engine

describe('the shapes of an entity', () => {
  test('a new object brings exactly the columns without default', () => {
    expectTypeOf<{ title: string }>().toExtend<Insert<typeof Song>>()
    expectTypeOf<Pick<Insert<typeof Song>, 'title'>>().toEqualTypeOf<{ title: string }>()
    expectTypeOf<keyof Insert<typeof Song>>().toEqualTypeOf<
      'id' | 'title' | 'plays' | 'albumId' | 'createdAt' | 'version'
    >()
    expectTypeOf<{ title?: string }>().not.toExtend<Insert<typeof Song>>()
    expectTypeOf<{ title: string; plays: string }>().not.toExtend<Insert<typeof Song>>()
    expectTypeOf(Song).toBeConstructibleWith({ title: 'x' })
    expectTypeOf(Tag).toBeConstructibleWith({ name: 'x', id: 1 })
    // @ts-expect-error the title is missing
    new Song({})
    // @ts-expect-error computed by PostgreSQL
    new Song({ title: 'x', length: 1 })
    // @ts-expect-error a relation is no column: see build
    new Song({ title: 'x', album: null })
  })

  test('its row is what its instances are without their methods', () => {
    expectTypeOf<Row<typeof Tag>>().toEqualTypeOf<{ id: number; name: string }>()
    expectTypeOf<Song>().toExtend<Row<typeof Song>>()
    expectTypeOf<Row<typeof Song>>().not.toHaveProperty('popular')
    expectTypeOf<InstanceOf<typeof Song>>().toEqualTypeOf<Song>()
    expectTypeOf<ColumnName<typeof Tag>>().toEqualTypeOf<'id' | 'name'>()
    expectTypeOf<ColumnsOf<typeof Tag>['name']>().toEqualTypeOf<Column<string>>()
    expectTypeOf<ColumnRefs<ColumnsOf<typeof Tag>>>().toEqualTypeOf<{
      readonly id: ColumnRef<number>
      readonly name: ColumnRef<string>
    }>()
    expectTypeOf(Song.c.albumId).toEqualTypeOf<ColumnRef<string | null>>()
  })

  test('an update takes any of its columns, as values or SQL', () => {
    expectTypeOf<Update<typeof Tag>>().toEqualTypeOf<{
      id?: number | SqlFragment<unknown> | undefined
      name?: string | SqlFragment<unknown> | undefined
    }>()
    expectTypeOf<Update<typeof Song>>().not.toHaveProperty('length')
  })

  test('build takes relations instead of their keys', () => {
    expectTypeOf<BuildValues<typeof Song>['album']>().toEqualTypeOf<Album | null | undefined>()
    expectTypeOf(build(Song, { title: 'x' })).toEqualTypeOf<WithRelations<typeof Song>>()
    expectTypeOf<WithRelations<typeof Song>>().toExtend<Song>()
    // @ts-expect-error the title is missing
    build(Song, { album: null })
    // @ts-expect-error not an album
    build(Song, { title: 'x', album: new Tag({ name: 'x' }) })
  })

  test('does not demand the keys of foreign keys of several columns, which the other side sets', () => {
    class Order extends Base.entity('type_orders', {
      tenantId: integer().primaryKey(),
      id: integer().primaryKey(),
    }) {
      static readonly relations = { lines: hasMany(() => Line, ['tenantId', 'orderId']) }
    }
    class Line extends Base.entity(
      'type_lines',
      {
        tenantId: integer().primaryKey(),
        orderId: integer().primaryKey(),
        no: integer().primaryKey(),
      },
      {
        foreignKeys: [
          { columns: ['tenantId', 'orderId'], references: ['type_orders.tenantId', 'type_orders.id'] },
        ],
      },
    ) {}
    build(Order, { tenantId: 1, id: 2, lines: [build(Line, { no: 1 })] })
    build(Line, { no: 1, tenantId: 1 })
    // @ts-expect-error no is no part of it
    build(Line, { tenantId: 1, orderId: 2 })
    build(Order, { tenantId: 1, id: 2, lines: [new Line({ no: 1 })] })
    // @ts-expect-error no is no part of the foreign key
    new Line({ tenantId: 1, orderId: 2 })
    // @ts-expect-error a statement takes nothing of relations
    insert(Line).values({ no: 1 })
    const id = integer().primaryKey()
    // @ts-expect-error no column
    void (() => Base.entity('wrong', { id }, { foreignKeys: [{ columns: ['x'], references: ['a.b'] }] }))
  })

  test('build leaves out the foreign keys that the relations of others set', () => {
    class Crate extends Base.entity('crates', { id: serial().primaryKey() }) {
      static readonly relations = { labels: hasMany(() => Label, 'crateId') }
    }
    class Label extends Base.entity('labels', {
      id: serial().primaryKey(),
      text: text().notNull(),
      crateId: integer('crate_id').notNull().references('crates.id'),
    }) {}
    build(Crate, { labels: [build(Label, { text: 'x' })] })
    build(Label, { text: 'x', crateId: 1 })
    // @ts-expect-error the text is missing
    build(Label, {})
    // The constructor, too: `crate.labels.push(new Label({ text }))` sets the key.
    build(Crate, { labels: [new Label({ text: 'x' })] })
    // @ts-expect-error the text is missing
    void new Label({ crateId: 1 })
    // @ts-expect-error a statement takes nothing of relations
    insert(Label).values({ text: 'x' })
  })

  test('its relations are known by name and path', () => {
    expectTypeOf<RelationName<typeof Song>>().toEqualTypeOf<'album' | 'tags'>()
    expectTypeOf<RelationPath<typeof Song, 'album.songs'>>().toEqualTypeOf<'album.songs'>()
    expectTypeOf<RelationPath<typeof Song, 'albums'>>().toEqualTypeOf<'album' | 'tags'>()
    expectTypeOf(Song.relations.album).toEqualTypeOf<BelongsTo<typeof Album, 'albumId'>>()
    expectTypeOf(Song.relations.tags).toEqualTypeOf<ManyToMany<typeof Tag>>()
    expectTypeOf(Album.relations.songs).toEqualTypeOf<HasMany<typeof Song>>()
    expectTypeOf<CollectionOptions['cascade']>().toEqualTypeOf<readonly Cascade[] | undefined>()
  })

  test('its options name its columns', () => {
    expectTypeOf(Base).toEqualTypeOf<DeclarativeBase>()
    expectTypeOf<{ unique: [['name']] }>().toExtend<EntityOptions<'id' | 'name'>>()
    expectTypeOf<{ columns: ['nam'] }>().not.toExtend<IndexOptions<'id' | 'name'>>()
    expectTypeOf<ReferenceRules['onDelete']>().toEqualTypeOf<
      'no action' | 'restrict' | 'cascade' | 'set null' | 'set default' | undefined
    >()
    // @ts-expect-error no such rule
    uuid().references('albums.id', { onDelete: 'delete' })
    // @ts-expect-error the default is of another type
    text().default(7)
  })
})

describe('queries', () => {
  const songs = select(Song).where(eq(Song.c.title, 'x'))

  test('of entities give entities, as rows and as scalars', async () => {
    expectTypeOf(songs).toEqualTypeOf<Select<typeof Song>>()
    const result = await session.execute(songs)
    expectTypeOf(result).toEqualTypeOf<Result<Song, Song>>()
    expectTypeOf(result.all()).toEqualTypeOf<Song[]>()
    expectTypeOf(result.one()).toEqualTypeOf<Song>()
    expectTypeOf(result.scalars()).toEqualTypeOf<Song[]>()
    expectTypeOf(result.scalarOneOrNone()).toEqualTypeOf<Song | null>()
    for (const song of result) expectTypeOf(song.popular).toEqualTypeOf<boolean>()
    expectTypeOf(session.scalar(songs)).resolves.toEqualTypeOf<Song | null>()
    expectTypeOf(session.scalars(songs)).resolves.toEqualTypeOf<Song[]>()
    expectTypeOf(session.stream(songs)).toEqualTypeOf<ResultStream<Song>>()
  })

  test('of columns give records, whose scalars are the first column', () => {
    const titles = select(Song).columns('title')
    expectTypeOf(session.execute(titles)).resolves.toEqualTypeOf<
      Result<Picked<typeof Song, 'title'>, string>
    >()
    expectTypeOf<Picked<typeof Song, 'title' | 'albumId'>>().toEqualTypeOf<{
      title: string
      albumId: string | null
    }>()
    expectTypeOf(session.scalars(titles)).resolves.toEqualTypeOf<string[]>()
    expectTypeOf(session.scalar(select(Song).columns('plays'))).resolves.toEqualTypeOf<number | null>()
    expectTypeOf(session.stream(titles)).toEqualTypeOf<ResultStream<{ title: string }>>()
    expectTypeOf(session.scalars(select(Song).columns('plays', 'title'))).resolves.toEqualTypeOf<number[]>()
    expectTypeOf(
      session.scalars(update(Song).set({ plays: 1 }).returning('id', 'plays')),
    ).resolves.toEqualTypeOf<string[]>()
    const names: ColumnName<typeof Tag>[] = []
    expectTypeOf(session.scalars(select(Tag).columns(...names))).resolves.toEqualTypeOf<(string | number)[]>()
    // @ts-expect-error no such column
    select(Song).columns('name')
  })

  test('count, exists', () => {
    expectTypeOf(session.scalar(songs.count())).resolves.toEqualTypeOf<number>()
    expectTypeOf(session.scalar(songs.exists())).resolves.toEqualTypeOf<boolean>()
    expectTypeOf(songs.exists()).toEqualTypeOf<Exists>()
    expectTypeOf(songs.exists()).toExtend<Condition>()
    expectTypeOf(songs.count()).toEqualTypeOf<ValueStatement<number>>()
  })

  test('that change give what they return', () => {
    const change = update(Song).set({ plays: sql`${Song.c.plays} + 1` })
    expectTypeOf(session.execute(change)).resolves.toEqualTypeOf<Result<never, never>>()
    expectTypeOf(session.execute(change.returning())).resolves.toEqualTypeOf<Result<Song, Song>>()
    expectTypeOf(session.scalars(change.returning())).resolves.toEqualTypeOf<Song[]>()
    expectTypeOf(session.execute(deleteFrom(Song).returning('id', 'plays'))).resolves.toExtend<
      Result<{ id: string; plays: number }, unknown>
    >()
    expectTypeOf(session.scalars(deleteFrom(Song).returning())).resolves.toEqualTypeOf<Song[]>()
    // @ts-expect-error wrong value
    change.set({ title: 7 })
    // @ts-expect-error wrong column
    change.set({ titel: 'x' })
    // @ts-expect-error computed by PostgreSQL
    change.set({ length: 7 })
    // @ts-expect-error no such column
    deleteFrom(Song).returning('titel')
  })

  test('take their rows from statements of yours', () => {
    expectTypeOf(session.scalars(select(Song).from(sql`select * from songs`))).resolves.toEqualTypeOf<
      Song[]
    >()
    expectTypeOf(
      session.scalars(select(Song).from('select * from songs where id = $1', ['x'])),
    ).resolves.toEqualTypeOf<Song[]>()
    // @ts-expect-error no statement
    select(Song).from(Song)
  })

  test('know their options', () => {
    expectTypeOf<Parameters<Select<typeof Song>['forUpdate']>[0]>().toEqualTypeOf<LockOptions | undefined>()
    expectTypeOf<OrderOptions['nulls']>().toEqualTypeOf<'first' | 'last' | undefined>()
    expectTypeOf<Operand<number>>().toEqualTypeOf<number | SqlFragment<unknown>>()
    // @ts-expect-error no such option
    songs.forUpdate({ nowait: true })
    // @ts-expect-error a column of another entity has another type
    eq(Song.c.title, Tag.c)
    // @ts-expect-error an undefined condition would match everything
    songs.where(undefined)
  })
})

describe('loading', () => {
  test('by key gives an instance, or null', () => {
    expectTypeOf(session.get(Song, 'x')).resolves.toEqualTypeOf<Song | null>()
    expectTypeOf(session.getOne(Song, 'x')).resolves.toEqualTypeOf<Song>()
    expectTypeOf(session.get(SongTag, { songId: 'x', tagId: 1 })).resolves.toEqualTypeOf<SongTag | null>()
    expectTypeOf(session.get(Song, 'x', { forUpdate: true })).resolves.toEqualTypeOf<Song | null>()
    expectTypeOf(session.get(Song, 'x', { populateExisting: true })).resolves.toEqualTypeOf<Song | null>()
    // @ts-expect-error the key is a text
    void session.get(Song, 7)
    // @ts-expect-error half a key
    void session.get(SongTag, { songId: 'x' })
    // @ts-expect-error a composite key is an object
    void session.get(SongTag, 'x')
    // @ts-expect-error no such option
    void session.get(Song, 'x', { lock: true })
    // @ts-expect-error no entity
    void session.get(Date, 'x')
  })

  test('has the relations that were named, and no other', async () => {
    const album = await session.getOne(Album, 'x', { load: ['songs', 'songs.tags'] })
    expectTypeOf(album).toEqualTypeOf<Loaded<typeof Album, 'songs' | 'songs.tags'>>()
    expectTypeOf(album.songs[0]?.tags).toEqualTypeOf<Tag[] | undefined>()
    // @ts-expect-error not loaded
    void album.songs[0]?.album
    const bare = await session.getOne(Album, 'x')
    // @ts-expect-error not loaded
    void bare.songs
    // @ts-expect-error no such relation
    void session.get(Album, 'x', { load: ['song'] })
    // @ts-expect-error no such relation further down
    void session.get(Album, 'x', { load: ['songs.tag'] })
    const [loaded] = await session.scalars(select(Song).load('album'))
    expectTypeOf(loaded?.album).toEqualTypeOf<Album | null | undefined>()
    expectTypeOf<GetOptions<'songs', 'body'>['undefer']>().toEqualTypeOf<readonly 'body'[] | undefined>()
    expectTypeOf<GetOptions<'songs'>['load']>().toEqualTypeOf<readonly 'songs'[] | undefined>()
  })

  test('again takes instances, and names of their properties', () => {
    const song = new Song({ title: 'x' })
    expectTypeOf(
      session.refresh(song, { columns: ['plays'], forUpdate: true }),
    ).resolves.toEqualTypeOf<void>()
    expectTypeOf<RefreshOptions<Tag>['columns']>().toEqualTypeOf<readonly ('id' | 'name')[] | undefined>()
    session.expire(song, ['title'])
    const album = {} as Loaded<typeof Album, 'songs'>
    session.expire(album, ['songs'])
    void session.refresh(album, { columns: ['name'], load: ['songs'] })
    // @ts-expect-error no such property
    void session.refresh(song, { columns: ['play'] })
    // @ts-expect-error no such property
    session.expire(song, ['titel'])
    // @ts-expect-error no such option
    void session.refresh(song, { populateExisting: true })
    // @ts-expect-error no object
    void session.refresh('x')
  })
})

describe('deferred columns', () => {
  class Page extends declarativeBase().entity('pages', {
    id: integer().primaryKey(),
    title: text(),
    body: text().notNull().deferred(),
  }) {}
  class Book extends declarativeBase().entity('books', { id: integer().primaryKey() }) {
    static readonly relations = { pages: hasMany(() => Page, 'id') }
  }

  test('are columns, and asked for by their names', () => {
    expectTypeOf<DeferredName<typeof Page>>().toEqualTypeOf<'body'>()
    expectTypeOf<DeferredName<typeof Song>>().toEqualTypeOf<never>()
    expectTypeOf(new Page({ id: 1, body: 'x' }).body).toEqualTypeOf<string>()
    expectTypeOf(session.get(Page, 1, { undefer: ['body'] })).resolves.toEqualTypeOf<Page | null>()
    expectTypeOf(session.scalars(select(Page).undefer('body'))).resolves.toEqualTypeOf<Page[]>()
    void session.refresh(new Page({ id: 1, body: 'x' }), { columns: ['body'] })
    // @ts-expect-error not given
    new Page({ id: 1 })
    // @ts-expect-error not deferred
    select(Page).undefer('title')
    // @ts-expect-error not deferred
    void session.get(Page, 1, { undefer: ['title'] })
    const whole = session.scalars(select(Book).load('pages', { undefer: ['body'] }))
    expectTypeOf(whole).resolves.items.toEqualTypeOf<Book & Loaded<typeof Book, 'pages'>>()
    const part = session.scalars(select(Book).load('pages', { undefer: ['body'], limit: 1 }))
    expectTypeOf(part).resolves.items.toEqualTypeOf<Book & LoadedPart<typeof Book, 'pages'>>()
    // @ts-expect-error not deferred
    select(Book).load('pages', { undefer: ['title'] })
  })
})

describe('the unit of work', () => {
  test('takes and gives objects', () => {
    const song = new Song({ title: 'x' })
    session.add(song)
    session.addAll([song, new Tag({ name: 'x' })])
    session.addAll(new Set([song]))
    expectTypeOf(session.merge(song)).resolves.toEqualTypeOf<Song>()
    expectTypeOf(session.flush()).resolves.toEqualTypeOf<void>()
    expectTypeOf(session.new).toEqualTypeOf<object[]>()
    expectTypeOf(session.dirty).toEqualTypeOf<object[]>()
    expectTypeOf(session.deleted).toEqualTypeOf<object[]>()
    expectTypeOf(session.isModified(song)).toEqualTypeOf<boolean>()
    expectTypeOf(session.contains(song)).toEqualTypeOf<boolean>()
    expectTypeOf(session.noAutoflush(() => session.scalars(select(Song)))).resolves.toEqualTypeOf<Song[]>()
    expectTypeOf(session.noAutoflush(() => 5)).resolves.toEqualTypeOf<number>()
    expectTypeOf<Session>().toExtend<EntitySession>()
    // @ts-expect-error a key is no object
    session.add('x')
    // @ts-expect-error one object is no list
    session.addAll(song)
    // @ts-expect-error a class is constructed first
    session.addAll(Song)
  })

  test('has hooks of entities, which are synchronous', () => {
    expectTypeOf<Parameters<NonNullable<EntityHooks<Song>['beforeUpdate']>>>().toEqualTypeOf<
      [instance: Song]
    >()
    const hooks: EntityHooks<Song> = {
      // @ts-expect-error no such hook
      beforeSave: () => undefined,
    }
    const others: EntityHooks<Song> = {
      // @ts-expect-error its promise would not be awaited
      beforeInsert: async (song) => {
        song.title = await Promise.resolve('late')
      },
      beforeUpdate: (song) => (song.plays += 1),
      beforeDelete: (song) => song,
      afterLoad: (song) => {
        if (song.plays > 1) return
        song.plays = 0
      },
    }
    void [hooks, others]
  })

  test('has hooks of sessions', () => {
    const factory = createSessionFactory({ bind: engine })
    factory.on('beforeFlush', async (each) => {
      expectTypeOf(each).toEqualTypeOf<Session>()
      await each.execute('select 1')
    })
    expectTypeOf<'beforeFlush' | 'afterFlush'>().toExtend<SessionEvent>()
  })
})

describe('repositories', () => {
  class SongRepository {
    constructor(private readonly session: Session) {}
    byTitle(title: string): Promise<Song | null> {
      return this.session.scalar(select(Song).where(eq(Song.c.title, title)))
    }
    add(values: Insert<typeof Song>): Song {
      const song = new Song(values)
      this.session.add(song)
      return song
    }
  }
  class SongsSession extends Session {
    readonly songs: SongRepository = new SongRepository(this)
  }

  test('stand on a session class of your own', () => {
    const { withSession } = createSessionFactory({ bind: engine, sessionClass: SongsSession })
    expectTypeOf(withSession((own) => own.songs.byTitle('x'))).resolves.toEqualTypeOf<Song | null>()
    expectTypeOf(withSession((own) => own.songs.add({ title: 'x' }))).resolves.toEqualTypeOf<Song>()
    // @ts-expect-error the title is missing
    void withSession((own) => own.songs.add({ plays: 1 }))
  })
})

test('the metadata runs on connections and sessions', () => {
  expectTypeOf(Base.metadata.createAll(connection)).resolves.toEqualTypeOf<void>()
  expectTypeOf(Base.metadata.dropAll(session, { checkFirst: false })).resolves.toEqualTypeOf<void>()
  expectTypeOf<Connection>().toExtend<ScriptRunner>()
  expectTypeOf<DdlOptions['checkFirst']>().toEqualTypeOf<boolean | undefined>()
  // @ts-expect-error an engine is no connection: engine.begin((connection) => ...)
  void Base.metadata.createAll(engine)
  // @ts-expect-error no such option
  void Base.metadata.createAll(connection, { checkfirst: false })
})

test('a connection runs queries of columns, and of entities', () => {
  expectTypeOf(connection.scalars(select(Song).columns('title'))).resolves.toEqualTypeOf<string[]>()
})

test('an upsert is as strict as the constructor', () => {
  const rows = insert(Song).values([{ title: 'x' }, { title: 'y', plays: 1 }])
  expectTypeOf(session.scalars(rows.onConflict('id').doUpdate(['plays']).returning())).resolves.toEqualTypeOf<
    Song[]
  >()
  expectTypeOf(
    session.scalars(rows.onConflict().doNothing().returning('title', 'plays')),
  ).resolves.toEqualTypeOf<string[]>()
  rows.onConflict(['id']).doUpdate((excluded) => ({ plays: sql`${Song.c.plays} + ${excluded.plays}` }))
  // @ts-expect-error the title is missing
  insert(Song).values({ plays: 1 })
  // @ts-expect-error no such column
  insert(Song).values({ title: 'x', titel: 'y' })
  // @ts-expect-error another type
  insert(Song).values([{ title: 7 }])
  // @ts-expect-error no such column
  rows.onConflict('titel')
  // @ts-expect-error another type
  rows.onConflict('id').doUpdate({ plays: 'x' })
  // @ts-expect-error no such column
  rows.onConflict('id').doUpdate(['titel'])
  expectTypeOf<readonly ['plays']>().toExtend<ConflictChanges<typeof Song>>()
  expectTypeOf<readonly ['titel']>().not.toExtend<ConflictChanges<typeof Song>>()
  expectTypeOf<'snake_case'>().toExtend<NamingStrategy>()
  expectTypeOf<'camelCase'>().not.toExtend<NamingStrategy>()
  expectTypeOf(select(Song).populateExisting()).toEqualTypeOf(select(Song))
})

test('filters know the columns of their entity', () => {
  Base.entity(
    'x',
    { id: serial().primaryKey(), name: text() },
    { filters: { named: (c) => eq(c.name, 'x') } },
  )
  // @ts-expect-error no such column
  Base.entity('y', { id: serial().primaryKey() }, { filters: { named: (c) => eq(c.nam, 'x') } })
  // @ts-expect-error no condition
  Base.entity('z', { id: serial().primaryKey() }, { filters: { named: () => true } })
  type Own = ColumnsOf<typeof Tag>
  expectTypeOf<FilterOptions<Own>['filters']>().toEqualTypeOf<Filters<Own> | undefined>()
  expectTypeOf(select(Tag).withoutFilters('named')).toEqualTypeOf(select(Tag))
})

test('a part of a relation is a readonly array, of relations to many only', () => {
  const part = session.scalars(select(Album).load('songs', { limit: 1 }))
  expectTypeOf(part).resolves.items.toEqualTypeOf<Album & LoadedPart<typeof Album, 'songs'>>()
  expectTypeOf<LoadedPart<typeof Album, 'songs'>['songs']>().toEqualTypeOf<readonly Song[]>()
  expectTypeOf<CollectionName<typeof Song>>().toEqualTypeOf<'tags'>()
  expectTypeOf<LoadOptions['limit']>().toEqualTypeOf<number | undefined>()
  // @ts-expect-error it leads to one object
  select(Song).load('album', { limit: 1 })
  // @ts-expect-error no such option
  select(Album).load('songs', { limits: 1 })
})
