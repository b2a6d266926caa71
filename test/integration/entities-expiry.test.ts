/** When the values of instances are not known any more, and how they become known again. */
import { describe, expect, test } from 'vitest'
import { ExpiredAttributeError, StaleDataError, eq, select } from '../../src/index.js'
import type { SessionFactoryOptions } from '../../src/index.js'
import { Album, Artist, Song, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()

/** A session with one song that is stored. */
async function stored(options: Omit<SessionFactoryOptions, 'bind'> = {}) {
  const session = fixture.factory({}, options)()
  const song = new Song({ title: 'Carey', settings: { tags: ['a'] } })
  session.add(song)
  await session.commit()
  return { session, song }
}

describe('commit', () => {
  test('expires nothing by default: a value stays as it was until expireAll', async () => {
    const { session, song } = await stored()
    await using _ = session
    await fixture.db.query("update songs set title = 'River'")
    await session.commit()
    expect(song.title).toBe('Carey')
    session.expireAll()
    expect(() => song.title).toThrow(ExpiredAttributeError)
    expect(await session.get(Song, 1)).toBe(song)
    expect(song.title).toBe('River')
  })

  test('expires every object with expireOnCommit, its key and relations included, in one statement to load again', async () => {
    const { session, song } = await stored({ expireOnCommit: true })
    await using _ = session
    expect(() => song.id).toThrow(/Song.id has expired.*session.refresh/)
    expect(session.dirty).toEqual([])
    await session.refresh(song)
    expect({ ...song }).toMatchObject({ id: 1, title: 'Carey', settings: { tags: ['a'] } })
    await session.get(Song, 1, { load: ['album', 'tags'] })
    await session.commit()
    expect(() => (song as Song & { tags: unknown }).tags).toThrow(/neither loaded nor assigned/)
  })

  test('leaves alone what was changed while COMMIT was under way', async () => {
    const { session, song } = await stored({ expireOnCommit: true })
    await using _ = session
    await session.refresh(song)
    song.title = 'River'
    const committing = session.commit()
    song.plays = 5
    await committing
    await session.commit()
    expect(await fixture.db.query('select title, plays from songs')).toEqual([{ title: 'River', plays: 5 }])
  })

  test('without a transaction expires, too', async () => {
    const { session, song } = await stored()
    await session.close()
    await using other = fixture.factory({}, { expireOnCommit: true })()
    other.add(song)
    await other.commit()
    expect(() => song.title).toThrow(ExpiredAttributeError)
  })

  test('of a savepoint expires nothing', async () => {
    const { session, song } = await stored({ expireOnCommit: true })
    await using _ = session
    await session.refresh(song)
    await session.beginNested(() => {
      song.title = 'River'
    })
    expect(song.title).toBe('River')
  })
})

describe('rollback', () => {
  test('expires what was loaded, whatever expireOnCommit says', async () => {
    const { session, song } = await stored()
    await using _ = session
    await session.scalar('select 1')
    await session.rollback()
    expect(() => song.title).toThrow(ExpiredAttributeError)
  })

  test('expires nothing when no transaction had begun, but takes back what was changed', async () => {
    const { session, song } = await stored()
    await using _ = session
    await session.rollback()
    expect(song.title).toBe('Carey')
    song.title = 'River'
    session.add(new Song({ title: 'new' }))
    await session.rollback()
    expect([session.new, session.dirty]).toEqual([[], []])
    await session.refresh(song)
    expect(song.title).toBe('Carey')
  })
})

describe('an expired object', () => {
  test('is filled by any statement that brings its row', async () => {
    const { session, song } = await stored()
    await using _ = session
    for (const load of [
      () => session.get(Song, 1),
      () => session.scalar(select(Song).where(eq(Song.c.title, 'Carey'))),
      async () => {
        for await (const streamed of session.stream(select(Song))) expect(streamed).toBe(song)
      },
      () => session.refresh(song),
    ]) {
      session.expire(song)
      expect(() => song.settings).toThrow(ExpiredAttributeError)
      await load()
      expect(song.settings).toEqual({ tags: ['a'] })
    }
  })

  test('can be set without a statement, and only what differs from the row is written', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.expire(song)
    song.title = 'River'
    song.plays = 0
    expect([song.title, song.plays, session.inTransaction]).toEqual(['River', 0, false])
    expect(session.isModified(song)).toBe(true)
    await fixture.db.query('update songs set settings = \'{"tags": ["b"]}\'')
    await session.commit()
    expect(await fixture.db.query('select title, plays, settings from songs')).toEqual([
      { title: 'River', plays: 0, settings: { tags: ['b'] } },
    ])
    expect({ ...song }).toMatchObject({ title: 'River', plays: 0, settings: { tags: ['b'] } })
  })

  test('keeps what was set when its row is loaded, and refresh gives it up', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.expire(song)
    song.title = 'River'
    await session.noAutoflush(() => session.get(Song, 1))
    expect([song.title, song.plays]).toEqual(['River', 0])
    expect(session.dirty).toEqual([song])
    await session.refresh(song)
    expect(song.title).toBe('Carey')
    expect(session.dirty).toEqual([])
  })

  test('whose row is gone cannot be written', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.expire(song)
    song.title = 'River'
    await fixture.db.query('delete from songs')
    expect(await errorOf(session.commit())).toBeInstanceOf(StaleDataError)
    await session.rollback()
    expect(await session.get(Song, 1)).toBeNull()
  })

  test('can be deleted without being loaded', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.expire(song)
    session.delete(song)
    await session.commit()
    expect(await fixture.db.query('select * from songs')).toEqual([])
  })

  test('serves as the target of a relation without being loaded', async () => {
    await using session = fixture.factory({}, { expireOnCommit: true })()
    const artist = new Artist({ name: 'Joni' })
    session.add(artist)
    await session.commit()
    const album = new Album({ name: 'Blue', artistId: 0 })
    Object.assign(album, { artist })
    session.add(album)
    await session.commit()
    expect(await fixture.db.query('select artist_id from albums')).toEqual([{ artist_id: 1 }])
  })
})

describe('expire and refresh', () => {
  test('take names of columns, and leave the others with their changes', async () => {
    const { session, song } = await stored()
    await using _ = session
    song.title = 'River'
    song.plays = 5
    session.expire(song, ['title'])
    expect(() => song.title).toThrow(ExpiredAttributeError)
    expect(song.plays).toBe(5)
    await session.refresh(song, { columns: ['title'] })
    expect([song.title, song.plays]).toEqual(['Carey', 5])
    expect(() => session.expire(song, ['titel' as 'title'])).toThrow(/titel/)
  })

  test('of one column flush the changes of others first, and lose its own', async () => {
    const { session, song } = await stored()
    await using _ = session
    song.title = 'River'
    song.plays = 5
    await session.refresh(song, { columns: ['plays'] })
    expect([song.title, song.plays]).toEqual(['River', 0])
    expect(await session.scalar('select title from songs')).toBe('River')
    expect(session.dirty).toEqual([])
  })

  test('of one column do not write the others: changes of other transactions stay', async () => {
    const { session, song } = await stored()
    await using _ = session
    await fixture.db.query("update songs set title = 'River', plays = 5")
    await session.refresh(song, { columns: ['title'] })
    expect([song.title, song.plays]).toEqual(['River', 0])
    expect(session.isModified(song)).toBe(false)
    song.title = 'Blue'
    await session.commit()
    expect(await fixture.db.query('select title, plays from songs')).toEqual([{ title: 'Blue', plays: 5 }])
  })

  test('make what is stored of a document known again after a change in place', async () => {
    const { session, song } = await stored()
    await using _ = session
    song.settings?.tags.push('b')
    expect(session.isModified(song)).toBe(true)
    await session.refresh(song)
    expect(song.settings).toEqual({ tags: ['a'] })
    expect(session.isModified(song)).toBe(false)
  })

  test('accept relations to load, and forget the ones that were loaded', async () => {
    const { session, song } = await stored()
    await using _ = session
    const loaded = await session.getOne(Song, 1, { load: ['tags'] })
    expect(loaded.tags).toEqual([])
    await fixture.db.query("insert into tags values ('sea'); insert into song_tags values (1, 'sea')")
    await session.refresh(song, { load: ['tags'] })
    expect(loaded.tags.map(({ name }) => name)).toEqual(['sea'])
    expect((await errorOf(session.refresh(song, { load: ['tag'] }))).message).toContain("no relation 'tag'")
  })
})
