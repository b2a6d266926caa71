/** What is read in a savepoint expires when it is rolled back: it may be what was undone. */
import { describe, expect, test } from 'vitest'
import {
  eq,
  ExpiredAttributeError,
  RelationNotLoadedError,
  select,
  sql,
  update,
  type Session,
} from '../../src/index.js'
import { Album, Artist, Song, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const titles = () =>
  fixture.db
    .query<{ title: string }>('select title from songs order by id')
    .then((rows) => rows.map(({ title }) => title))

async function stored() {
  const factory = fixture.factory()
  await factory.withSession((session) => session.addAll([new Song({ title: 'a' }), new Song({ title: 'b' })]))
  return factory()
}

const undone = async (session: Session, work: () => Promise<unknown>): Promise<void> => {
  const error = await errorOf(
    session.beginNested(async () => {
      await work()
      throw new RangeError('undone')
    }),
  )
  expect(error).toBeInstanceOf(RangeError)
}

const change = (session: Session) => session.execute("update songs set title = 'x' where id = 1")

const WAYS: Record<string, (session: Session, song: Song | undefined) => Promise<unknown>> = {
  'update().returning()': (session) =>
    session.execute(update(Song).set({ title: 'x' }).where(eq(Song.c.id, 1)).returning()),
  'refresh()': async (session, song) => {
    await change(session)
    await session.refresh(song as Song)
  },
  'refresh() of the column': async (session, song) => {
    await change(session)
    await session.refresh(song as Song, { columns: ['title'] })
  },
  'get(forUpdate)': async (session) => {
    await change(session)
    await session.get(Song, 1, { forUpdate: true })
  },
  'get(populateExisting)': async (session) => {
    await change(session)
    await session.get(Song, 1, { populateExisting: true })
  },
  'select().forUpdate()': async (session) => {
    await change(session)
    await session.scalars(select(Song).forUpdate())
  },
  'a query after it had expired': async (session, song) => {
    session.expire(song as Song)
    await change(session)
    await session.scalars(select(Song))
  },
  'a statement that returns it': (session) =>
    session.scalars(select(Song).from(sql`update songs set title = 'x' where id = 1 returning *`)),
}

describe('a savepoint that is rolled back takes away what was read in it', () => {
  test.each(Object.keys(WAYS))('by %s', async (way) => {
    await using session = await stored()
    const read = WAYS[way] as (typeof WAYS)[string]
    const song = way.startsWith('a statement') ? undefined : await session.getOne(Song, 1)
    const other = await session.getOne(Song, 2)
    await undone(session, () => read(session, song))
    if (song !== undefined) expect(() => song.title).toThrow(ExpiredAttributeError)
    const again = song ?? (await session.getOne(Song, 1))
    again.title = 'x'
    await session.commit()
    expect(await titles()).toEqual(['x', 'b'])
    if (!way.startsWith('select')) expect(other.title).toBe('b')
  })

  test('first of all in it, in one inside of it, or in one that was released into it', async () => {
    await using session = await stored()
    let song: Song | undefined
    await undone(session, async () => {
      await change(session)
      await session.beginNested(async () => {
        song = await session.getOne(Song, 1)
      })
      expect(song?.title).toBe('x')
    })
    expect(() => song?.title).toThrow(ExpiredAttributeError)
    const again = await session.getOne(Song, 1)
    expect([again === song, again.title]).toEqual([true, 'a'])
    // Released to the transaction, it is what the transaction makes of it.
    await session.beginNested(async () => {
      await change(session)
      await session.refresh(again)
    })
    expect(again.title).toBe('x')
    await undone(session, () => session.execute("update songs set title = 'y'"))
    expect(again.title).toBe('x')
  })

  test('and leaves alone what was read before, although the answer comes inside', async () => {
    await using session = await stored()
    const before = session.scalars(select(Song))
    await undone(session, async () => {
      await before
    })
    expect((await before).map(({ title }) => title)).toEqual(['a', 'b'])
  })

  test('relations, and only those that were loaded inside', async () => {
    await using session = fixture.factory()()
    const artist = new Artist({ name: 'Joni' })
    session.add(artist)
    await session.flush()
    await session.execute(sql`insert into albums (name, artist_id) values ('Blue', ${artist.id})`)
    await session.execute("insert into songs (title, plays, album_id) values ('a', 0, 1)")
    const album = await session.getOne(Album, 1, { load: ['artist'] })
    await undone(session, async () => {
      await session.execute('update songs set album_id = null')
      expect((await session.getOne(Album, 1, { load: ['songs'] })).songs).toEqual([])
    })
    expect([album.name, album.artist]).toEqual(['Blue', artist])
    expect(() => (album as { songs?: unknown }).songs).toThrow(RelationNotLoadedError)
    expect((await session.getOne(Album, 1, { load: ['songs'] })).songs).toHaveLength(1)
  })
})
