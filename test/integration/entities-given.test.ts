/** Detached objects that are added: a rollback gives them back as they were given, so that a second attempt stores the same. */
import { describe, expect, test } from 'vitest'
import { ExpiredAttributeError, select, UniqueViolationError, type Session } from '../../src/index.js'
import { Album, Artist, Song, Tag, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const FAIL = "do $$ begin raise exception 'serialization' using errcode = '40001'; end $$"

async function stored() {
  const factory = fixture.factory()
  await factory.withSession((session) => {
    const song = new Song({ title: 'one', settings: { tags: ['a'] }, heardAt: new Date(0) })
    session.addAll([song, new Song({ title: 'two' }), new Tag({ name: 'taken' })])
    session.add(new Artist({ name: 'Joni' }))
  })
  await fixture.db.query("insert into albums (name, artist_id) values ('Blue', 1)")
  await fixture.db.query('update songs set album_id = 1')
  return factory
}

const songs = () =>
  fixture.db.query("select title, plays, settings->'tags' as tags, album_id as album from songs order by id")

/** Loads an object, changes it when its session has ended, and remembers what it should be. */
async function changedSong(factory: Awaited<ReturnType<typeof stored>>) {
  const song = await factory.withSession((session) => session.getOne(Song, 1))
  song.plays = 20
  song.settings?.tags.push('b')
  song.heardAt?.setFullYear(2000)
  return song
}

const CHANGED = { title: 'one', plays: 20, tags: ['a', 'b'], album: 1 }

describe('what was changed outside of a block and is added in it', () => {
  test('is stored by the attempt that succeeds, however many fail before', async () => {
    const factory = await stored()
    const song = await changedSong(factory)
    const { settings, heardAt } = song
    let attempts = 0
    await factory.withSession(
      async (session) => {
        expect(song).toMatchObject({ plays: 20, settings: { tags: ['a', 'b'] } })
        session.add(song)
        song.title = `attempt ${attempts}`
        song.settings?.tags.push('inside')
        song.heardAt = null
        await session.flush()
        if (attempts++ < 2) await session.execute(FAIL)
        song.title = 'one'
        song.settings = { tags: ['a', 'b'] }
        song.heardAt = heardAt
      },
      { retry: { attempts: 3, backoff: () => 0 } },
    )
    expect(attempts).toBe(3)
    expect((await songs())[0]).toEqual(CHANGED)
    expect(settings).toEqual({
      tags: ['a', 'b', 'inside', 'inside', 'inside'].slice(0, settings?.tags.length),
    })
  })

  test('is detached after a rollback, as it was given: values, documents, dates', async () => {
    const factory = await stored()
    const song = await changedSong(factory)
    await using session = factory()
    for (const end of ['rollback', 'close'] as const) {
      const first = end === 'close' ? session : factory()
      first.add(song)
      song.title = 'inside'
      song.settings = null
      song.heardAt?.setFullYear(1990)
      await first.flush()
      await first[end]()
      expect([statusOf(song), first.contains(song)]).toEqual(['detached', false])
      expect(song).toMatchObject({ title: 'one', plays: 20, settings: { tags: ['a', 'b'] } })
      expect(song.heardAt?.getFullYear()).toBe(2000)
      await first.close()
    }
    await factory.withSession((last) => last.add(song))
    expect((await songs())[0]).toEqual(CHANGED)
  })

  test('is stored by a second try by hand, in another session, in the same one or in a savepoint', async () => {
    const factory = await stored()
    const song = await changedSong(factory)
    const first = factory.withSession((session) => session.addAll([song, new Tag({ name: 'taken' })]))
    expect(await errorOf(first)).toBeInstanceOf(UniqueViolationError)
    await using session = factory()
    const nested = (also: object[]) => session.beginNested(() => session.addAll([song, ...also]))
    expect(await errorOf(nested([new Tag({ name: 'taken' })]))).toBeInstanceOf(UniqueViolationError)
    expect([statusOf(song), song.plays]).toEqual(['detached', 20])
    await nested([])
    await session.rollback()
    session.addAll([song, new Tag({ name: 'taken' })])
    expect(await errorOf(session.commit())).toBeInstanceOf(UniqueViolationError)
    await session.rollback()
    session.add(song)
    await session.commit()
    expect([statusOf(song), (await songs())[0]]).toEqual(['persistent', CHANGED])
  })

  test('keeps what its relations were given: members that came, went and are new, and what was loaded', async () => {
    const factory = await stored()
    const album = await factory.withSession((session) => session.getOne(Album, 1, { load: ['songs.tags'] }))
    const [one, two] = album.songs
    const added = new Song({ title: 'new' })
    album.songs.splice(0, 1, added as never)
    two?.tags.push(new Tag({ name: 'fresh' }))
    const given = [...album.songs]
    const attempt = async (session: Session, fails: boolean): Promise<void> => {
      session.add(album)
      await session.flush()
      album.songs.length = 0
      if (fails) await session.execute(FAIL)
      album.songs.push(...given)
    }
    await errorOf(factory.withSession((session) => attempt(session, true)))
    expect([album.songs, statusOf(added), statusOf(album)]).toEqual([given, 'transient', 'detached'])
    expect(two?.tags.map(({ name }) => name)).toEqual(['fresh'])
    await factory.withSession((session) => attempt(session, false))
    expect((await songs()).map(({ title, album: id }) => [title, id])).toEqual([
      ['one', null],
      ['two', 1],
      ['new', 1],
    ])
    expect(await fixture.db.query('select tag from song_tags')).toEqual([{ tag: 'fresh' }])
    expect(statusOf(one as Song)).toBe('detached')
  })

  test('is as before if only its deletion was rolled back, and if it had expired', async () => {
    const factory = await stored()
    const song = await changedSong(factory)
    await errorOf(
      factory.withSession(async (session) => {
        session.delete(song)
        await session.flush()
        await session.execute(FAIL)
      }),
    )
    expect([statusOf(song), song.plays]).toEqual(['detached', 20])
    const expired = await factory.withSession(async (session) => {
      const two = await session.getOne(Song, 2)
      session.expire(two, ['title'])
      return two
    })
    expired.plays = 7
    await errorOf(
      factory.withSession(async (session) => {
        session.add(expired)
        await session.refresh(expired)
        await session.execute(FAIL)
      }),
    )
    expect([statusOf(expired), expired.plays]).toEqual(['detached', 7])
    expect(() => expired.title).toThrow(ExpiredAttributeError)
    await factory.withSession((session) => session.addAll([expired, song]))
    expect((await songs()).map(({ title, plays }) => [title, plays])).toEqual([
      ['one', 20],
      ['two', 7],
    ])
  })

  test('belongs to its session once the commit is done: the next rollback expires it', async () => {
    const factory = await stored()
    const song = await changedSong(factory)
    await using session = factory()
    session.add(song)
    await session.commit()
    song.plays = 21
    await session.scalars(select(Song))
    await session.rollback()
    expect(statusOf(song)).toBe('persistent')
    expect(() => song.plays).toThrow(ExpiredAttributeError)
    await session.refresh(song)
    expect(song.plays).toBe(20)
  })
})
