/** Relations: loading them, and what changes of them write. */
import { describe, expect, test } from 'vitest'
import {
  ForeignKeyViolationError,
  InvalidValueError,
  MappingError,
  RelationNotLoadedError,
  asc,
  build,
  eq,
  isNull,
  select,
  type Loaded,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { Album, Artist, Profile, Song, Tag, statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const query = (statement: string) => fixture.db.query(statement)
const links = async () =>
  (await query('select song_id, tag from song_tags order by 1, 2')).map(
    (row) => `${String(row['song_id'])} ${String(row['tag'])}`,
  )

/** Joni with two albums and three songs; one song without an album; tags. */
async function stored(): Promise<Session> {
  await query(`
    insert into artists (name) values ('Joni'), ('Leonard');
    insert into profiles values (1, 'Canadian');
    insert into albums (name, artist_id) values ('Blue', 1), ('Hejira', 1);
    insert into songs (title, plays, album_id) values
      ('River', 1, 1), ('Carey', 2, 1), ('Coyote', 3, 2), ('Loose', 4, null);
    insert into tags values ('sea'), ('winter'), ('road');
    insert into song_tags values (2, 'sea'), (2, 'road'), (1, 'winter'), (3, 'road')`)
  return fixture.factory()()
}

describe('loading', () => {
  test('gives each kind of relation, in its order, one instance for each row', async () => {
    await using session = await stored()
    const joni = await session.getOne(Artist, 1, { load: ['albums.songs.tags', 'albums.artist', 'profile'] })
    expect(joni.albums.map(({ name }) => name)).toEqual(['Blue', 'Hejira'])
    const [blue, hejira] = joni.albums as [(typeof joni.albums)[number], (typeof joni.albums)[number]]
    expect([blue.artist, hejira.artist]).toEqual([joni, joni])
    expect(blue.artist).toBe(joni)
    expect(blue.songs.map(({ title }) => title)).toEqual(['Carey', 'River'])
    expect(blue.songs.map(({ tags }) => tags.map(({ name }) => name))).toEqual([['road', 'sea'], ['winter']])
    expect(hejira.songs[0]?.tags[0]).toBe(blue.songs[0]?.tags[0])
    expect(joni.profile?.text).toBe('Canadian')
    const leonard = await session.getOne(Artist, 2, { load: ['profile', 'albums'] })
    expect([leonard.profile, leonard.albums]).toEqual([null, []])
  })

  test('gives null for a key that is NULL, and asks nothing for what is here already', async () => {
    await using session = await stored()
    const songs = await session.scalars(select(Song).orderBy(asc(Song.c.id)).load('album'))
    expect(songs.map(({ album }) => album?.name)).toEqual(['Blue', 'Blue', 'Hejira', undefined])
    expect(songs[3]?.album).toBeNull()
    await session.commit()
    session.expunge(songs[0] as Song)
    const again = await session.getOne(Song, 1)
    await session.commit()
    const loaded = await session.getOne(Song, 1, { load: ['album'] })
    expect(loaded.album).toBe(songs[1]?.album)
    expect([again === loaded, session.inTransaction]).toEqual([true, false])
  })

  test('finds the other side of many to many, too', async () => {
    await using session = await stored()
    const road = await session.getOne(Tag, 'road', { load: ['songs.tags'] })
    expect(road.songs.map(({ title }) => title)).toEqual(['Carey', 'Coyote'])
    expect(road.songs.every(({ tags }) => tags.includes(road))).toBe(true)
  })

  test('keeps what was assigned, and takes a new look after expire', async () => {
    await using session = await stored()
    const blue = await session.getOne(Album, 1, { load: ['songs'] })
    const [carey] = blue.songs
    blue.songs = [carey as Song]
    await session.noAutoflush(() => session.getOne(Album, 1, { load: ['songs'] }))
    expect(blue.songs).toEqual([carey])
    session.expire(blue)
    await session.refresh(blue, { load: ['songs'] })
    expect(blue.songs).toHaveLength(2)
  })

  test('may be asked for with any query of entities, which may also find nothing', async () => {
    await using session = await stored()
    const found = await session.execute(select(Song).where(isNull(Song.c.albumId)).load('tags', 'album'))
    expect(found.one()).toMatchObject({ title: 'Loose', tags: [], album: null })
    expect(await session.scalars(select(Song).where(eq(Song.c.id, 0)).load('tags'))).toEqual([])
    const streamed: string[] = []
    for await (const { title, tags } of session.stream(select(Song).orderBy(asc(Song.c.id)).load('tags')))
      streamed.push(`${title} ${tags.map(({ name }) => name).join()}`)
    expect(streamed).toEqual(['River winter', 'Carey road,sea', 'Coyote road', 'Loose '])
  })

  test('is never done in silence: reading what is not loaded explains itself, and hides from copies', async () => {
    await using session = await stored()
    const song = (await session.getOne(Song, 1)) as Loaded<typeof Song, 'album'>
    expect(() => song.album).toThrow(RelationNotLoadedError)
    expect(Object.keys(song)).not.toContain('album')
    expect(JSON.stringify(song)).not.toContain('album"')
    expect((await errorOf(session.get(Song, 1, { load: ['albun' as 'album'] }))).message).toContain('albun')
  })
})

describe('a graph', () => {
  test('is added with its root, each object with the keys of the others', async () => {
    await using session = fixture.factory()()
    const tag = new Tag({ name: 'sea' })
    const artist = build(Artist, {
      name: 'Joni',
      albums: [
        build(Album, { name: 'Blue', songs: [build(Song, { title: 'Carey', tags: [tag] })] }),
        build(Album, { name: 'Hejira', songs: [build(Song, { title: 'Coyote', tags: [tag] })] }),
      ],
      profile: new Profile({ artistId: 0, text: 'x' }),
    })
    session.add(artist)
    expect(session.new).toHaveLength(7)
    const statements = await statementsOf(() => session.commit())
    expect(statements).toHaveLength(6)
    expect(await query('select title, album_id from songs order by id')).toEqual([
      { title: 'Carey', album_id: 1 },
      { title: 'Coyote', album_id: 2 },
    ])
    expect([await links(), artist.profile?.artistId, session.dirty]).toEqual([['1 sea', '2 sea'], 1, []])
  })

  test('takes in what was put into it later, at the flush', async () => {
    await using session = await stored()
    const blue = await session.getOne(Album, 1, { load: ['songs'] })
    const [added] = [build(Song, { title: 'Blue', tags: [new Tag({ name: 'title' })] })]
    blue.songs.push(added)
    expect([session.isModified(blue), session.new]).toEqual([true, []])
    await session.flush()
    expect([added.albumId, statusOf(added), session.isModified(blue)]).toEqual([1, 'persistent', false])
    expect(await session.scalar(select(Tag).count())).toBe(4)
  })
})

describe('a foreign key', () => {
  test('follows its relation, and a relation that it leaves is forgotten', async () => {
    await using session = await stored()
    const song = await session.getOne(Song, 1, { load: ['album'] })
    song.album = await session.getOne(Album, 2)
    await session.flush()
    expect(song.albumId).toBe(2)
    song.album = null
    await session.flush()
    expect(song.albumId).toBeNull()
    song.albumId = 1
    await session.flush()
    expect(() => song.album).toThrow(RelationNotLoadedError)
    expect((await session.getOne(Song, 1, { load: ['album'] })).album?.name).toBe('Blue')
    await session.commit()
    expect(await query('select album_id from songs where id = 1')).toEqual([{ album_id: 1 }])
  })

  test('is what the object itself says, where a collection says something else', async () => {
    await using session = await stored()
    const blue = await session.getOne(Album, 1, { load: ['songs'] })
    const hejira = await session.getOne(Album, 2, { load: ['songs'] })
    const [carey] = blue.songs as [Song & { album?: Album | null }]
    carey.album = hejira
    await session.flush()
    expect(carey.albumId).toBe(2)
    session.expireAll()
    await session.refresh(hejira, { load: ['songs'] })
    expect(hejira.songs.map(({ title }) => title)).toEqual(['Carey', 'Coyote'])
  })

  test('moves with an object from one collection to another', async () => {
    await using session = await stored()
    const blue = await session.getOne(Album, 1, { load: ['songs'] })
    const hejira = await session.getOne(Album, 2, { load: ['songs'] })
    hejira.songs.push(...blue.songs.splice(0, 1))
    await session.commit()
    expect(await query('select album_id from songs order by id')).toEqual([
      { album_id: 1 },
      { album_id: 2 },
      { album_id: 2 },
      { album_id: null },
    ])
  })

  test('becomes NULL for what is taken out of a collection, unless it takes none', async () => {
    await using session = await stored()
    const joni = await session.getOne(Artist, 1, { load: ['albums.songs'] })
    const [blue] = joni.albums
    blue?.songs.pop()
    await session.flush()
    expect(await session.scalar(select(Song).where(isNull(Song.c.albumId)).count())).toBe(2)
    joni.albums.pop()
    const error = await errorOf(session.flush())
    expect(error).toBeInstanceOf(MappingError)
    expect(error.message).toMatch(/Album would have no owner, but albums.artist_id is not nullable/)
    session.delete(await session.getOne(Song, 3))
    session.delete(await session.getOne(Album, 2))
  })

  test('does not follow what is of another class, or no object', async () => {
    await using session = await stored()
    const song = await session.getOne(Song, 1, { load: ['album', 'tags'] })
    song.album = new Tag({ name: 'x' }) as never
    expect((await errorOf(session.flush())).message).toContain('Song.album takes instances of Album, not Tag')
    song.album = { id: 1 } as never
    expect((await errorOf(session.flush())).message).toContain(
      'Song.album takes instances of Album, not a plain object',
    )
    song.album = null
    song.tags = null as never
    expect((await errorOf(session.flush())).message).toContain('Song.tags takes an array')
  })
})

describe('a relation that is assigned without being loaded', () => {
  test('removes its old objects, as if it had been loaded', async () => {
    await using session = await stored()
    const carey: WithRelations<typeof Song> = await session.getOne(Song, 2)
    const blue: WithRelations<typeof Album> = await session.getOne(Album, 1)
    carey.tags = [await session.getOne(Tag, 'winter')]
    blue.songs = [carey]
    await session.commit()
    expect(await links()).toEqual(['1 winter', '2 winter', '3 road'])
    expect(await query('select title from songs where album_id = 1')).toEqual([{ title: 'Carey' }])
    const joni: WithRelations<typeof Artist> = await session.getOne(Artist, 1)
    joni.albums = [blue]
    expect((await errorOf(session.flush())).message).toContain('Album would have no owner')
  })

  test.each([
    ['in autocommit mode', { autocommit: true }, false],
    ['with hooks of the flush', {}, true],
  ])('is a change, %s, also where it holds nothing now', async (_, defaults, hasHooks) => {
    await fixture.db.query(`
      insert into artists (name) values ('one');
      insert into albums (name, artist_id) values ('album', 1);
      insert into songs (title, plays, album_id) values ('one', 0, 1), ('two', 0, 1), ('three', 0, null);
      insert into tags values ('tag'); insert into song_tags values (1, 'tag')`)
    const factory = fixture.factory({}, { ...defaults, autoflush: false })
    const flushed: object[][] = []
    if (hasHooks) factory.on('beforeFlush', (session) => void flushed.push(session.dirty))
    await using session = factory()
    const one: WithRelations<typeof Song> = await session.getOne(Song, 1)
    const two: WithRelations<typeof Song> = await session.getOne(Song, 2)
    const three: WithRelations<typeof Song> = await session.getOne(Song, 3)
    one.tags = []
    two.album = null
    // It held nothing before.
    three.album = null
    expect(session.dirty).toEqual([one, two])
    await session.commit()
    expect(session.dirty).toEqual([])
    expect(flushed).toEqual(hasHooks ? [[one, two]] : [])
    expect(await fixture.db.query('select * from song_tags')).toEqual([])
    expect(await fixture.db.query('select album_id from songs order by id')).toEqual([
      { album_id: 1 },
      { album_id: null },
      { album_id: null },
    ])
  })

  test('lets go of what it held before, also if its owner is deleted: refused where that must have an owner', async () => {
    await using session = await stored()
    await query('delete from song_tags; delete from songs; delete from profiles')
    const joni: WithRelations<typeof Artist> = await session.getOne(Artist, 1)
    joni.albums = []
    session.delete(joni)
    expect((await errorOf(session.flush())).message).toContain('Album would have no owner')
    expect(await query('select artist_id from albums')).toEqual([{ artist_id: 1 }, { artist_id: 1 }])
  })
})

describe('many to many', () => {
  test('writes only the rows of the join table that changed, from either side', async () => {
    await using session = await stored()
    const carey = await session.getOne(Song, 2, { load: ['tags'] })
    const winter = await session.getOne(Tag, 'winter', { load: ['songs'] })
    carey.tags = carey.tags.filter(({ name }) => name !== 'road')
    winter.songs.push(carey)
    carey.tags.push(winter, new Tag({ name: 'new' }))
    expect(await statementsOf(() => session.commit())).toEqual([
      'delete from "song_tags"',
      'insert into "tags"',
      'insert into "song_tags"',
    ])
    expect(await links()).toEqual(['1 winter', '2 new', '2 sea', '2 winter', '3 road'])
  })

  test('deletes its rows with either side', async () => {
    await using session = await stored()
    session.delete(await session.getOne(Tag, 'road'))
    session.delete(await session.getOne(Song, 1, { load: ['tags'] }))
    await session.commit()
    expect(await links()).toEqual(['2 sea'])
  })
})

describe('delete', () => {
  test('takes along what its relations delete, loaded or not', async () => {
    await using session = await stored()
    await query('delete from song_tags; delete from songs; delete from profiles')
    const joni = await session.getOne(Artist, 1)
    const hejira = await session.getOne(Album, 2)
    session.delete(joni)
    await session.flush()
    expect([joni, hejira].map(statusOf)).toEqual(['deleted', 'deleted'])
    await session.commit()
    expect(await query('select * from albums')).toEqual([])
  })

  test('sets the nullable foreign keys of loaded members to NULL, and fails for the others', async () => {
    await using session = await stored()
    const blue = await session.getOne(Album, 1, { load: ['songs'] })
    session.delete(blue)
    await session.flush()
    expect(blue.songs.map(({ albumId }) => albumId)).toEqual([null, null])
    session.delete(await session.getOne(Album, 2))
    expect(await errorOf(session.commit())).toBeInstanceOf(ForeignKeyViolationError)
    await session.rollback()
    await session.refresh(blue, { load: ['songs'] })
    expect(blue.songs).toHaveLength(2)
  })

  test('minds neither what was deleted before, nor what was never added', async () => {
    await using session = await stored()
    await query('delete from song_tags; delete from songs; delete from profiles')
    const joni = await session.getOne(Artist, 1, { load: ['albums'] })
    session.delete(joni.albums[0] as Album)
    await session.commit()
    const never = new Album({ name: 'never', artistId: 1 })
    joni.albums.push(never)
    session.delete(joni)
    await session.commit()
    expect([await query('select * from albums'), statusOf(never)]).toEqual([[], 'transient'])
  })

  test('of an object takes back a new one that hung on it', async () => {
    await using session = await stored()
    await query('delete from song_tags; delete from songs; delete from profiles')
    const joni = await session.getOne(Artist, 1, { load: ['albums'] })
    const fresh = new Album({ name: 'new', artistId: 1 })
    joni.albums.push(fresh)
    session.add(joni)
    expect(statusOf(fresh)).toBe('pending')
    session.delete(joni)
    expect(statusOf(fresh)).toBe('transient')
    await session.commit()
    expect(await query('select name from artists')).toEqual([{ name: 'Leonard' }])
  })
})

describe('a relation', () => {
  test('is never undefined, which the flush refuses', async () => {
    await using session = await stored()
    const song = await session.getOne(Song, 1, { load: ['album', 'tags'] })
    const refusal = async (): Promise<string> => {
      const error = await errorOf(session.flush())
      expect(error).toBeInstanceOf(InvalidValueError)
      return error.message
    }
    const { album, tags } = song
    song.album = undefined as never
    expect(await refusal()).toBe('Song.album is undefined; use null for none')
    song.album = album
    song.tags = undefined as never
    expect(await refusal()).toBe('Song.tags is undefined; it takes an array of objects')
    song.tags = [...tags, undefined as never]
    expect(await refusal()).toBe('Song.tags holds undefined; it takes an array of objects')
    song.tags = tags
    const artist = await session.getOne(Artist, 1, { load: ['profile'] })
    artist.profile = undefined as never
    expect(await refusal()).toBe('Artist.profile is undefined; use null for none')
    artist.profile = null
    session.delete(await session.getOne(Profile, 1))
    await session.commit()
    expect(await query('select album_id from songs where id = 1')).toEqual([{ album_id: 1 }])
  })

  test('is not given where a new object is built with undefined, but hidden by a field of the class', async () => {
    await using session = await stored()
    const built = build(Song, { title: 'Built', album: undefined as never })
    expect(() => built.album).toThrow(RelationNotLoadedError)
    session.add(built)
    await session.commit()
    class FieldSong extends Song {
      album?: Album | null
    }
    expect(() => session.add(new FieldSong({ title: 'x' }))).toThrow(
      "FieldSong.album is undefined; use null for none; a field of the class needs 'declare album'",
    )
  })
})
