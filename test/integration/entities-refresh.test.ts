/** `refresh` and `expire` by name: of columns, and of relations that an object holds. */
import { describe, expect, test } from 'vitest'
import {
  ExpiredAttributeError,
  InvalidOptionError,
  MappingError,
  RelationNotLoadedError,
  build,
  select,
} from '../../src/index.js'
import { Album, Artist, Song, textsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()

/** A session with an album of two songs, all relations between them loaded. */
async function loaded() {
  const session = fixture.factory()()
  const songs = [new Song({ title: 'A' }), new Song({ title: 'B' })]
  session.add(build(Artist, { name: 'Joni', albums: [build(Album, { name: 'Blue', songs })] }))
  await session.commit()
  const album = await session.getOne(Album, 1, { load: ['songs.album', 'artist'] })
  const [song] = album.songs as [Song & { album: Album | null }]
  return { session, album, song }
}

describe('expire', () => {
  test('forgets a relation by name, and leaves the columns and other relations', async () => {
    const { session, album } = await loaded()
    await using _ = session
    album.songs.pop()
    session.expire(album, ['songs'])
    expect(() => album.songs).toThrow(RelationNotLoadedError)
    expect([album.name, album.artist.name, session.dirty]).toEqual(['Blue', 'Joni', []])
    // It is not stale: no query.
    expect(await textsOf(() => session.get(Album, 1))).toEqual([])
    await session.flush()
    await session.get(Album, 1, { load: ['songs'] })
    expect(album.songs.map(({ title }) => title)).toEqual(['A', 'B'])
  })

  test('takes columns and relations together, and nothing', async () => {
    const { session, album } = await loaded()
    await using _ = session
    session.expire(album, [])
    expect(await textsOf(() => session.get(Album, 1))).toEqual([])
    session.expire(album, ['name', 'songs'])
    expect(() => album.name).toThrow(ExpiredAttributeError)
    expect(() => album.songs).toThrow(RelationNotLoadedError)
    expect(album.artistId).toBe(1)
  })

  test('forgets a part of a relation', async () => {
    const { session } = await loaded()
    await session.close()
    await using other = fixture.factory()()
    const [album] = await other.scalars(select(Album).load('songs', { limit: 1 }))
    if (album === undefined) throw new Error('No album')
    other.expire(album, ['songs'])
    expect(() => album.songs).toThrow(RelationNotLoadedError)
  })

  test('of one end leaves a change at the other end', async () => {
    const { session, album, song } = await loaded()
    await using _ = session
    song.album = null
    session.expire(album, ['songs'])
    await session.commit()
    expect(await fixture.db.query('select title, album_id from songs order by title')).toEqual([
      { title: 'A', album_id: null },
      { title: 'B', album_id: 1 },
    ])
  })

  test('refuses names that do not exist with the nearest one, and what is no array of names', async () => {
    const { session, album } = await loaded()
    await using _ = session
    const names = (given: unknown) => given as ['name']
    expect(() => session.expire(album, names(['song']))).toThrow(
      new MappingError("albums has no column or relation 'song'; did you mean 'songs'?"),
    )
    expect(() => session.expire(album, names('songs'))).toThrow(InvalidOptionError)
    expect(() => session.expire(album, names([Symbol('songs')]))).toThrow(InvalidOptionError)
    expect(album.songs).toHaveLength(2)
  })
})

describe('refresh', () => {
  test('loads a relation again that the object holds', async () => {
    const { session, album } = await loaded()
    await using _ = session
    await fixture.db.query("insert into songs (title, plays, album_id) values ('C', 0, 1)")
    album.name = 'kept'
    album.songs.pop()
    await session.refresh(album, { columns: [], load: ['songs'] })
    expect(album.songs.map(({ title }) => title)).toEqual(['A', 'B', 'C'])
    // The change of the column was flushed before the query; that of the relation was given up.
    await session.commit()
    expect(await fixture.db.query('select name from albums')).toEqual([{ name: 'kept' }])
    expect(await fixture.db.query('select count(*)::int from songs where album_id = 1')).toEqual([
      { count: 3 },
    ])
  })

  test('of a belongsTo reads the foreign key, too: it says what the relation leads to', async () => {
    const { session, song } = await loaded()
    await using _ = session
    await fixture.db.query("insert into albums (name, artist_id) values ('Hejira', 1)")
    await fixture.db.query("update songs set album_id = 2, title = 'new' where id = $1", [song.id])
    await session.refresh(song, { columns: [], load: ['album'] })
    expect([song.title, song.albumId, song.album?.name]).toEqual(['A', 2, 'Hejira'])
    Object.assign(song, { album: null })
    await session.refresh(song, { columns: ['title'], load: ['album'] })
    expect([song.title, song.album?.name, session.dirty]).toEqual(['new', 'Hejira', []])
  })

  test('leaves what related objects hold, and goes on along a path', async () => {
    const { session, album, song } = await loaded()
    await using _ = session
    song.title = 'changed'
    await session.noAutoflush(() => session.refresh(album, { columns: ['name'], load: ['songs.tags'] }))
    expect([song.title, session.dirty]).toEqual(['changed', [song]])
    expect(album.songs.map((one) => (one as object as { tags: unknown }).tags)).toEqual([[], []])
  })

  test('inside of a savepoint that is rolled back leaves the relation to be loaded again', async () => {
    const { session, album } = await loaded()
    await using _ = session
    await session
      .beginNested(async () => {
        await session.execute("insert into songs (title, plays, album_id) values ('C', 0, 1)")
        await session.refresh(album, { columns: [], load: ['songs'] })
        expect(album.songs).toHaveLength(3)
        throw new Error('back')
      })
      .catch(() => undefined)
    expect(() => album.songs).toThrow(RelationNotLoadedError)
    await session.refresh(album, { load: ['songs'] })
    expect(album.songs.map(({ title }) => title)).toEqual(['A', 'B'])
  })

  test('refuses mistakes before anything is forgotten', async () => {
    const { session, album } = await loaded()
    await using _ = session
    const options = (given: unknown) => given as { columns: ['name'] }
    const isRefused = async (given: unknown) => errorOf(session.refresh(album, options(given)))
    expect(await isRefused({ columns: ['songs'] })).toEqual(
      new MappingError("Album.songs is a relation: name it in 'load' instead of 'columns'"),
    )
    expect(await isRefused({ columns: ['nam'] })).toEqual(
      new MappingError("The entity albums has no column 'nam'; did you mean 'name'?"),
    )
    expect(await isRefused({ columns: [], load: ['song'] })).toEqual(
      new MappingError("albums has no relation 'song'; did you mean 'songs'?"),
    )
    expect(await isRefused({ columns: 'name' })).toBeInstanceOf(InvalidOptionError)
    expect(await isRefused({ load: 'songs' })).toBeInstanceOf(InvalidOptionError)
    expect([album.name, album.songs.length]).toEqual(['Blue', 2])
  })
})
