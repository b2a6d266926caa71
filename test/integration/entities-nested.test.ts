/** What savepoints do to instances. */
import { describe, expect, test } from 'vitest'
import { ExpiredAttributeError, UniqueViolationError, type WithRelations } from '../../src/index.js'
import { Album, Artist, Song, Tag, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const titles = () =>
  fixture.db
    .query<{ title: string }>('select title from songs order by id')
    .then((rows) => rows.map(({ title }) => title))

/** A session with two songs that are stored. */
async function stored() {
  const session = fixture.factory()()
  const [one, two] = [new Song({ title: 'one' }), new Song({ title: 'two' })]
  session.addAll([one, two])
  await session.commit()
  return { session, one, two }
}

describe('a savepoint', () => {
  test('that is rolled back takes back what was added, changed and deleted in it, and nothing else', async () => {
    const { session, one, two } = await stored()
    await using _ = session
    one.title = 'before'
    const early = new Song({ title: 'early' })
    session.add(early)
    const savepoint = await session.beginNested()
    const late = new Song({ title: 'late' })
    session.add(late)
    one.title = 'inside'
    session.delete(two)
    await session.flush()
    expect([late.id, statusOf(two)]).toEqual([4, 'deleted'])
    await savepoint.rollback()
    expect([late, early, one, two].map(statusOf)).toEqual([
      'transient',
      'persistent',
      'persistent',
      'persistent',
    ])
    expect([late.id, early.title]).toEqual([undefined, 'early'])
    expect(() => one.title).toThrow(ExpiredAttributeError)
    expect(() => two.title).toThrow(ExpiredAttributeError)
    await session.refresh(one)
    expect(one.title).toBe('before')
    await session.commit()
    expect(await titles()).toEqual(['before', 'two', 'early'])
  })

  test('that is rolled back is named by what has expired with it', async () => {
    const { session, one } = await stored()
    await using _ = session
    const undone = session.beginNested(async () => {
      one.title = 'inside'
      await session.flush()
      throw new RangeError('undone')
    })
    expect(await errorOf(undone)).toBeInstanceOf(RangeError)
    expect(() => one.title).toThrow(/^Song.title has expired: the transaction or savepoint \(beginNested\)/)
  })

  test('that is rolled back without a flush takes changes back, too', async () => {
    const { session, one, two } = await stored()
    await using _ = session
    const savepoint = await session.beginNested()
    one.title = 'inside'
    session.delete(two)
    session.add(new Song({ title: 'new' }))
    await savepoint.rollback()
    expect([session.new, session.deleted, session.dirty]).toEqual([[], [], []])
    await session.commit()
    expect(await titles()).toEqual(['one', 'two'])
  })

  test('that is released by hand flushes what was changed inside, also within a block', async () => {
    const { session, one, two } = await stored()
    await using _ = session
    const outer = await session.beginNested()
    one.title = 'inside'
    await outer.commit()
    await session.beginNested(async () => {
      const inner = await session.beginNested()
      two.title = 'deeper'
      session.add(new Song({ title: 'new' }))
      await inner.commit()
    })
    await session.commit()
    expect(await titles()).toEqual(['inside', 'deeper', 'new'])
  })

  test('that is released leaves everything to the transaction, which may still roll it back', async () => {
    const { session, one, two } = await stored()
    await using _ = session
    const added = new Song({ title: 'added' })
    await session.beginNested(() => {
      one.title = 'inside'
      session.add(added)
      session.delete(two)
    })
    expect([statusOf(added), added.id, one.title, statusOf(two)]).toEqual([
      'persistent',
      3,
      'inside',
      'deleted',
    ])
    await session.rollback()
    expect([added, two].map(statusOf)).toEqual(['transient', 'persistent'])
    await session.refresh(one)
    expect(one.title).toBe('one')
    session.add(added)
    await session.beginNested(() => session.delete(two))
    await session.commit()
    expect([await titles(), statusOf(two)]).toEqual([['one', 'added'], 'detached'])
  })

  test('inside another one goes with it', async () => {
    const { session, one } = await stored()
    await using _ = session
    const inner = new Song({ title: 'inner' })
    const outer = new Song({ title: 'outer' })
    const thrown = session.beginNested(async () => {
      session.add(outer)
      await session.beginNested(() => {
        session.add(inner)
        one.title = 'inner'
      })
      expect([outer, inner].map(statusOf)).toEqual(['persistent', 'persistent'])
      throw new RangeError('outer')
    })
    expect(await errorOf(thrown)).toBeInstanceOf(RangeError)
    expect([outer, inner].map(statusOf)).toEqual(['transient', 'transient'])
    await session.commit()
    expect(await titles()).toEqual(['one', 'two'])
  })

  test('inside another one can fail alone: work around a row that is there already', async () => {
    const { session } = await stored()
    await using _ = session
    await session.beginNested(async () => {
      session.add(new Tag({ name: 'sea' }))
      const double = session.beginNested(() => session.add(new Tag({ name: 'sea' })))
      const error = await errorOf(double)
      expect(error).toBeInstanceOf(UniqueViolationError)
      session.add(new Tag({ name: 'road' }))
    })
    await session.commit()
    expect(await fixture.db.query('select name from tags order by name')).toEqual([
      { name: 'road' },
      { name: 'sea' },
    ])
  })

  test('that is rolled back and begun again does not remember the first time', async () => {
    const { session, one } = await stored()
    await using _ = session
    const song = new Song({ title: 'again' })
    for (let time = 0; time < 3; time++) {
      const savepoint = await session.beginNested()
      await session.refresh(one)
      one.title = `time ${time}`
      session.add(song)
      await session.flush()
      if (time < 2) await savepoint.rollback()
      else await savepoint.commit()
    }
    await session.commit()
    expect(await titles()).toEqual(['time 2', 'two', 'again'])
  })

  test('that is rolled back takes relations back as they were', async () => {
    const { session } = await stored()
    await using _ = session
    const artist: WithRelations<typeof Artist> = new Artist({ name: 'Joni' })
    artist.albums = [new Album({ name: 'Blue', artistId: 0 })]
    session.add(artist)
    await session.commit()
    const [blue] = artist.albums as [Album]
    const hejira = new Album({ name: 'Hejira', artistId: 0 })
    const thrown = session.beginNested(async () => {
      artist.albums?.push(hejira)
      await session.flush()
      expect(hejira.artistId).toBe(artist.id)
      throw new RangeError('mine')
    })
    await errorOf(thrown)
    expect(statusOf(hejira)).toBe('transient')
    const again = await session.getOne(Artist, 1, { load: ['albums'] })
    expect(again.albums).toEqual([blue])
    await session.commit()
    expect(await fixture.db.query('select name from albums')).toEqual([{ name: 'Blue' }])
  })

  test('counts as a transaction, and ends with it', async () => {
    const { session, one } = await stored()
    await using _ = session
    expect(session.inTransaction).toBe(false)
    await session.beginNested()
    one.title = 'inside'
    await session.beginNested()
    await session.flush()
    expect(session.inTransaction).toBe(true)
    await session.commit()
    expect([session.inTransaction, await titles()]).toEqual([false, ['inside', 'two']])
    const savepoint = await session.beginNested()
    one.title = 'not kept'
    await session.flush()
    await session.rollback()
    await savepoint.rollback()
    expect([session.inTransaction, await titles()]).toEqual([false, ['inside', 'two']])
  })
})

describe('a rollback', () => {
  test('that is rolled back while it is flushed: its answer is ignored, also if the same object is stored again', async () => {
    const session = fixture.factory()()
    await using _ = session
    const song = new Song({ title: 'River' })
    const thrown = session.beginNested(async () => {
      session.add(song)
      await Promise.all([session.flush(), Promise.reject(new RangeError('mine'))])
    })
    expect(await errorOf(thrown)).toBeInstanceOf(RangeError)
    session.add(song)
    await session.flush()
    expect(await session.scalar("select id from songs where title = 'River'")).toBe(song.id)
    expect(await session.get(Song, song.id)).toBe(song)
  })

  test('refuses a rollback of the transaction, and undoes nothing then', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'River' })
    await session.beginNested(async () => {
      session.add(song)
      await session.flush()
      expect((await errorOf(session.rollback()))['code']).toBe('ILLEGAL_STATE')
    })
    await session.commit()
    expect([statusOf(song), song.title]).toEqual(['persistent', 'River'])
  })

  test('leaves alone what was expunged, and what another session has taken', async () => {
    const factory = fixture.factory()
    await using first = factory()
    await using second = factory()
    const [kept, added] = [new Song({ title: 'kept' }), new Song({ title: 'added' })]
    first.add(kept)
    await first.commit()
    kept.title = 'changed'
    first.add(added)
    await first.flush()
    first.expunge(kept)
    first.add(new Song({ title: 'third' }))
    const [pending] = first.new as [Song]
    first.expunge(pending)
    second.addAll([kept, pending])
    await first.rollback()
    expect([statusOf(added), statusOf(kept), second.contains(kept), second.contains(pending)]).toEqual([
      'transient',
      'persistent',
      true,
      true,
    ])
    expect(first.contains(kept)).toBe(false)
    await second.commit()
    expect(await titles()).toEqual(['kept', 'third'])
  })
})
