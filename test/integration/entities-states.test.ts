/** The states of an instance, and the errors of taking it for what it is not. */
import { describe, expect, test } from 'vitest'
import {
  ExpiredAttributeError,
  IllegalStateError,
  MappingError,
  NoResultError,
  RelationNotLoadedError,
  UniqueViolationError,
  eq,
  select,
  sql,
} from '../../src/index.js'
import { Album, Artist, Song, Tag, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const titles = (): Promise<string[]> =>
  fixture.db
    .query<{ title: string }>('select title from songs order by title')
    .then((rows) => rows.map(({ title }) => title))

describe('an object', () => {
  test('is transient, then pending, persistent, deleted and at last detached', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    expect([statusOf(song), session.contains(song)]).toEqual(['transient', false])
    session.add(song)
    expect([statusOf(song), session.contains(song), session.new]).toEqual(['pending', true, [song]])
    expect(session.inTransaction).toBe(false)
    await session.flush()
    expect([statusOf(song), song.id, session.new]).toEqual(['persistent', 1, []])
    expect(session.inTransaction).toBe(true)
    session.delete(song)
    expect([statusOf(song), session.contains(song), session.deleted]).toEqual(['persistent', true, [song]])
    await session.flush()
    expect([statusOf(song), session.deleted]).toEqual(['deleted', []])
    expect(await session.get(Song, 1)).toBeNull()
    await session.commit()
    expect([statusOf(song), session.contains(song)]).toEqual(['detached', false])
    expect({ ...song }).toMatchObject({ id: 1, title: 'Carey' })
  })

  test('that is loaded is the same instance whichever statement brought it, until the session is closed', async () => {
    const factory = fixture.factory()
    const session = factory()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    expect(await session.get(Song, song.id)).toBe(song)
    expect(await session.scalar(select(Song))).toBe(song)
    expect((await session.execute(select(Song).from(sql`select * from songs`))).one()).toBe(song)
    await session.close()
    expect([statusOf(song), { ...song }]).toMatchObject(['detached', { id: 1, title: 'Carey' }])
    await using other = factory()
    expect(await other.get(Song, 1)).not.toBe(song)
  })

  test('that is added twice is one row', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.addAll([song, song])
    session.add(song)
    await session.flush()
    session.add(song)
    await session.commit()
    expect(await titles()).toEqual(['Carey'])
  })

  test('that was added or deleted while COMMIT was under way is taken back by a later rollback', async () => {
    await using session = fixture.factory()()
    const [early, late] = [new Song({ title: 'Carey' }), new Song({ title: 'River' })]
    session.add(early)
    await session.flush()
    const committing = session.commit()
    session.add(late)
    session.delete(early)
    await committing
    expect([session.new, session.deleted]).toEqual([[late], [early]])
    await session.rollback()
    expect([session.new, session.deleted, statusOf(late)]).toEqual([[], [], 'transient'])
    await session.commit()
    expect(await fixture.db.query('select title from songs')).toEqual([{ title: 'Carey' }])
  })

  test('that was added by a session that ended without commit can be added by another one', async () => {
    const factory = fixture.factory()
    const song = new Song({ title: 'Carey' })
    {
      await using session = factory()
      session.add(song)
    }
    expect(statusOf(song)).toBe('transient')
    {
      await using session = factory()
      session.add(song)
      await session.flush()
    }
    expect([statusOf(song), song.id]).toEqual(['transient', undefined])
    await factory.withSession((session) => session.add(song))
    expect([await titles(), statusOf(song)]).toEqual([['Carey'], 'detached'])
  })

  test('of one session is refused by another one, until it is expunged or its session is closed', async () => {
    const factory = fixture.factory()
    await using first = factory()
    await using second = factory()
    const [pending, persistent] = [new Song({ title: 'Carey' }), new Song({ title: 'River' })]
    first.add(persistent)
    await first.commit()
    first.add(pending)
    for (const song of [pending, persistent]) {
      expect(() => second.add(song)).toThrow(/belongs to another session/)
      expect(() => second.expunge(song)).toThrow(IllegalStateError)
      expect(second.contains(song)).toBe(false)
    }
    expect(() => second.delete(persistent)).toThrow(/belongs to another session/)
    expect(() => second.expire(persistent)).toThrow(/persistent in another session/)
    first.expunge(pending)
    await first.close()
    second.addAll([pending, persistent])
    persistent.title = 'River, again'
    await second.commit()
    expect(await titles()).toEqual(['Carey', 'River, again'])
  })

  test('is refused where the session has another one with its key', async () => {
    const factory = fixture.factory()
    await factory.withSession((session) => session.add(new Song({ title: 'Carey' })))
    const detached = await factory.withSession((session) => session.getOne(Song, 1))
    await using session = factory()
    const present = await session.getOne(Song, 1)
    expect(() => session.add(detached)).toThrow(/another Song with the same key: use merge/)
    session.expunge(present)
    session.add(detached)
    expect(await session.get(Song, 1)).toBe(detached)
  })

  test('that was made new with the key of one that is here fails, and the rollback brings the first one back', async () => {
    await using session = fixture.factory()()
    const first = new Song({ title: 'Carey' })
    session.add(first)
    await session.commit()
    session.add(new Song({ id: first.id, title: 'Double' }))
    expect(await errorOf(session.flush())).toBeInstanceOf(UniqueViolationError)
    await session.rollback()
    expect(await session.get(Song, 1)).toBe(first)
    first.title = 'River'
    await session.commit()
    expect(await titles()).toEqual(['River'])
  })

  test('that shares its key with another new one fails with it, and both are transient again', async () => {
    await using session = fixture.factory()()
    const tags = [new Tag({ name: 'sea' }), new Tag({ name: 'sea' })] as const
    session.addAll(tags)
    expect(await errorOf(session.flush())).toBeInstanceOf(UniqueViolationError)
    await session.rollback()
    expect(tags.map(statusOf)).toEqual(['transient', 'transient'])
    session.add(tags[1])
    await session.commit()
    expect(await session.get(Tag, 'sea')).toBe(tags[1])
  })

  test('whose row was deleted by SQL can be replaced by a new object with its key', async () => {
    await using session = fixture.factory()()
    const first = new Song({ title: 'Carey' })
    session.add(first)
    await session.flush()
    await session.execute('delete from songs')
    const second = new Song({ id: first.id, title: 'River' })
    session.add(second)
    await session.commit()
    expect([statusOf(first), statusOf(second)]).toEqual(['detached', 'persistent'])
    expect(await session.get(Song, first.id)).toBe(second)
  })

  test('of no entity is refused, with what to do about a copy', async () => {
    await using session = fixture.factory()()
    expect(() => session.add({ title: 'Carey' })).toThrow(MappingError)
    expect(() => session.add({ ...new Song({ title: 'x' }) })).toThrow(/use merge/)
    expect(() => session.add(null as never)).toThrow(MappingError)
    expect(() => session.add('song' as never)).toThrow(/but a string/)
    expect(() => session.contains({})).not.toThrow()
  })
})

describe('delete', () => {
  const stored = async () => {
    const session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    return { session, song }
  }

  test('is reverted by rollback, flushed or not', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.delete(song)
    await session.flush()
    await session.rollback()
    expect(statusOf(song)).toBe('persistent')
    await session.refresh(song)
    expect(song.title).toBe('Carey')
    session.delete(song)
    await session.rollback()
    expect(session.deleted).toEqual([])
    await session.commit()
    expect(await titles()).toEqual(['Carey'])
  })

  test('is taken back by add, before it is flushed', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.delete(song)
    session.add(song)
    song.title = 'River'
    await session.commit()
    expect(await titles()).toEqual(['River'])
  })

  test('is final once it is flushed: the object cannot be added again, not even after commit', async () => {
    const { session, song } = await stored()
    await using _ = session
    session.delete(song)
    await session.flush()
    expect(() => session.add(song)).toThrow(/was deleted in this transaction/)
    session.delete(song)
    await session.commit()
    expect(() => session.add(song)).toThrow(/row of this Song was deleted/)
  })

  test('needs a row', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    expect(() => session.delete(song)).toThrow(/has no stored row/)
    session.add(song)
    expect(() => session.delete(song)).toThrow(/remove it with expunge/)
    session.expunge(song)
    await session.commit()
    expect([await titles(), session.inTransaction]).toEqual([[], false])
  })

  test('takes an object of a session that is closed', async () => {
    const { session, song } = await stored()
    await session.close()
    await fixture.factory().withSession((other) => other.delete(song))
    expect(await titles()).toEqual([])
  })
})

describe('get and refresh', () => {
  test('get returns null for a missing row, and expunges its expired object', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    session.expire(song)
    await fixture.db.query('delete from songs')
    expect(await session.get(Song, 1)).toBeNull()
    expect([session.contains(song), statusOf(song)]).toEqual([false, 'detached'])
    expect(await errorOf(session.getOne(Song, 1))).toBeInstanceOf(NoResultError)
  })

  test('refresh of a row that is gone throws', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    await fixture.db.query('delete from songs')
    const error = await errorOf(session.refresh(song))
    expect(error).toBeInstanceOf(NoResultError)
    expect(error.message).toContain('row of this Song is gone')
  })

  test('refresh and expire need a row, in this session', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    for (const status of ['transient', 'pending']) {
      expect((await errorOf(session.refresh(song))).message).toContain(`this Song is ${status}`)
      expect(() => session.expire(song)).toThrow(`this Song is ${status}`)
      if (status === 'transient') session.add(song)
    }
    await session.flush()
    session.expunge(song)
    expect((await errorOf(session.refresh(song))).message).toContain('this Song is detached')
    expect(() => session.expunge(song)).toThrow(/is detached: it is in no session/)
  })

  test('a new object has no relation loaded, flushed or not, until it is asked for', async () => {
    await using session = fixture.factory()()
    const album = new Album({ name: 'Blue', artistId: 0 }) as Album & { artist: Artist; songs?: Song[] }
    album.artist = new Artist({ name: 'Joni' })
    session.add(album)
    expect(() => album.songs).toThrow(RelationNotLoadedError)
    await session.flush()
    expect(() => album.songs).toThrow(/load: \['songs'\]/)
    await session.get(Album, album.id, { load: ['songs'] })
    expect(album.songs).toEqual([])
  })

  test('an expired object that no session follows says so when it is read', async () => {
    const session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    session.expire(song)
    await session.close()
    const found = () => song.title
    expect(found).toThrow(ExpiredAttributeError)
    expect(found).toThrow(/after the end of its session, in another one/)
    await using other = fixture.factory()()
    other.add(song)
    await other.refresh(song)
    expect(song.title).toBe('Carey')
    expect(await other.scalar(select(Song).where(eq(Song.c.id, 1)))).toBe(song)
  })
})
