/** What docs/mapping.md shows, run as it is shown. */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  build,
  deleteFrom,
  eq,
  inArray,
  lt,
  not,
  select,
  sql,
  StaleDataError,
  UniqueViolationError,
  update,
} from '../../src/index.js'
import { Album, Base, Song, SongTag, Tag } from '../docs/music.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(Base.metadata.ddl())
beforeEach(async () => {
  await fixture.db.query('truncate albums, songs, tags, song_tags')
})

describe('entities', () => {
  test('are stored, loaded, changed and deleted', async () => {
    const { withSession } = fixture.factory()
    const song = new Song({ title: 'Help!' })
    expect(song).toMatchObject({ title: 'Help!', plays: 0, albumId: null, version: 1 })
    expect(song.createdAt).toBeUndefined()
    await withSession((session) => session.add(song))
    expect(song.createdAt).toBeInstanceOf(Date)
    await withSession(async (session) => {
      const found = await session.getOne(Song, song.id)
      expect(found).toEqual(song)
      found.plays += 1
    })
    expect(await fixture.db.query('select plays, version from songs')).toEqual([{ plays: 1, version: 2 }])
    await withSession(async (session) => session.delete(await session.getOne(Song, song.id)))
    expect(await fixture.db.query('select from songs')).toEqual([])
  })

  test('are rolled back in a block with commit: false', async () => {
    const { withSession } = fixture.factory()
    await withSession(
      async (session) => {
        session.add(new Song({ title: 'Help!' }))
        expect(await session.scalars(select(Song))).toMatchObject([{ title: 'Help!', plays: 0 }])
      },
      { commit: false },
    )
    expect(await fixture.db.query('select from songs')).toEqual([])
  })

  test('survive a duplicate inside a savepoint', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.add(new Tag({ name: 'pop' })))
    await withSession(async (session) => {
      session.add(new Song({ title: 'Help!' }))
      const nested = session.beginNested(() => session.add(new Tag({ name: 'pop' })))
      expect(await errorOf(nested)).toBeInstanceOf(UniqueViolationError)
    })
    expect(await fixture.db.query('select name, title from tags, songs')).toEqual([
      { name: 'pop', title: 'Help!' },
    ])
  })
})

describe('relations', () => {
  test('are built, assigned and changed as properties', async () => {
    const { withSession } = fixture.factory()
    const help = build(Album, {
      name: 'Help!',
      songs: [new Song({ title: 'Help!' }), new Song({ title: 'Yesterday' })],
    })
    const other = new Song({ title: 'Michelle' })
    await withSession((session) => session.addAll([help, other]))
    await withSession(async (session) => {
      const song = await session.getOne(Song, other.id, { load: ['album', 'tags'] })
      song.album = await session.getOne(Album, help.id)
      song.tags.push(new Tag({ name: 'pop' }))
    })
    await withSession(async (session) => {
      const album = await session.getOne(Album, help.id, { load: ['songs', 'songs.tags'] })
      expect(album.songs.map(({ title, tags }) => [title, tags.map(({ name }) => name)])).toEqual([
        ['Help!', []],
        ['Michelle', ['pop']],
        ['Yesterday', []],
      ])
      album.songs = album.songs.slice(0, 1)
    })
    expect(await fixture.db.query('select title from songs where album_id is null order by 1')).toEqual([
      { title: 'Michelle' },
      { title: 'Yesterday' },
    ])
  })

  test('through a join table are rows of an entity of their own', async () => {
    const { withSession } = fixture.factory()
    const tag = new Tag({ name: 'pop' })
    const song = build(Song, { title: 'Help!', tags: [tag] })
    await withSession((session) => session.add(song))
    const key = { songId: song.id, tagId: tag.id }
    await withSession(async (session) => session.delete(await session.getOne(SongTag, key)))
    await withSession(async (session) => {
      expect(await session.getOne(Song, song.id, { load: ['tags'] })).toMatchObject({ tags: [] })
    })
  })

  test('of an object that is here already are loaded by get', async () => {
    const { withSession } = fixture.factory()
    const album = build(Album, { name: 'Help!', songs: [new Song({ title: 'Help!' })] })
    await withSession((session) => session.add(album))
    await withSession(async (session) => {
      const bare = await session.getOne(Album, album.id)
      const loaded = await session.getOne(Album, bare.id, { load: ['songs'] })
      expect(loaded).toBe(bare)
      expect(loaded.songs).toHaveLength(1)
    })
  })
})

describe('queries', () => {
  test('find by conditions, subqueries and SQL', async () => {
    const { withSession } = fixture.factory()
    const songs = ['Help!', 'Yesterday', 'Michelle'].map((title, plays) => new Song({ title, plays }))
    const empty = new Album({ name: 'Let It Be' })
    await withSession((session) => session.addAll([empty, build(Album, { name: 'Help!', songs })]))
    await withSession(async (session) => {
      const ids = songs.slice(1).map(({ id }) => id)
      const found = select(Song).where(inArray(Song.c.id, ids), sql`length(${Song.c.title}) < 9`)
      expect((await session.scalars(found.columns('title'))).sort()).toEqual(['Michelle'])
      const ofAlbum = select(Song).where(eq(Song.c.albumId, Album.c.id))
      const without = select(Album).where(not(ofAlbum.exists()))
      expect(await session.scalars(without)).toEqual([empty])
      const total = sql`select sum(${Song.c.plays}) from songs where ${eq(Song.c.title, 'Yesterday')}`
      expect(await session.scalar(total)).toBe('1')
    })
  })

  test('take their rows from statements, also from those that store', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const tag = async (name: string): Promise<Tag | undefined> => {
        const [found] = await session.scalars(
          select(Tag).from(
            sql`insert into tags (name) values (${name}) on conflict (name) do update set name = excluded.name returning *`,
          ),
        )
        return found
      }
      const pop = await tag('pop')
      expect(pop).toBeInstanceOf(Tag)
      expect(await tag('pop')).toBe(pop)
      const song = build(Song, { title: 'Help!', tags: pop === undefined ? [] : [pop] })
      session.add(song)
      const sample = sql`select * from songs where title = ${'Help!'}`
      expect(await session.scalars(select(Song).from(sample).load('album').limit(20))).toEqual([song])
    })
  })

  test('change and delete in bulk', async () => {
    const { withSession } = fixture.factory()
    const songs = [0, 1, 2].map((plays) => new Song({ title: 'Help!', plays }))
    await withSession((session) => session.addAll(songs))
    await withSession(async (session) => {
      const song = await session.getOne(Song, songs[2]?.id ?? '')
      const more = update(Song).set({ plays: sql`${Song.c.plays} + 1` })
      expect((await session.execute(more)).rowCount).toBe(3)
      expect(song.plays).toBe(2)
      await session.execute(more.returning())
      expect(song).toMatchObject({ plays: 4, version: 3 })
      expect(await session.scalars(deleteFrom(Song).where(lt(Song.c.plays, 3)).returning('plays'))).toEqual([
        2,
      ])
    })
  })
})

describe('instances', () => {
  test('that a stream gives stay with the session until they are expunged', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) =>
      session.addAll([1, 2, 3].map((plays) => new Song({ title: 'Help!', plays }))),
    )
    await withSession(async (session) => {
      for await (const song of session.stream(select(Song), { batchSize: 1 })) {
        expect(session.contains(song)).toBe(true)
        session.expunge(song)
        expect(session.contains(song)).toBe(false)
      }
    })
  })

  test('look like the plain objects that they are', async () => {
    const { withSession } = fixture.factory()
    const song = new Song({ title: 'Help!' })
    await withSession((session) => session.add(song))
    await withSession(async (session) => {
      const found = await session.getOne(Song, song.id)
      expect(Object.keys(found)).toEqual(['id', 'title', 'plays', 'albumId', 'createdAt', 'version'])
      expect({ ...found }).toEqual({ ...song })
      expect(structuredClone({ ...found })).toEqual({ ...song })
      expect(JSON.parse(JSON.stringify(found))).toEqual({ ...song, createdAt: song.createdAt.toISOString() })
      expect(found.popular).toBe(false)
    })
  })
})

describe('optimistic locking', () => {
  test('compares the version that a client sends back', async () => {
    const { withSession } = fixture.factory()
    const song = new Song({ title: 'Help!' })
    await withSession((session) => session.add(song))
    const form = JSON.parse(JSON.stringify({ id: song.id, title: 'Michelle', version: song.version })) as {
      id: string
      title: string
      version: number
    }
    const save = (): Promise<Song> => withSession((session) => session.merge(new Song(form)))
    await save()
    expect(await errorOf(save())).toBeInstanceOf(StaleDataError)
    expect(await fixture.db.query('select title, version from songs')).toEqual([
      { title: 'Michelle', version: 2 },
    ])
  })

  test('runs a block again that met a newer row', async () => {
    const { withSession } = fixture.factory()
    const song = new Song({ title: ' Help! ' })
    await withSession((session) => session.add(song))
    let runs = 0
    await withSession(
      async (session) => {
        const found = await session.getOne(Song, song.id)
        if (runs++ === 0) await fixture.db.query('update songs set version = version + 1')
        found.title = found.title.trim()
      },
      { retry: { attempts: 3 } },
    )
    expect(runs).toBe(2)
    expect(await fixture.db.query('select title, version from songs')).toEqual([
      { title: 'Help!', version: 3 },
    ])
  })
})
