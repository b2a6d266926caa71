/** Entities by queries: what they give, and what they mean for instances that a session has already. */
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  IllegalStateError,
  InvalidStatementError,
  LockTimeoutError,
  MultipleResultsError,
  NoResultError,
  asc,
  deleteFrom,
  desc,
  eq,
  gt,
  inArray,
  select,
  sql,
  update,
} from '../../src/index.js'
import { Album, Song, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()

beforeEach(() =>
  fixture.db.query("insert into songs (title, plays) values ('Carey', 10), ('River', 20), ('Coyote', 30)"),
)

const kysely = new Kysely<{ songs: { id: number; title: string; plays: number } }>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

describe('select', () => {
  test('gives entities as rows and as scalars, and every kind of result of them', async () => {
    await using session = fixture.factory()()
    const all = select(Song).orderBy(asc(Song.c.id))
    const result = await session.execute(all)
    expect(result.all().map(({ title }) => title)).toEqual(['Carey', 'River', 'Coyote'])
    expect(result.scalars()).toEqual(result.all())
    expect(result.first()).toBe(await session.scalar(all))
    expect([...result]).toEqual(await session.scalars(all))
    const carey = select(Song).where(eq(Song.c.title, 'Carey'))
    expect((await session.execute(carey)).one()).toBeInstanceOf(Song)
    expect((await session.execute(carey)).scalarOneOrNone()).toBe(result.first())
    const none = select(Song).where(eq(Song.c.title, 'none'))
    expect((await session.execute(none)).scalarOneOrNone()).toBeNull()
    expect(await session.scalar(none)).toBeNull()
    expect(() => result.one()).toThrow(MultipleResultsError)
    expect((await session.execute(none)).oneOrNone()).toBeNull()
    expect(await errorOf(session.execute(none).then((found) => found.scalarOne()))).toBeInstanceOf(
      NoResultError,
    )
  })

  test('gives records, values, numbers and truth', async () => {
    await using session = fixture.factory()()
    const popular = select(Song).where(gt(Song.c.plays, 15)).orderBy(desc(Song.c.plays))
    expect((await session.execute(popular.columns('title', 'plays'))).all()).toEqual([
      { title: 'Coyote', plays: 30 },
      { title: 'River', plays: 20 },
    ])
    expect(await session.scalars(popular.columns('title'))).toEqual(['Coyote', 'River'])
    expect(await session.scalar(popular.count())).toBe(2)
    expect(await session.scalar(popular.exists())).toBe(true)
    expect(await session.scalar(select(Album).exists())).toBe(false)
    expect(session.contains((await session.execute(popular.columns('title'))).first() as object)).toBe(false)
  })

  test('streams entities, each row its instance, until the reader leaves', async () => {
    await using session = fixture.factory()()
    const first = await session.getOne(Song, 1)
    const titles: string[] = []
    for await (const song of session.stream(select(Song).orderBy(asc(Song.c.id)), { batchSize: 1 })) {
      if (song.id === 1) expect(song).toBe(first)
      song.plays++
      titles.push(song.title)
      if (titles.length === 2) break
    }
    expect([titles, session.dirty.length]).toEqual([['Carey', 'River'], 2])
    await session.commit()
    expect(await session.scalars(select(Song).columns('plays').orderBy(asc(Song.c.id)))).toEqual([11, 21, 30])
  })

  test('takes rows from SQL and from Kysely', async () => {
    await using session = fixture.factory()()
    const carey = await session.getOne(Song, 1)
    const raw = select(Song).from(sql`select * from songs where title like ${'C%'}`)
    expect((await session.scalars(raw.orderBy(asc(Song.c.id)))).map(({ title }) => title)).toEqual([
      'Carey',
      'Coyote',
    ])
    const built = kysely.selectFrom('songs').selectAll().where('plays', '<', 15)
    expect(await session.scalars(select(Song).from(built))).toEqual([carey])
    expect((await session.scalars(select(Song).from(built)))[0]).toBe(carey)
    expect(await session.scalar(select(Song).from(built).count())).toBe(1)
    expect((await errorOf(session.scalars(select(Song).from('select id from songs')))).message).toContain(
      'title',
    )
  })

  test('needs a session for entities, not for values', async () => {
    const engine = fixture.engine()
    await engine.begin(async (connection) => {
      expect(await connection.scalar(select(Song).count())).toBe(3)
      expect(await connection.scalars(select(Song).columns('title').limit(1))).toHaveLength(1)
      expect((await connection.execute(deleteFrom(Song))).rowCount).toBe(3)
      const error = await errorOf(connection.scalars(select(Song)))
      expect(error).toBeInstanceOf(InvalidStatementError)
    })
  })
})

describe('rows of instances that are here', () => {
  test('bring no news, unless they were locked or changed by the statement', async () => {
    await using session = fixture.factory()()
    const [carey, river] = (await session.scalars(select(Song).orderBy(asc(Song.c.id)))) as [Song, Song]
    await fixture.db.query("update songs set title = 'new', plays = 99")
    await session.scalars(select(Song))
    expect([carey.title, carey.plays]).toEqual(['Carey', 10])
    carey.plays = 5
    const locked = await session.noAutoflush(() =>
      session.scalars(select(Song).where(eq(Song.c.id, 1)).forUpdate()),
    )
    expect(locked[0]).toBe(carey)
    expect([carey.title, carey.plays, session.dirty]).toEqual(['new', 5, [carey]])
    await session.getOne(Song, 2, { forUpdate: true })
    expect([river.title, river.plays]).toEqual(['new', 99])
  })

  test('are overwritten by populateExisting', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const carey = await session.getOne(Song, 1)
    carey.title = 'mine'
    expect(await session.get(Song, 1, { populateExisting: true })).toBe(carey)
    expect([carey.title, session.dirty]).toEqual(['Carey', []])
  })

  test('are updated by the rows of update(), and expunged by the rows of deleteFrom()', async () => {
    await using session = fixture.factory()()
    const songs = await session.scalars(select(Song).orderBy(asc(Song.c.id)))
    const [carey, river] = songs as [Song, Song]
    const updated = await session.execute(
      update(Song)
        .set({ plays: sql`${Song.c.plays} + 1` })
        .where(inArray(Song.c.id, [1, 2]))
        .returning(),
    )
    expect([updated.rowCount, carey.plays, river.plays]).toEqual([2, 11, 21])
    expect(session.dirty).toEqual([])
    const gone = await session.scalars(deleteFrom(Song).where(eq(Song.c.id, 1)).returning())
    expect(gone.map(({ id, title }) => [id, title])).toEqual([[1, 'Carey']])
    expect(gone.map(statusOf)).toEqual(['detached'])
    expect(await session.scalar(deleteFrom(Song).where(eq(Song.c.id, 2)).returning('title'))).toBe('River')
  })

  test('that a statement without returning has changed stay as they were, until they are refreshed', async () => {
    await using session = fixture.factory()()
    const carey = await session.getOne(Song, 1)
    expect((await session.execute(update(Song).set({ plays: 0 }))).rowCount).toBe(3)
    expect(carey.plays).toBe(10)
    await session.refresh(carey)
    expect(carey.plays).toBe(0)
    expect((await session.execute(deleteFrom(Song))).rowCount).toBe(3)
    expect(await session.scalars(select(Song))).toEqual([])
  })
})

describe('locks', () => {
  test('of another session are passed over, refused, or waited for', async () => {
    const factory = fixture.factory()
    await using holder = factory()
    await using worker = factory()
    await holder.getOne(Song, 1, { forUpdate: true })
    const jobs = select(Song).orderBy(asc(Song.c.id)).limit(1)
    const [next] = await worker.scalars(jobs.forUpdate({ skipLocked: true }))
    expect(next?.title).toBe('River')
    const refused = worker.beginNested(() => worker.scalars(jobs.forUpdate({ noWait: true })))
    expect(await errorOf(refused)).toBeInstanceOf(LockTimeoutError)
    const waiting = worker.getOne(Song, 1, { forUpdate: true })
    await holder.execute(update(Song).set({ title: 'done' }).where(eq(Song.c.id, 1)))
    await holder.commit()
    expect((await waiting).title).toBe('done')
  })

  test('need a transaction', async () => {
    await using session = fixture.factory({}, { autocommit: true })()
    const streaming = (async () => {
      for await (const _ of session.stream(select(Song))) break
    })()
    expect(await errorOf(streaming)).toBeInstanceOf(IllegalStateError)
  })
})

describe('populateExisting', () => {
  test('replaces what an object holds, changes and relations included', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const carey = select(Song).where(eq(Song.c.title, 'Carey'))
    const song = (await session.scalar(carey.load('tags'))) as Song & { tags: object[] }
    await fixture.db.query("update songs set plays = 11 where title = 'Carey'")
    song.settings = { tags: ['mine'] }
    expect(await session.scalar(carey)).toBe(song)
    expect([song.plays, song.settings]).toEqual([10, { tags: ['mine'] }])
    await fixture.db.query("insert into tags values ('folk'); insert into song_tags values (1, 'folk')")
    expect(await session.scalar(carey.populateExisting().load('tags'))).toBe(song)
    expect([song.plays, song.settings, song.tags.length]).toEqual([11, null, 1])
    expect(session.isModified(song)).toBe(false)
  })

  test('with autoflush keeps changes, because they are flushed first', async () => {
    await using session = fixture.factory()()
    const carey = select(Song).where(eq(Song.c.title, 'Carey'))
    const song = (await session.scalar(carey)) as Song
    song.plays = 12
    await session.scalar(carey.populateExisting())
    expect(song.plays).toBe(12)
  })
})
