/** Changes of one foreign key that say the same, or that only what was loaded speaks against, are stored. */
import { describe, expect, test } from 'vitest'
import { build, InvalidValueError } from '../../src/index.js'
import {
  Account,
  Artist,
  Booking,
  Draft,
  type Note,
  parts,
  Profile,
  Song,
  stored,
  useOwners,
  type Work,
} from './entities-contradictions-support.js'
import { errorOf } from './session-support.js'

const fixture = useOwners()

const AGREEMENTS: readonly (readonly [string, Work, Record<string, string>])[] = [
  [
    'both say the same',
    ({ song, b }) => (b.songs.push(song), Object.assign(song, { artist: b, artistId: 2 })),
    { 'song 1': '2' },
  ],
  ['a relation over a loaded key', ({ song, b }) => (song.artist = b), { 'song 1': '2' }],
  [
    'a key over a loaded relation',
    async ({ session, song }) => {
      await session.refresh(song, { load: ['artist'] })
      song.artistId = 2
    },
    { 'song 1': '2' },
  ],
  [
    'from one collection to another',
    ({ song, a, b }) => (a.songs.splice(0, 1), b.songs.push(song)),
    { 'song 1': '2' },
  ],
  [
    'out of a collection, and to another owner by the relation',
    ({ song, a, b }) => ((a.songs = []), (song.artist = b)),
    { 'song 1': '2' },
  ],
  [
    'out of a collection, and to another owner by the column',
    ({ song, a }) => ((a.songs = []), (song.artistId = 2)),
    { 'song 1': '2' },
  ],
  [
    'away and back',
    ({ song, a, b }) => {
      a.songs = []
      b.songs.push(song)
      b.songs.pop()
      a.songs.push(song)
    },
    { 'song 1': '1' },
  ],
  [
    'a relation set again after a flush, over the collection that still holds the object',
    async ({ session, song, a, b }) => {
      song.artist = b
      await session.flush()
      expect(a.songs).toContain(song)
      song.artist = a
    },
    { 'song 1': '1' },
  ],
  [
    'one change after the other, flushed between',
    async ({ session, song, b, c }) => {
      song.artistId = 2
      await session.flush()
      song.artist = c
      await session.flush()
      song.artist = null
      await session.flush()
      b.songs.push(song)
    },
    { 'song 1': '2' },
  ],
  ['null that was null', ({ loose, b }) => ((loose.artist = null), b.songs.push(loose)), { 'song 2': '2' }],
  [
    'null of a new object',
    ({ session, b }) => {
      const made = build(Song, { id: 9, artistId: null, artist: null })
      session.add(made)
      b.songs.push(made)
    },
    { 'song 9': '2' },
  ],
  [
    '0 where the constructor asks for a key',
    ({ session, b }) => session.add(build(Song, { id: 9, artistId: 0, artist: b })),
    { 'song 9': '2' },
  ],
  [
    'a shared column beside a relation that is null',
    ({ session }) => session.add(build(Profile, { tenantId: 1, id: 9, user: null })),
    { 'profile 1 9': null as never },
  ],
  [
    'a part of the key that was set, too',
    ({ one, two, profileOf }) => {
      const profile = profileOf(two)
      one.profile = null
      Object.assign(profile, { tenantId: 1, user: one })
    },
    { 'profile 1 2': '1' },
  ],
  [
    'a foreign key that is all in the key',
    ({ one, two }) => {
      const [note] = two.notes as [Note]
      note.no = 2
      two.notes = []
      one.notes.push(note)
    },
    { 'note 1 1 2': '' },
  ],
]

describe('what agrees, or was only loaded, is stored', () => {
  test.each(AGREEMENTS)('%s', async (_, work, expected) => {
    await using session = fixture.factory({}, { autoflush: false })()
    await work(await parts(session))
    await session.commit()
    expect(await stored(fixture)).toMatchObject(expected)
  })

  test('a default of the column, which the program has not set', async () => {
    await fixture.factory().withSession(async (session) => {
      session.add(build(Draft, { id: 1, artist: await session.getOne(Artist, 2) }))
    })
    expect(await fixture.db.query('select artist_id from drafts')).toEqual([{ artist_id: 2 }])
  })

  test('a key that is written in another way', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const [first, second] = await Promise.all(['1', '2'].map((no) => session.getOne(Account, no)))
    session.add(build(Booking, { id: 1, account: '1', of: first as Account }))
    session.add(build(Booking, { id: 2, account: '2.000', of: second as Account }))
    await session.flush()
    const wrong = build(Booking, { id: 3, account: '1.10', of: first as Account })
    session.add(wrong)
    expect(await errorOf(session.flush())).toBeInstanceOf(InvalidValueError)
    session.expunge(wrong)
    await session.commit()
    expect(await fixture.db.query('select account from bookings order by id')).toEqual([
      { account: '1.00' },
      { account: '2.00' },
    ])
  })

  test('the same object again after a rollback: it has lost the keys that its relation had given it', async () => {
    const { withSession } = fixture.factory()
    const made = build(Song, { id: 9, artist: build(Artist, {}) })
    let attempts = 0
    const attempt = withSession(async (session) => {
      session.add(made)
      await session.flush()
      made.artist = build(Artist, {})
      await session.flush()
      attempts++
      throw new Error('away')
    })
    await expect(attempt).rejects.toThrow('away')
    expect(made.artistId).toBeNull()
    await withSession((session) => session.add(made))
    expect(await stored(fixture)).toMatchObject({ 'song 9': String(made.artistId) })
    expect(attempts).toBe(1)
  })

  test('merge of an object whose relation was changed, and whose row has another owner by now', async () => {
    const { withSession } = fixture.factory()
    const song = await withSession((session) => session.getOne(Song, 1, { load: ['artist'] }))
    await fixture.db.query('update songs set artist_id = 3 where id = 1')
    song.artist = await withSession((session) => session.getOne(Artist, 2))
    await withSession((session) => session.merge(song))
    expect(await stored(fixture)).toMatchObject({ 'song 1': '2' })
  })

  test('an object that is deleted is not asked', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const { song, loose, b, c } = await parts(session)
    b.songs.push(song, loose)
    song.artist = c
    session.delete(song)
    // Its values are not needed any more.
    session.expire(loose, ['artistId'])
    session.delete(loose)
    await session.commit()
    const rows = Object.keys(await stored(fixture))
    expect(rows.filter((row) => row.startsWith('song'))).toEqual([])
  })
})
