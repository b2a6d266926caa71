/** A part of a relation, chosen by the query that loads it. */
import { tracingChannel } from 'node:diagnostics_channel'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  asc,
  build,
  desc,
  eq,
  gt,
  IllegalStateError,
  InvalidOptionError,
  InvalidStatementError,
  MappingError,
  select,
  sql,
  type Session,
} from '../../src/index.js'
import { Album, Artist, Song, Tag, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const albums = select(Album).orderBy(asc(Album.c.id))
const titles = (songs: readonly { title: string }[]): string[] => songs.map(({ title }) => title)

beforeEach(async () => {
  await fixture.db.query("insert into artists (name) values ('Joni')")
  await fixture.db.query(
    "insert into albums (name, artist_id) values ('Blue', 1), ('Hejira', 1), ('Empty', 1)",
  )
  await fixture.db.query(
    "insert into songs (title, plays, album_id) values ('Carey', 10, 1), ('River', 30, 1), ('All I Want', 20, 1), ('Coyote', 5, 2), ('Amelia', 50, 2)",
  )
  await fixture.db.query("insert into tags values ('folk'), ('jazz'), ('live')")
  await fixture.db.query("insert into song_tags values (1, 'folk'), (1, 'live'), (2, 'folk'), (4, 'jazz')")
})

describe('a part', () => {
  test('has the objects that meet the conditions, in order, so many for each owner', async () => {
    await using session = fixture.factory()()
    const best = albums.load('songs', { orderBy: desc(Song.c.plays), limit: 2 })
    expect((await session.scalars(best)).map(({ songs }) => titles(songs))).toEqual([
      ['River', 'All I Want'],
      ['Amelia', 'Coyote'],
      [],
    ])
    const often = albums.load('songs', { where: [gt(Song.c.plays, 5), sql`${Song.c.title} <> ${'River'}`] })
    expect((await session.scalars(often)).map(({ songs }) => titles(songs))).toEqual([
      ['All I Want', 'Carey'],
      ['Amelia'],
      [],
    ])
    const none = albums.load('songs', { limit: 0 })
    expect((await session.scalars(none)).every(({ songs }) => songs.length === 0)).toBe(true)
  })

  test('is one statement more, also through a link table, beside whole relations', async () => {
    await using session = fixture.factory()()
    const songs = await session.scalars(
      select(Song)
        .orderBy(asc(Song.c.id))
        .limit(2)
        .load('tags', { where: eq(Tag.c.name, 'folk') })
        .load('album'),
    )
    expect(songs.map(({ tags, album }) => [tags.map(({ name }) => name), album?.name])).toEqual([
      [['folk'], 'Blue'],
      [['folk'], 'Blue'],
    ])
    const result = await session.execute(albums.load('songs', { limit: 1 }))
    expect(result.all()[1]?.songs[0]).toBe(await session.get(Song, 5))
  })

  test('is not the whole relation: no object is removed, and the relation can be loaded as a whole', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const [blue] = await session.scalars(albums.load('songs', { limit: 1 }))
      expect(Object.isFrozen(blue?.songs)).toBe(true)
      expect(session.isModified(blue as Album)).toBe(false)
      ;(blue as Album).name = 'Blue!'
      await session.flush()
      const whole = await session.getOne(Album, 1, { load: ['songs'] })
      expect(whole).toBe(blue)
      expect(whole.songs).toHaveLength(3)
      whole.songs.pop()
    })
    expect(await fixture.db.query('select count(*)::int as n from songs where album_id = 1')).toEqual([
      { n: 2 },
    ])
  })

  test('is not what is deleted with its owner, or merged', async () => {
    const { withSession } = fixture.factory()
    const artist = await withSession(async (session) => {
      const [joni] = await session.scalars(select(Artist).load('albums', { limit: 1 }))
      return joni as Artist
    })
    await withSession(async (session) => void (await session.merge(artist)))
    expect(await fixture.db.query('select count(*)::int as n from albums')).toEqual([{ n: 3 }])
    await fixture.db.query('update songs set album_id = null')
    await withSession(async (session) => {
      const [joni] = await session.scalars(select(Artist).load('albums', { limit: 1 }))
      session.delete(joni as Artist)
    })
    expect(await fixture.db.query('select * from albums')).toEqual([])
  })

  test('is the whole relation of another object that it is assigned to', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const [blue] = await session.scalars(albums.load('songs', { orderBy: asc(Song.c.id), limit: 1 }))
      const hejira = await session.getOne(Album, 2, { load: ['songs'] })
      hejira.songs = blue?.songs as Song[]
      expect(session.isModified(hejira)).toBe(true)
    })
    expect(await fixture.db.query('select title, album_id from songs order by id')).toEqual([
      { title: 'Carey', album_id: 2 },
      { title: 'River', album_id: 1 },
      { title: 'All I Want', album_id: 1 },
      { title: 'Coyote', album_id: null },
      { title: 'Amelia', album_id: null },
    ])
  })

  test('takes the place of a relation that was loaded, not of one with changes', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const blue = await session.getOne(Album, 1, { load: ['songs'] })
    await session.scalars(albums.load('songs', { limit: 1 }))
    expect(blue.songs).toHaveLength(1)
    await session.refresh(blue, { load: ['songs'] })
    blue.songs.pop()
    expect(await errorOf(session.scalars(albums.load('songs', { limit: 1 })))).toBeInstanceOf(
      IllegalStateError,
    )
    expect(blue.songs).toHaveLength(2)
  })
})

describe('an array that is assigned over a part', () => {
  const owners = async (): Promise<unknown[]> =>
    (await fixture.db.query<{ album_id: number | null }>('select album_id from songs order by id')).map(
      (row) => row.album_id,
    )

  /** The types do not allow it, but programs without types do. */
  type Held = Album & { songs: readonly Song[] }
  const loadPart = async (session: Session): Promise<Held> =>
    (await session.scalars(albums.load('songs', { limit: 2 })))[0] as Held
  const changes: [string, (album: Held) => void][] = [
    ['a longer copy', (album) => (album.songs = [...album.songs, new Song({ title: 'Little Green' })])],
    ['a filtered copy', (album) => (album.songs = album.songs.filter(() => false))],
    ['objects of another album', (album) => (album.songs = [new Song({ title: 'California' })])],
  ]
  test.each(changes)('is refused before anything is sent: %s', async (_, change) => {
    await using session = fixture.factory()()
    const blue = await loadPart(session)
    change(blue)
    expect(session.isModified(blue)).toBe(true)
    const error = await errorOf(session.commit())
    expect(error).toMatchObject({ code: 'INVALID_VALUE' })
    expect(error.message).toMatch(/Album\.songs of a stored Album, id 1 .*only a part.*refresh\(/)
    expect(await owners()).toEqual([1, 1, 1, 2, 2])
    // The object is not lost: the whole relation replaces the array.
    await session.refresh(blue, { load: ['songs'] })
    expect(blue.songs).toHaveLength(3)
    blue.songs = blue.songs.filter(({ id }) => id !== 1)
    await session.commit()
    expect(await owners()).toEqual([null, 1, 1, 2, 2])
  })

  test('is no change if it is the part itself, or an equal copy', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const blue = await loadPart(session)
      const part = blue.songs
      blue.songs = [...part]
      expect(session.isModified(blue)).toBe(false)
      await session.flush()
      blue.songs = part
      blue.name = 'Blue!'
    })
    expect(await owners()).toEqual([1, 1, 1, 2, 2])
  })

  test('is refused of a detached object, too, that is added or merged, and in a copy of another session', async () => {
    const { withSession } = fixture.factory()
    const loaded = (): Promise<Held> => withSession(loadPart)
    const [added, merged, other] = [await loaded(), await loaded(), await loaded()]
    for (const album of [added, merged]) album.songs = album.songs.slice(1)
    const copy = build(Album, { id: 1, name: 'Blue', songs: other.songs as Song[] })
    const errors = [
      await errorOf(withSession((session) => session.add(added))),
      await errorOf(withSession((session) => session.merge(merged))),
      await errorOf(withSession((session) => session.merge(copy))),
    ]
    for (const error of errors) expect(error.message).toMatch(/only a part of it was loaded/)
    const equal = await loaded()
    equal.songs = [...equal.songs]
    await withSession((session) => session.merge(equal))
    expect(await owners()).toEqual([1, 1, 1, 2, 2])
  })

  test('is not the whole relation as an equal copy either: load() brings the others', async () => {
    const { withSession } = fixture.factory()
    const copied = async (session: Session): Promise<Held> => {
      const album = await loadPart(session)
      album.songs = [...album.songs]
      return album
    }
    await withSession(async (session) => {
      const album = await copied(session)
      expect((await session.getOne(Album, 1, { load: ['songs'] })).songs).toHaveLength(3)
      expect([album.songs.length, session.isModified(album)]).toEqual([3, false])
    })
    await withSession(async (session) => {
      const album = await copied(session)
      await session.flush()
      await session.scalars(albums.load('songs'))
      expect(album.songs).toHaveLength(3)
      album.songs = album.songs.slice(1)
    })
    const detached = await withSession(copied)
    await withSession(async (session) => {
      session.add(detached)
      await session.scalars(albums.load('songs'))
      expect(detached.songs).toHaveLength(2)
    })
    expect((await owners()).filter((id) => id === 1)).toEqual([1, 1])
  })

  test('is refused if it is assigned while load() reads the whole relation', async () => {
    const { withSession } = fixture.factory()
    const refused = withSession(async (session) => {
      const album = await loadPart(session)
      const none = (): undefined => undefined
      const assign = ({ text }: { text: string }): void => {
        if (text.includes('songs')) album.songs = album.songs.slice(1)
      }
      const subscriber = { start: assign, end: none, error: none, asyncStart: none, asyncEnd: none }
      const channel = tracingChannel<unknown, { text: string }>('lifeguard:statement')
      channel.subscribe(subscriber)
      try {
        await session.scalars(albums.load('songs'))
      } finally {
        channel.unsubscribe(subscriber)
      }
      expect(album.songs).toHaveLength(1)
    })
    expect((await errorOf(refused)).message).toMatch(/Album\.songs of .*only a part/)
    expect(await owners()).toEqual([1, 1, 1, 2, 2])
  })

  test('is refused through a link table; the part belongs to one relation', async () => {
    const { withSession } = fixture.factory()
    const refused = withSession(async (session) => {
      const [carey] = await session.scalars(
        select(Song).orderBy(Song.c.id).limit(1).load('tags', { limit: 1 }),
      )
      ;(carey as { tags: readonly Tag[] }).tags = [new Tag({ name: 'new' })]
    })
    expect((await errorOf(refused)).message).toMatch(/Song\.tags of .*only a part/)
    expect(await fixture.db.query('select count(*)::int as n from song_tags')).toEqual([{ n: 4 }])
  })

  test('that was loaded in a savepoint is gone with its rollback', async () => {
    await using session = fixture.factory()()
    const blue = await session.getOne(Album, 1)
    await errorOf(
      session.beginNested(async () => {
        await session.execute(sql`update songs set album_id = 2`)
        await session.scalars(albums.load('songs', { limit: 2 }))
        throw new Error('undo')
      }),
    )
    expect(() => (blue as Album & { songs: unknown }).songs).toThrow(/RELATION_NOT_LOADED|neither loaded/)
  })
})

test('mistakes are told where they are made', () => {
  const load = (name: string, options: unknown): unknown =>
    select(Album).load(name as never, options as never)
  expect(() => load('song', { limit: 1 })).toThrow(/no relation 'song'.*songs/)
  expect(() => load('artist', { limit: 1 })).toThrow(MappingError)
  expect(() => load('songs', { limits: 1 })).toThrow(/limit/)
  expect(() => load('songs', { limit: -1 })).toThrow(InvalidOptionError)
  expect(() => load('songs', null)).toThrow(InvalidOptionError)
  expect(() => load('songs', { where: 'x' })).toThrow(InvalidStatementError)
  expect(() => load('songs', { where: [undefined] })).toThrow(InvalidStatementError)
  expect(() => load('songs', { orderBy: 'plays' })).toThrow(InvalidStatementError)
  expect(() =>
    select(Album)
      .columns('name')
      .load('songs' as never, { limit: 1 } as never),
  ).toThrow(MappingError)
})
