/** What flushes before it runs, what does not, and flushes that run side by side. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { text as textOf } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import {
  AbortedError,
  InvalidValueError,
  UnawaitedStatementError,
  UniqueViolationError,
  build,
  select,
  sql,
  update,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { Album, Artist, Song, Tag, statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const COUNT = 'select count(*)::int from songs'
const stored = () => fixture.db.query<{ title: string }>('select title from songs order by id')

describe('autoflush', () => {
  test.each<[string, (session: Session) => Promise<unknown>]>([
    ['execute', async (session) => (await session.execute(COUNT)).scalar()],
    ['scalar', (session) => session.scalar(sql`select count(*)::int from songs`)],
    ['scalars', async (session) => (await session.scalars(COUNT))[0]],
    ['select(Entity)', async (session) => (await session.scalars(select(Song))).length],
    ['count()', (session) => session.scalar(select(Song).count())],
    ['update(Entity)', async (session) => (await session.execute(update(Song).set({ plays: 1 }))).rowCount],
    [
      'stream',
      async (session) => {
        for await (const { count } of session.stream<{ count: number }>(COUNT)) return count
        return undefined
      },
    ],
    [
      'a script',
      async (session) => (
        await session.executeScript('select 1'),
        session.noAutoflush(() => session.scalar(COUNT))
      ),
    ],
    ['COPY TO', async (session) => Number(await textOf(await session.copyTo(`copy (${COUNT}) to stdout`)))],
    [
      'COPY FROM',
      async (session) => {
        await pipeline(Readable.from(['sea\n']), await session.copyFrom('copy tags from stdin'))
        return session.noAutoflush(() => session.scalar(COUNT))
      },
    ],
    [
      'get of what is not here',
      async (session) => {
        expect(await session.get(Song, 99)).toBeNull()
        return session.noAutoflush(() => session.scalar(COUNT))
      },
    ],
    [
      'merge of what is not here',
      async (session) => {
        await session.merge(new Song({ id: 99, title: 'x' }))
        return session.noAutoflush(() => session.scalar(COUNT))
      },
    ],
  ])('comes before %s, which sees what was added, as no other session does', async (_name, look) => {
    await using session = fixture.factory()()
    session.add(new Song({ title: 'Carey' }))
    expect(await look(session)).toBe(1)
    expect(await stored()).toEqual([])
    await session.rollback()
    expect(await stored()).toEqual([])
  })

  test('comes before a refresh', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.flush()
    session.add(new Song({ title: 'River' }))
    await session.refresh(song)
    expect(session.new).toEqual([])
  })

  test('does not come before what the session answers by itself', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    session.add(new Song({ title: 'River' }))
    expect(await session.get(Song, 1)).toBe(song)
    expect([session.inTransaction, session.new.length]).toEqual([false, 1])
  })

  test('that is off leaves changes alone until commit, flush or a savepoint', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    expect(await session.scalar(COUNT)).toBe(0)
    expect(await session.get(Song, 1)).toBeNull()
    await session.flush()
    expect(await session.scalar(COUNT)).toBe(1)
    song.title = 'River'
    const savepoint = await session.beginNested()
    expect(session.dirty).toEqual([])
    song.title = 'undone'
    await savepoint.rollback()
    song.plays = 3
    await session.commit()
    expect(await stored()).toEqual([{ title: 'River' }])
  })

  test('is suspended in a noAutoflush block, and goes on after it, also if that throws', async () => {
    await using session = fixture.factory()()
    session.add(new Song({ title: 'Carey' }))
    expect(await session.noAutoflush(() => session.scalar(COUNT))).toBe(0)
    expect(await session.noAutoflush(() => session.noAutoflush(() => 1)).then(() => session.new.length)).toBe(
      1,
    )
    const thrown = session.noAutoflush(async () => {
      await session.scalar(COUNT)
      throw new RangeError('mine')
    })
    expect(await errorOf(thrown)).toBeInstanceOf(RangeError)
    expect(await session.scalar(COUNT)).toBe(1)
  })

  test('of nothing begins no transaction', async () => {
    await using session = fixture.factory()()
    await session.flush()
    await session.commit()
    session.expunge((session.add(new Song({ title: 'x' })), session.new[0] as object))
    await session.flush()
    expect([session.inTransaction, session.new]).toEqual([false, []])
  })

  test('is sent in the batch of the query, or of COMMIT', async () => {
    const { withSession } = fixture.factory()
    const song = new Song({ title: 'Carey' })
    const count = await withSession((session) => {
      session.add(song)
      return session.scalar(COUNT)
    })
    expect([count, song.id, await stored()]).toEqual([1, 1, [{ title: 'Carey' }]])
  })

  test('in autocommit mode is a transaction of its own', async () => {
    await using session = fixture.factory({}, { autocommit: true })()
    session.add(new Song({ title: 'Carey' }))
    expect(await session.scalar(COUNT)).toBe(1)
    expect(await stored()).toEqual([{ title: 'Carey' }])
    const twice = new Tag({ name: 'sea' })
    session.addAll([new Song({ title: 'River' }), new Tag({ name: 'sea' }), twice])
    const error = await errorOf(session.flush())
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect([session.inTransaction, statusOf(twice), session.new]).toEqual([false, 'transient', []])
    expect(await session.scalar(COUNT)).toBe(1)
  })
})

describe('flushes side by side', () => {
  test('write each object once', async () => {
    const { withSession } = fixture.factory()
    const songs = Array.from({ length: 5 }, (_, index) => new Song({ title: `${index}` }))
    const statements = await statementsOf(() =>
      withSession(async (session) => {
        session.addAll(songs)
        await Promise.all([session.flush(), session.flush(), session.scalar(COUNT), session.flush()])
        expect(songs.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5])
      }),
    )
    expect(statements).toEqual(['insert into "songs"'])
  })

  test('see what was added before each of them, and no more', async () => {
    await using session = fixture.factory()()
    session.add(new Song({ title: 'one' }))
    const first = session.scalar(COUNT)
    session.add(new Song({ title: 'two' }))
    const second = session.scalar(COUNT)
    session.add(new Song({ title: 'three' }))
    await session.commit()
    expect([await first, await second, (await stored()).length]).toEqual([1, 2, 3])
  })

  test('wait for keys that are under way, where an object changes again or is deleted', async () => {
    await using session = fixture.factory()()
    const [changed, deleted] = [new Song({ title: 'Carey' }), new Song({ title: 'Gone' })]
    session.addAll([changed, deleted])
    const flushing = session.flush()
    changed.title = 'River'
    session.delete(deleted)
    expect([session.dirty, session.isModified(changed)]).toEqual([[changed], true])
    await session.commit()
    await flushing
    expect([await stored(), session.dirty]).toEqual([[{ title: 'River' }], []])
  })

  test('wait for keys that are under way, where new objects refer to them', async () => {
    await using session = fixture.factory()()
    const artist: WithRelations<typeof Artist> = new Artist({ name: 'Joni' })
    session.add(artist)
    const first = session.flush()
    const album = new Album({ name: 'Blue', artistId: 0 }) as WithRelations<typeof Album>
    album.artist = artist
    session.add(album)
    const second = session.flush()
    artist.albums = [album, new Album({ name: 'Hejira', artistId: 0 })]
    await session.commit()
    await Promise.all([first, second])
    expect(await fixture.db.query('select name, artist_id from albums order by id')).toEqual([
      { name: 'Blue', artist_id: 1 },
      { name: 'Hejira', artist_id: 1 },
    ])
  })

  test('wait for keys that are under way, where a new object is refreshed', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await Promise.all([session.flush(), session.refresh(song)])
    expect([song.id, song.title]).toEqual([1, 'Carey'])
  })

  test('are newer than the row that was locked before them', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    await session.commit()
    const locking = session.get(Song, 1, { forUpdate: true })
    song.title = 'River'
    await Promise.all([locking, session.flush()])
    expect(song.title).toBe('River')
    await session.commit()
    expect(await stored()).toEqual([{ title: 'River' }])
  })

  test('keep what a get did not find that was given before them', async () => {
    await using session = fixture.factory()()
    const song = new Song({ id: 5, title: 'Carey' })
    const early = session.get(Song, 5)
    session.add(song)
    expect(await Promise.all([early, session.flush()])).toEqual([null, undefined])
    song.title = 'River'
    await session.commit()
    expect(await stored()).toEqual([{ title: 'River' }])
  })

  test('are one transaction each in autocommit mode, and one where they write the same', async () => {
    await using session = fixture.factory({}, { autocommit: true })()
    session.add(build(Artist, { name: 'Joni', albums: [new Album({ name: 'Blue', artistId: 0 })] }))
    const [, , count] = await Promise.all([
      session.flush(),
      session.flush(),
      session.scalar(select(Artist).count()),
      session.scalar('select 2'),
    ])
    expect([count, await fixture.db.query('select artist_id from albums')]).toEqual([1, [{ artist_id: 1 }]])
  })

  test('wait for an object that is under way, where its foreign key is set by a collection', async () => {
    await using session = fixture.factory()()
    const album = build(Album, { name: 'Blue', artist: new Artist({ name: 'Joni' }), songs: [] })
    session.add(album)
    await session.commit()
    const song = new Song({ title: 'Carey' })
    session.add(song)
    const early = session.flush()
    album.songs?.push(song)
    await Promise.all([early, session.commit()])
    expect(await fixture.db.query('select album_id from songs')).toEqual([{ album_id: album.id }])
  })

  test('keep a key that was set while PostgreSQL made one', async () => {
    await using session = fixture.factory()()
    const artist = build(Artist, { name: 'Joni', albums: [new Album({ name: 'Blue' })] })
    session.add(artist)
    const early = session.flush()
    artist.id = 77
    await Promise.all([early, session.commit()])
    expect(await fixture.db.query('select artist_id from albums')).toEqual([{ artist_id: 77 }])
  })

  test('that are not awaited fail the block', async () => {
    const { withSession } = fixture.factory()
    const forgotten = withSession((session) => {
      session.add(new Song({ title: 'Carey' }))
      void session.flush()
      return 1
    })
    expect(await errorOf(forgotten)).toBeInstanceOf(UnawaitedStatementError)
    expect(await stored()).toEqual([])
  })

  test('of a session that is closed are refused', async () => {
    const session = fixture.factory()()
    await session.close()
    for (const call of [
      () => session.flush(),
      () => session.get(Song, 1),
      () => session.merge(new Song({ title: 'x' })),
      () => session.refresh(new Song({ title: 'x' })),
      async () => session.add(new Song({ title: 'x' })),
      async () => session.expireAll(),
    ]) {
      expect((await errorOf(call())).constructor.name).toBe('SessionClosedError')
    }
    expect(session.contains(new Song({ title: 'x' }))).toBe(false)
  })
})

describe('flushes in autocommit mode', () => {
  const open = () => fixture.factory({}, { autocommit: true })()
  const transactions = async () =>
    (
      await fixture.db.query(
        'select distinct xmin::text from songs union select distinct xmin::text from tags',
      )
    ).length

  test('have no nested block but in begin(), and are part of it there', async () => {
    await using session = open()
    const song = new Song({ title: 'Carey' })
    const error = await errorOf(
      session.beginNested(async () => {
        session.add(song)
        await session.flush()
      }),
    )
    expect(error).toMatchObject({ code: 'INVALID_OPTION', option: 'autocommit' })
    expect(session.contains(song)).toBe(false)
    await session.begin(() =>
      session.beginNested(async () => {
        session.add(song)
        await session.flush()
      }),
    )
    expect(await stored()).toEqual([{ title: 'Carey' }])
  })

  test('wait for an un-awaited statement', async () => {
    await using session = open()
    const slow = session.scalar('select count(*)::int from songs, pg_sleep(0.02)')
    session.add(new Song({ title: 'Carey' }))
    await session.flush()
    expect([await slow, await stored()]).toEqual([0, [{ title: 'Carey' }]])
    session.add(new Song({ title: 'River' }))
    expect(await Promise.all([session.scalar('select 1'), session.scalar(COUNT)])).toEqual([1, 2])
  })

  test('do not suffer from a statement before them that fails', async () => {
    await using session = open()
    const failing = errorOf(session.execute('select 1 / 0'))
    session.add(new Song({ title: 'Carey' }))
    await session.flush()
    expect((await failing)['sqlState']).toBe('22012')
    expect([await stored(), session.inTransaction]).toEqual([[{ title: 'Carey' }], false])
  })

  test('wait for each other, and are atomic', async () => {
    await using session = open()
    session.add(new Song({ title: 'Carey' }))
    const first = session.flush()
    await new Promise(setImmediate)
    session.addAll([new Song({ title: 'River' }), new Tag({ name: 'sea' }), new Tag({ name: 'sea' })])
    const second = session.flush()
    session.addAll([new Song({ title: 'Coyote' }), new Tag({ name: 'road' })])
    const count = session.scalar(COUNT)
    expect(await first).toBeUndefined()
    expect(await errorOf(second)).toBeInstanceOf(UniqueViolationError)
    expect(await errorOf(count)).toBeInstanceOf(UniqueViolationError)
    expect([await stored(), session.inTransaction]).toEqual([[{ title: 'Carey' }], false])
    session.addAll([new Song({ title: 'Coyote' }), new Tag({ name: 'road' })])
    expect(await session.scalar(COUNT)).toBe(2)
    expect(await transactions()).toBe(2)
  })

  test('let no other statement into their transaction', async () => {
    const factory = fixture.factory({}, { autocommit: true, autoflush: false })
    await using session = factory()
    factory.on('afterFlush', async () => {
      await session.scalar('select 1')
      throw new RangeError('mine')
    })
    session.add(new Song({ title: 'undone' }))
    const flushing = session.flush()
    const inserting = session.execute("insert into tags values ('kept')")
    expect(await errorOf(flushing)).toBeInstanceOf(RangeError)
    await inserting
    session.add(new Song({ title: 'undone' }))
    const again = errorOf(session.flush())
    await session.begin(() => session.execute("insert into tags values ('too')"))
    expect(await again).toBeInstanceOf(RangeError)
    expect(await fixture.db.query('select name from tags order by name')).toEqual([
      { name: 'kept' },
      { name: 'too' },
    ])
    expect(await stored()).toEqual([])
  })

  test('store nothing after a hook that ends their transaction', async () => {
    const factory = fixture.factory({}, { autocommit: true })
    await using session = factory()
    factory.on('beforeFlush', async () => {
      await session.scalar('select 1')
      await session.rollback()
    })
    session.addAll([new Song({ title: 'Carey' }), new Tag({ name: 'sea' })])
    expect(await errorOf(session.flush())).toBeInstanceOf(AbortedError)
    expect(await stored()).toEqual([])
  })

  test('that cannot be written can be fixed and flushed again', async () => {
    await using session = open()
    const song = new Song({ title: 7 as never })
    session.add(song)
    expect(await errorOf(session.flush())).toBeInstanceOf(InvalidValueError)
    song.title = 'mended'
    await session.flush()
    expect(await stored()).toEqual([{ title: 'mended' }])
  })
})

describe('what suspends autoflush', () => {
  test('does so for its own queries only, not for those beside it', async () => {
    await using session = fixture.factory()()
    let goOn = (): void => undefined
    const waiting = new Promise<void>((resolve) => (goOn = resolve))
    const suspended = session.noAutoflush(async () => {
      await waiting
      return session.scalar(COUNT)
    })
    session.add(new Song({ title: 'Carey' }))
    expect(await session.scalar(COUNT)).toBe(1)
    session.add(new Song({ title: 'River' }))
    goOn()
    expect(await suspended).toBe(1)
    expect(session.new).toHaveLength(1)
  })

  test('ends with its block, also for code that the block left running', async () => {
    await using session = fixture.factory()()
    session.add(new Song({ title: 'Carey' }))
    let goOn = (): void => undefined
    const waiting = new Promise<void>((resolve) => (goOn = resolve))
    const behind = await session.noAutoflush(() => [waiting.then(() => session.scalar(COUNT))])
    goOn()
    expect(await behind[0]).toBe(1)
  })

  test('is a hook of a flush, whose queries do not flush, while others do', async () => {
    const factory = fixture.factory()
    await using session = factory()
    const counts: unknown[] = []
    const later = new Song({ title: 'River' })
    const stop = factory.on('beforeFlush', async () => {
      stop()
      counts.push(await session.scalar(COUNT))
    })
    session.add(new Song({ title: 'Carey' }))
    const flushing = session.flush()
    session.add(later)
    const beside = session.scalar(COUNT)
    await flushing
    expect([counts, await beside]).toEqual([[0], 2])
  })
})
