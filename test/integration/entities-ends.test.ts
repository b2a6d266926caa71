/** What is done behind a commit or a rollback that is not awaited yet belongs to the next transaction. */
import { describe, expect, test } from 'vitest'
import { AbortedError, ExpiredAttributeError, select, type WithRelations } from '../../src/index.js'
import { Artist, Song, Tag, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const titles = () =>
  fixture.db
    .query<{ title: string }>('select title from songs order by id')
    .then((rows) => rows.map(({ title }) => title))

/** A session with a song that is stored. */
async function stored(...options: Parameters<typeof fixture.factory>) {
  const session = fixture.factory(...options)()
  const song = new Song({ title: 'one' })
  session.add(song)
  await session.commit()
  return { session, song }
}

describe('after an un-awaited rollback', () => {
  test('new objects are stored by the next transaction, and know it', async () => {
    await using session = fixture.factory()()
    const [a, b] = [new Song({ title: 'a' }), new Song({ title: 'b' })]
    session.add(a)
    await session.flush()
    void session.rollback()
    expect([statusOf(a), a.id]).toEqual(['transient', undefined])
    session.add(b)
    await session.flush()
    expect([statusOf(b), b.title]).toEqual(['persistent', 'b'])
    await session.commit()
    expect([await titles(), statusOf(b), typeof b.id]).toEqual([['b'], 'persistent', 'number'])
    b.title = 'changed'
    await session.commit()
    expect(await titles()).toEqual(['changed'])
  })

  test('an object whose insertion it undoes can be added again', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'a' })
    session.add(song)
    const flushing = session.flush()
    const rollingBack = session.rollback()
    session.add(song)
    await session.commit()
    await Promise.all([flushing, rollingBack])
    expect([await titles(), statusOf(song)]).toEqual([['a'], 'persistent'])
    expect(await session.scalar('select id from songs')).toBe(song.id)
  })

  test('changes and deletions count', async () => {
    const { session, song } = await stored()
    await using _ = session
    const other = new Song({ title: 'two' })
    session.add(other)
    await session.commit()
    song.title = 'undone'
    session.delete(other)
    await session.flush()
    const rollingBack = session.rollback()
    expect(() => song.title).toThrow(ExpiredAttributeError)
    song.title = 'kept'
    session.delete(other)
    await session.commit()
    await rollingBack
    expect([await titles(), song.title, statusOf(other)]).toEqual([['kept'], 'kept', 'detached'])
  })

  test('what a query before it gives is not taken for stored', async () => {
    const { session, song } = await stored()
    await using _ = session
    song.title = 'undone'
    session.add(new Song({ title: 'gone' }))
    const [songs] = await Promise.all([session.scalars(select(Song)), session.rollback()])
    expect(songs).toHaveLength(2)
    for (const one of songs) expect(() => one.title).toThrow(ExpiredAttributeError)
    await session.refresh(song)
    expect(song.title).toBe('one')
  })

  test('what a flush had to read first is not known', async () => {
    const { session, song } = await stored()
    await using _ = session
    song.title = 'undone'
    await session.flush()
    session.expire(song)
    song.plays = 5
    const flushing = errorOf(session.flush())
    await Promise.all([session.rollback(), flushing])
    expect(await flushing).toBeInstanceOf(AbortedError)
    expect(() => song.title).toThrow(ExpiredAttributeError)
    await session.refresh(song)
    expect([song.title, song.plays]).toEqual(['one', 0])
  })

  test('relations that were read before it are not known', async () => {
    await using session = fixture.factory()()
    const artist = new Artist({ name: 'Joni' })
    session.add(artist)
    await session.commit()
    await session.execute("insert into albums (name, artist_id) values ('Blue', $1)", [artist.id])
    const reading = session.get(Artist, artist.id, { load: ['albums'] })
    // The query is on its way then.
    await new Promise(process.nextTick)
    await Promise.all([reading, session.rollback()])
    expect(() => (artist as WithRelations<typeof Artist>).albums).toThrow('albums')
    const again = await session.getOne(Artist, 1, { load: ['albums'] })
    expect([again === artist, again.albums]).toEqual([true, []])
  })
})

describe('after an un-awaited commit', () => {
  test('flushed changes are undone by the next rollback only', async () => {
    const { session, song } = await stored()
    await using _ = session
    const [a, b] = [new Song({ title: 'a' }), new Song({ title: 'b' })]
    session.add(a)
    const committing = session.commit()
    session.add(b)
    song.title = 'undone'
    await session.flush()
    await session.rollback()
    await committing
    expect([statusOf(a), statusOf(b), b.id]).toEqual(['persistent', 'transient', undefined])
    await session.refresh(song)
    expect([song.title, await titles()]).toEqual(['one', ['one', 'a']])
  })

  test('a rollback undoes nothing that it stores', async () => {
    const { session, song } = await stored()
    await using _ = session
    const added = new Song({ title: 'a' })
    session.add(added)
    song.title = 'changed'
    await Promise.all([session.commit(), session.rollback()])
    expect([statusOf(added), await titles()]).toEqual(['persistent', ['changed', 'a']])
    await session.refresh(added)
    expect(added.id).toBe(2)
  })

  test('what is flushed does not expire with it', async () => {
    const { session, song } = await stored({}, { expireOnCommit: true })
    await using _ = session
    const added = new Song({ title: 'a' })
    session.add(new Song({ title: 'first' }))
    const committing = session.commit()
    session.add(added)
    await session.flush()
    await committing
    expect(added.title).toBe('a')
    expect(() => song.title).toThrow(ExpiredAttributeError)
  })

  test('a savepoint undoes what happened in it, also if it waited for another one', async () => {
    await using session = fixture.factory()()
    const [one, two, three] = ['one', 'two', 'three'].map((title) => new Song({ title }))
    const inside = (song: Song | undefined) => async () => {
      session.add(song as Song)
      await session.flush()
      throw new RangeError('mine')
    }
    const outcomes = await Promise.allSettled([
      session.beginNested(() => session.add(one as Song)),
      session.commit(),
      session.beginNested(inside(two)),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect([one, two].map((song) => statusOf(song as Song))).toEqual(['persistent', 'transient'])
    const committing = session.commit()
    await errorOf(session.beginNested(inside(three)))
    await committing
    expect([statusOf(three as Song), await titles()]).toEqual(['transient', ['one']])
  })

  test('a failed commit is undone by a later rollback, awaited or issued right after it', async () => {
    await fixture.db.query(`
      create or replace function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'refused' using errcode = '23514'; end $$;
      drop trigger if exists refuse on tags;
      create constraint trigger refuse after insert on tags deferrable initially deferred
        for each row execute function refuse()`)
    const { session, song } = await stored()
    await using _ = session
    for (const atOnce of [true, false]) {
      const [tag, late] = [new Tag({ name: 'sea' }), new Tag({ name: 'road' })]
      session.add(tag)
      song.title = 'undone'
      const committing = session.commit()
      if (!atOnce) session.add(late)
      const failed = errorOf(committing)
      if (atOnce) await session.rollback()
      expect((await failed).message).toContain('refused')
      if (!atOnce) {
        expect([statusOf(tag), statusOf(late)]).toEqual(['persistent', 'pending'])
        await session.rollback()
      }
      expect([statusOf(tag), statusOf(late), session.new]).toEqual(['transient', 'transient', []])
      await session.refresh(song)
      expect(song.title).toBe('one')
    }
    await session.commit()
    await fixture.db.query('drop trigger refuse on tags')
    expect([await titles(), await fixture.db.query('select * from tags')]).toEqual([['one'], []])
  })
})
