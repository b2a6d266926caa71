/** Changes of one foreign key that say different things are refused before anything is sent, and the error names both. */
import { describe, expect, test } from 'vitest'
import { build, InvalidValueError } from '../../src/index.js'
import {
  Artist,
  parts,
  Profile,
  Song,
  stored,
  Tag,
  User,
  useOwners,
  type Work,
} from './entities-contradictions-support.js'
import { statementsOf } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useOwners()

const CONTRADICTIONS: readonly (readonly [string, Work, RegExp])[] = [
  [
    'a column of a new object and its relation',
    ({ session, a }) => session.add(build(Song, { id: 9, artistId: 2, artist: a })),
    /a new Song, id 9 .*Song\.artistId was set to 2, and Song\.artist was set to a stored Artist, id 1/,
  ],
  [
    'a shared column of a new object and its relation, 0 included',
    ({ session, one }) => session.add(build(Profile, { tenantId: 0, id: 9, user: one })),
    /Profile\.tenantId was set to 0, and Profile\.user was set to a stored User, tenantId 1, id 1/,
  ],
  [
    'a column of a new object and a relation that is null',
    ({ session }) => session.add(build(Song, { id: 9, artistId: 2, artist: null })),
    /Song\.artistId was set to 2, and Song\.artist was set to null/,
  ],
  [
    'a column of a new object and the collection that takes it in',
    ({ a }) => a.songs.push(new Song({ id: 9, artistId: 2 })),
    /Song\.artistId was set to 2, and it was put into Artist\.songs of a stored Artist, id 1/,
  ],
  [
    'a column of a new object and a new owner whose key PostgreSQL makes',
    ({ session }) => session.add(build(Song, { id: 9, artistId: 2, artist: build(Artist, {}) })),
    /Song\.artistId was set to 2, and Song\.artist was set to a new Artist/,
  ],
  [
    'a column of a stored object and its relation',
    ({ song, b }) => Object.assign(song, { artistId: 3, artist: b }),
    /a stored Song, id 1 .*Song\.artistId was set to 3, and Song\.artist was set to a stored Artist, id 2/,
  ],
  [
    'a column that was set to null and a relation',
    ({ song, b }) => Object.assign(song, { artistId: null, artist: b }),
    /Song\.artistId was set to null, and Song\.artist was set to a stored Artist, id 2/,
  ],
  [
    'a column and a relation that was let go of',
    ({ song }) => Object.assign(song, { artistId: 3, artist: null }),
    /Song\.artistId was set to 3, and Song\.artist was set to null/,
  ],
  [
    'a column and a collection',
    ({ song, b }) => (b.songs.push(song), (song.artistId = 3)),
    /Song\.artistId was set to 3, and it was put into Artist\.songs of a stored Artist, id 2/,
  ],
  [
    'a column that leads back and the collection that still held the object',
    async ({ session, song, a }) => {
      song.artistId = 2
      await session.flush()
      song.artistId = 1
      a.songs = []
    },
    /Song\.artistId was set to 1, and it was taken out of Artist\.songs of a stored Artist, id 1/,
  ],
  [
    'a relation and the collection of another owner',
    ({ song, b, c }) => (b.songs.push(song), (song.artist = c)),
    /Song\.artist was set to a stored Artist, id 3.* it was put into Artist\.songs of a stored Artist, id 2|put into Artist\.songs of a stored Artist, id 2.* Song\.artist was set to a stored Artist, id 3/,
  ],
  [
    'a relation that was let go of and a collection',
    ({ song, b }) => (b.songs.push(song), (song.artist = null)),
    /put into Artist\.songs of a stored Artist, id 2, and Song\.artist was set to null/,
  ],
  [
    'the collections of two owners',
    ({ loose, a, b }) => (a.songs.push(loose), b.hits.push(loose)),
    /put into Artist\.songs of a stored Artist, id 1, and it was put into Artist\.hits of a stored Artist, id 2/,
  ],
  [
    'a collection that lets go of what the relation is set to',
    ({ song, a }) => ((a.songs = []), (song.artist = a)),
    /taken out of Artist\.songs of a stored Artist, id 1, and Song\.artist was set to a stored Artist, id 1/,
  ],
  [
    'a single partner and the relation of the other side',
    ({ one, two, profileOf }) => {
      const profile = profileOf(two)
      one.profile = profile
      profile.user = two
      two.profile = null
    },
    /User\.profile of a stored User, tenantId 1, id 1 was set to this Profile/,
  ],
  [
    'a single partner whose key belongs to another tenant',
    ({ one, two, profileOf }) => (one.profile = profileOf(two)),
    /User\.profile of a stored User, tenantId 1, id 1 was set to this Profile, which needs profiles\.tenant_id to be 1, but Profile\.tenantId belongs to the primary key of a stored Profile, tenantId 2, id 2/,
  ],
  [
    'a collection of another tenant',
    async ({ session, two, profileOf }) => {
      const { aliases } = await session.getOne(User, { tenantId: 1, id: 1 }, { load: ['aliases'] })
      aliases.push(profileOf(two))
    },
    /^A stored Profile, tenantId 2, id 2 was put into User\.aliases of a stored User, tenantId 1, id 1, which needs profiles\.tenant_id to be 1, but/,
  ],
  [
    'a relation that would move a part of the key',
    ({ one, two, profileOf }) => (profileOf(two).user = one),
    /Profile\.user was set to a stored User, tenantId 1, id 1, which needs profiles\.tenant_id to be 1, but/,
  ],
  [
    'the two sides of a join table',
    async ({ session }) => {
      const song = await session.getOne(Song, 1, { load: ['tags'] })
      const tag = await session.getOne(Tag, 'old', { load: ['songs'] })
      song.tags = []
      await session.flush()
      song.tags = [tag]
      tag.songs = []
    },
    /a stored Tag was put into Song\.tags of a stored Song, id 1, and a stored Song, id 1 was taken out of Tag\.songs of a stored Tag/,
  ],
]

describe('changes that contradict each other are refused, and nothing is sent', () => {
  test.each(CONTRADICTIONS)('%s', async (_, work, message) => {
    await using session = fixture.factory({}, { autoflush: false })()
    await work(await parts(session))
    let error: unknown
    const sent = await statementsOf(async () => (error = await errorOf(session.flush())))
    expect(error).toBeInstanceOf(InvalidValueError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).toMatch(/Make one|make one|Use a Profile/)
    expect(sent).toEqual([])
    await session.rollback()
  })

  test('and the objects are as the program left them, so that it can mend them', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const { song, loose, a, b } = await parts(session)
    song.artist = b
    loose.artistId = 3
    a.songs.push(loose)
    const made = build(Song, { id: 9, artist: b })
    session.add(made)
    await errorOf(session.flush())
    expect([song.artistId, loose.artistId, made.artistId]).toEqual([1, 3, null])
    loose.artistId = 1
    await session.commit()
    expect([song.artistId, loose.artistId, made.artistId]).toEqual([2, 1, 2])
  })

  test('also where another value of the flush was refused after the foreign keys were found', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const { song, b } = await parts(session)
    song.artist = b
    const wrong = new Song({ id: 1.5 })
    session.add(wrong)
    await errorOf(session.flush())
    expect(song.artistId).toBe(1)
    session.expunge(wrong)
    song.artistId = 2
    await session.commit()
    expect(await stored(fixture)).toMatchObject({ 'song 1': '2' })
  })
})
