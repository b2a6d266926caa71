/** `hideParameters` and entities: no error of the library shows a key, or what the caller's functions say about a value. */
import { inspect } from 'node:util'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  customType,
  declarativeBase,
  eq,
  hasMany,
  integer,
  jsonb,
  manyToMany,
  select,
  text,
  uuid,
  varchar,
  type Session,
  type SessionFactory,
} from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const NUMBER = 918_273
const OTHER = 645_546
const UUID = '2f1e7c3a-0000-4000-8000-000000000001'
const SECRETS = [String(NUMBER), String(OTHER), UUID, 's3cret']

const strict = customType<string>({
  type: 'text',
  encode: (value) => {
    if (value.startsWith('s3cret')) throw new Error(`cannot write ${value}`)
    return value
  },
  decode: (value) => {
    if (value === 'broken') throw new Error(`cannot read s3cret ${value}`)
    return value
  },
})

const Base = declarativeBase()
const key = { tenantId: integer('tenant_id').primaryKey(), id: integer().primaryKey() }
class Tag extends Base.entity('tags', key) {}
class Album extends Base.entity('albums', key) {
  static readonly relations = {
    songs: hasMany(() => Song, ['tenantId', 'albumId']),
    tags: manyToMany(() => Tag, 'album_tags'),
  }
}
class Artist extends Base.entity('artists', key) {}
Base.entity(
  'album_tags',
  {
    tenantId: integer('tenant_id').primaryKey(),
    albumId: integer('album_id').primaryKey(),
    tagId: integer('tag_id').primaryKey(),
  },
  {
    foreignKeys: [
      { columns: ['tenantId', 'albumId'], references: ['albums.tenant_id', 'albums.id'] },
      { columns: ['tenantId', 'tagId'], references: ['tags.tenant_id', 'tags.id'] },
    ],
  },
)
class Song extends Base.entity(
  'songs',
  {
    id: integer().primaryKey(),
    tenantId: integer('tenant_id'),
    albumId: integer('album_id'),
    artistId: integer('artist_id'),
    title: varchar({ length: 10 }),
    notes: jsonb(),
    mood: strict(),
  },
  {
    foreignKeys: [
      { columns: ['tenantId', 'albumId'], references: ['albums.tenant_id', 'albums.id'] },
      { columns: ['tenantId', 'artistId'], references: ['artists.tenant_id', 'artists.id'] },
    ],
  },
) {
  static readonly relations = {
    album: belongsTo(() => Album, ['tenantId', 'albumId']),
    artist: belongsTo(() => Artist, ['tenantId', 'artistId']),
  }
}
class Token extends Base.entity('tokens', { id: uuid().primaryKey(), name: text().notNull() }) {}

const fixture = useDatabase()
beforeAll(() => fixture.db.query(Base.metadata.ddl()))

beforeEach(() => fixture.db.query('truncate albums, artists, tags, album_tags, songs, tokens cascade'))

const none = { tenantId: null, albumId: null, artistId: null, title: null, notes: null, mood: null }
/** A document whose property must not be shown. (Written out, it would be in the stack as the name of a function.) */
const secretly = (value: unknown): object => Object.fromEntries([['s3cret', value]])
const anAlbum = (): Album => new Album({ tenantId: NUMBER, id: 1 })
const aSong = (values: object = {}): Song => new Song({ id: NUMBER, ...none, ...values })

/** Everything that a log could show of an error, causes included. */
const shown = (error: unknown): string =>
  inspect(error, { depth: 9, showHidden: true }) + String((error as Error).stack)

type Mistake = (session: Session, factory: SessionFactory) => unknown

const AT_FLUSH: [what: string, mistake: Mistake][] = [
  ['a new object with a value that is too long', (session) => session.add(aSong({ title: 'x'.repeat(11) }))],
  ['a value that is undefined', (session) => session.add(new Token({ id: UUID, name: undefined as never }))],
  [
    'a stored object',
    async (session) => {
      const song = aSong()
      session.add(song)
      await session.flush()
      song.title = 'x'.repeat(11)
    },
  ],
  [
    'a document with no data in it',
    (session) => session.add(aSong({ notes: secretly([new Set(['s3cret'])]) })),
  ],
  ['a value that a custom type refuses', (session) => session.add(aSong({ mood: 's3cret mood' }))],
  [
    'relations that need different values of a shared column',
    (session) => {
      session.add(
        Object.assign(aSong(), { album: anAlbum(), artist: new Artist({ tenantId: OTHER, id: 2 }) }),
      )
    },
  ],
  [
    'a link between rows of different tenants',
    (session) => {
      session.add(Object.assign(anAlbum(), { tags: [new Tag({ tenantId: OTHER, id: 2 })] }))
    },
  ],
]

describe('with hideParameters no key and no value is shown', () => {
  test.each(AT_FLUSH)('at flush, of %s', async (_what, mistake) => {
    const factory = fixture.factory({ hideParameters: true })
    const errors = [
      await errorOf(factory.withSession(async (session) => void (await mistake(session, factory)))),
      await errorOf(
        factory.withSession(async (session) => {
          await mistake(session, factory)
          await session.execute('select 1')
        }),
      ),
    ]
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'INVALID_VALUE' })
      for (const secret of SECRETS) expect(shown(error)).not.toContain(secret)
    }
  })

  const thrower = {
    toPostgres() {
      throw new Error('no form for s3cret')
    },
  }
  test.each<[what: string, mistake: Mistake]>([
    ['a parameter whose toPostgres() throws', (session) => session.execute('select $1', [thrower])],
    ['an element of an array', (session) => session.execute('select $1', [['a', thrower]])],
    ['a document', (session) => session.execute('select $1', [secretly(secretly(new Map()))])],
    [
      'a streamed statement',
      (session) =>
        session
          .stream('select $1', [secretly(new Map())])
          .pages()
          .next(),
    ],
    ['a row that is not there', (session) => session.getOne(Album, { tenantId: NUMBER, id: OTHER })],
    ['an object that has no row', (session) => session.delete(aSong())],
    [
      'an object whose key another one has',
      async (session, { withSession }) => {
        await withSession((other) => other.add(new Album({ tenantId: NUMBER, id: OTHER })))
        const detached = await withSession((other) => other.getOne(Album, { tenantId: NUMBER, id: OTHER }))
        await session.getOne(Album, { tenantId: NUMBER, id: OTHER })
        session.add(detached)
      },
    ],
    [
      'a row that is gone',
      async (session) => {
        const song = aSong()
        session.add(song)
        await session.flush()
        await session.execute('delete from songs')
        song.title = 's3cret'
        await session.flush()
      },
    ],
    [
      'a row that is there twice',
      async (session) => {
        await session.execute('insert into songs (id) values ($1)', [NUMBER])
        session.add(aSong())
        await session.flush()
      },
    ],
    [
      'a value that a custom type cannot read',
      async (session) => {
        await session.execute("insert into songs (id, mood) values ($1, 'broken')", [NUMBER])
        await session.execute(select(Song).where(eq(Song.c.id, NUMBER)))
      },
    ],
    [
      'an expired object',
      async (session) => {
        const song = aSong()
        session.add(song)
        await session.flush()
        session.expire(song)
        return song.title
      },
    ],
  ])('of %s', async (_what, mistake) => {
    const factory = fixture.factory({ hideParameters: true })
    const error = await errorOf(
      factory.withSession(async (session) => void (await mistake(session, factory))),
    )
    expect(error).toHaveProperty('code')
    for (const secret of SECRETS) expect(shown(error)).not.toContain(secret)
  })

  test('beside the message, an error says in plain words what is wrong', async () => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const messageOf = async (work: (session: Session) => unknown): Promise<string> =>
      (await errorOf(withSession(async (session) => void (await work(session))))).message
    expect(await messageOf((session) => session.execute('select $1', [thrower]))).toBe(
      'Parameter $1 cannot be sent: a function of it (toPostgres, toJSON, a getter) throws',
    )
    expect(await messageOf((session) => session.add(aSong({ title: 'x'.repeat(11) })))).toBe(
      'songs.title takes at most 10 characters, not 11 (a new Song)',
    )
    expect(await messageOf((session) => session.add(aSong({ notes: secretly(new Map()) })))).toBe(
      'songs.notes takes what JSON can express, not a Map: give Object.fromEntries(map) or [...map] (a new Song)',
    )
  })
})

test.each(AT_FLUSH)('without hideParameters the key is named: %s', async (_what, mistake) => {
  const factory = fixture.factory()
  const error = await errorOf(factory.withSession(async (session) => void (await mistake(session, factory))))
  expect(error.message).toMatch(new RegExp(`${NUMBER}|${UUID}`))
})
