/** Foreign keys that share columns, such as the tenant in every key: what one relation needs another one neither takes nor contradicts. */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  InvalidValueError,
  manyToMany,
  MappingError,
  text,
  type AnyEntity,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const key = { tenantId: integer('tenant_id').primaryKey(), id: integer().primaryKey() }
function to<Name extends string>(table: string, id: Name) {
  return { columns: ['tenantId' as const, id], references: [`${table}.tenant_id`, `${table}.id`] }
}

class Tenant extends Base.entity('tenants', { id: integer().primaryKey() }) {}
class Album extends Base.entity('albums', key) {
  static readonly relations = {
    songs: hasMany(() => Song, ['tenantId', 'albumId']),
    cover: hasOne(() => Cover, ['tenantId', 'albumId']),
    tags: manyToMany(() => Tag, 'album_tags'),
  }
}
class Artist extends Base.entity('artists', key) {}
class Tag extends Base.entity('tags', key) {
  static readonly relations = { albums: manyToMany(() => Album, 'album_tags') }
}
Base.entity(
  'album_tags',
  {
    tenantId: integer('tenant_id').primaryKey(),
    albumId: integer('album_id').primaryKey(),
    tagId: integer('tag_id').primaryKey(),
  },
  {
    foreignKeys: [to('albums', 'albumId'), to('tags', 'tagId')],
  },
)
const foreignKeys = [to('albums', 'albumId'), to('artists', 'artistId')]
const columns = { id: integer().primaryKey(), albumId: integer('album_id'), artistId: integer('artist_id') }
const relations = {
  album: belongsTo(() => Album, ['tenantId', 'albumId']),
  artist: belongsTo(() => Artist, ['tenantId', 'artistId']),
}
class Song extends Base.entity(
  'songs',
  { ...columns, tenantId: integer('tenant_id').notNull() },
  { foreignKeys },
) {
  static readonly relations = relations
}
/** Its tenant takes NULL. */
class Loose extends Base.entity('loose', { ...columns, tenantId: integer('tenant_id') }, { foreignKeys }) {
  static readonly relations = relations
}
class Cover extends Base.entity(
  'covers',
  { ...columns, tenantId: integer('tenant_id').notNull().references('tenants.id') },
  { foreignKeys: [to('albums', 'albumId')] },
) {
  static readonly relations = {
    tenant: belongsTo(() => Tenant, 'tenantId'),
    album: belongsTo(() => Album, ['tenantId', 'albumId']),
  }
}
/** The relation to the tenant can be let go of, if nothing else needs the tenant. */
class Draft extends Base.entity(
  'drafts',
  { ...columns, tenantId: integer('tenant_id').references('tenants.id') },
  { foreignKeys: [to('albums', 'albumId')] },
) {
  static readonly relations = Cover.relations
}
/** Both keys are one column. */
class User extends Base.entity('users', { id: integer().primaryKey(), name: text() }) {}
class Profile extends Base.entity('profiles', { userId: integer('user_id').primaryKey() }) {}
class Login extends Base.entity('logins', { id: integer().primaryKey(), userId: integer('user_id') }) {
  static readonly relations = {
    user: belongsTo(() => User, 'userId'),
    profile: belongsTo(() => Profile, 'userId'),
  }
}

const fixture = useEntities(Base)
beforeEach(() =>
  fixture.db.query(`
    insert into tenants values (1), (2);
    insert into albums (tenant_id, id) select t, i from generate_series(1, 2) t, generate_series(1, 2) i;
    insert into artists (tenant_id, id) select tenant_id, id from albums;
    insert into tags (tenant_id, id) select tenant_id, id from albums;
    insert into songs (id, tenant_id, album_id, artist_id) values (1, 1, 1, 1);
    insert into loose (id, tenant_id, album_id, artist_id) values (1, 1, 1, 1);
    insert into covers (id, tenant_id, album_id) values (1, 1, 1);
    insert into drafts (id, tenant_id, album_id) values (1, 1, 1);
    insert into users values (1), (2);
    insert into profiles values (1), (2);
    insert into logins values (1, 1);`),
)

/** The tenant, album and artist of row 1 after a block. */
async function after(table: string, work: (session: Session) => Promise<unknown>): Promise<unknown[]> {
  await fixture.factory().withSession(async (session) => void (await work(session)))
  const [row] = await fixture.db.query(`select tenant_id, album_id, artist_id from ${table} where id = 1`)
  return Object.values(row ?? {})
}

async function refusal(work: (session: Session) => Promise<unknown>): Promise<Error> {
  const error = await errorOf(
    fixture.factory({}, { autoflush: false }).withSession(async (session) => void (await work(session))),
  )
  expect(await fixture.db.query('select tenant_id, album_id, artist_id from songs where id = 1')).toEqual([
    { tenant_id: 1, album_id: 1, artist_id: 1 },
  ])
  return error
}

const at = (tenantId: number, id: number) => ({ tenantId, id })
const load = <E extends AnyEntity>(session: Session, entity: E, id: number) =>
  session.getOne(entity, id) as Promise<WithRelations<E>>

describe('letting go of a relation', () => {
  test.each([
    ['songs', Song],
    ['loose', Loose],
  ])('leaves the column that it shares with another one: %s', async (table, Entity) => {
    expect(await after(table, async (session) => ((await load(session, Entity, 1)).artist = null))).toEqual([
      1,
      1,
      null,
    ])
    expect(await after(table, async (session) => ((await load(session, Entity, 1)).album = null))).toEqual([
      1,
      null,
      null,
    ])
  })

  test('of both at once leaves what they share', async () => {
    expect(
      await after('loose', async (session) => {
        const loose = await load(session, Loose, 1)
        loose.album = null
        loose.artist = null
      }),
    ).toEqual([1, null, null])
  })

  test('by a collection, a single partner, or the deletion of the owner does the same', async () => {
    const owned = (session: Session) => session.getOne(Album, at(1, 1), { load: ['songs', 'cover'] })
    expect(await after('songs', async (session) => ((await owned(session)).songs = []))).toEqual([1, null, 1])
    expect(await after('covers', async (session) => ((await owned(session)).cover = null))).toEqual([
      1,
      null,
      null,
    ])
    await fixture.db.query(
      'update songs set album_id = 1; update covers set album_id = 1; delete from loose; delete from drafts',
    )
    expect(await after('songs', async (session) => session.delete(await owned(session)))).toEqual([
      1,
      null,
      1,
    ])
    expect(await fixture.db.query('select tenant_id, album_id from covers')).toEqual([
      { tenant_id: 1, album_id: null },
    ])
  })

  test('of the tenant is refused while another relation needs it, and not afterwards', async () => {
    const error = await refusal(async (session) => ((await load(session, Draft, 1)).tenant = null))
    expect(error).toBeInstanceOf(InvalidValueError)
    expect(error.message).toContain(
      'Draft.tenant cannot be set to null while Draft.album needs the same columns (a stored Draft, id 1)',
    )
    expect(
      await after('drafts', async (session) => {
        const draft = await load(session, Draft, 1)
        draft.tenant = null
        draft.album = null
      }),
    ).toEqual([null, null, null])
  })

  test('is refused where no column takes NULL', async () => {
    const error = await refusal(async (session) => ((await load(session, Cover, 1)).tenant = null as never))
    expect(error).toBeInstanceOf(MappingError)
    expect(error.message).toContain('A Cover would have no owner, but covers.tenant_id is not nullable')
  })

  test('says nothing about a new object that other relations lead', async () => {
    const stored = await after('songs', async (session) => {
      const album = await session.getOne(Album, at(1, 2))
      session.add(build(Song, { id: 5, album, artist: null }))
    })
    expect(stored).toEqual([1, 1, 1])
    expect(await fixture.db.query('select tenant_id, album_id, artist_id from songs where id = 5')).toEqual([
      { tenant_id: 1, album_id: 2, artist_id: null },
    ])
  })
})

describe('relations that contradict each other are refused before anything is sent', () => {
  test('where both are assigned, in any order', async () => {
    for (const first of ['album', 'artist'] as const) {
      const error = await refusal(async (session) => {
        const song = await load(session, Song, 1)
        const [album, artist] = [
          await session.getOne(Album, at(2, 1)),
          await session.getOne(Artist, at(1, 1)),
        ]
        if (first === 'album') song.album = album
        song.artist = artist
        song.album = album
      })
      expect(error).toBeInstanceOf(InvalidValueError)
      expect(error.message).toMatch(
        /Song\.(album|artist) and Song\.(album|artist) need different values of songs\.tenant_id: \d and \d \(a stored Song, id 1\)/,
      )
    }
  })

  test('where one is assigned and the other is stored, loaded or not', async () => {
    for (const names of [[], ['album', 'artist']] as ('album' | 'artist')[][]) {
      const error = await refusal(async (session) => {
        const song = (await session.getOne(Song, 1, { load: names })) as WithRelations<typeof Song>
        song.artist = await session.getOne(Artist, at(2, 2))
      })
      expect(error.message).toContain(
        'Song.artist and Song.album need different values of songs.tenant_id: 2 and 1 (a stored Song, id 1)',
      )
    }
  })

  test('where a collection puts an object into another tenant', async () => {
    const error = await refusal(async (session) => {
      const album = await session.getOne(Album, at(2, 1), { load: ['songs'] })
      album.songs.push(await session.getOne(Song, 1))
    })
    expect(error.message).toContain(
      'Album.songs and Song.artist need different values of songs.tenant_id: 2 and 1',
    )
  })

  test('of a new object, given by columns and by relations', async () => {
    const error = await refusal(async (session) => {
      const artist = await session.getOne(Artist, at(2, 1))
      session.add(build(Song, { id: 5, tenantId: 1, albumId: 1, artist }))
    })
    expect(error.message).toContain(
      'Song.artist and Song.album need different values of songs.tenant_id: 2 and 1 (a new Song, id 5)',
    )
  })

  test('where one column is the key of two', async () => {
    const contradiction = await refusal(async (session) => {
      const login = await load(session, Login, 1)
      login.user = await session.getOne(User, 2)
      login.profile = await session.getOne(Profile, 1)
    })
    expect(contradiction.message).toContain('need different values of logins.user_id: 2 and 1')
    const halved = await refusal(async (session) => {
      const login = await load(session, Login, 1)
      login.user = await session.getOne(User, 2)
      login.profile = null
    })
    expect(halved.message).toContain(
      'Login.profile cannot be set to null while Login.user needs the same columns',
    )
  })

  test('and can be fixed: the objects are unchanged', async () => {
    await using session = fixture.factory({}, { autoflush: false })()
    const song = await load(session, Song, 1)
    song.artist = await session.getOne(Artist, at(2, 2))
    await errorOf(session.flush())
    expect([song.tenantId, song.artistId]).toEqual([1, 1])
    song.album = await session.getOne(Album, at(2, 1))
    await session.commit()
    expect([song.tenantId, song.albumId, song.artistId]).toEqual([2, 1, 2])
  })
})

describe('an object moves to another tenant', () => {
  test('with all of its relations, or with the columns set', async () => {
    const both = async (session: Session): Promise<void> => {
      const song = await load(session, Song, 1)
      song.album = await session.getOne(Album, at(2, 2))
      song.artist = await session.getOne(Artist, at(2, 1))
    }
    await fixture.factory({}, { autoflush: false }).withSession(both)
    expect(await fixture.db.query('select tenant_id, album_id, artist_id from songs')).toEqual([
      { tenant_id: 2, album_id: 2, artist_id: 1 },
    ])
    const stored = await after('songs', async (session) => {
      const song = await load(session, Song, 1)
      song.tenantId = 1
      song.artist = await session.getOne(Artist, at(1, 1))
    })
    expect(stored).toEqual([1, 2, 1])
  })

  test('with the relation that holds all of the shared columns', async () => {
    const stored = await after('covers', async (session) => {
      const cover = await load(session, Cover, 1)
      cover.album = await session.getOne(Album, at(2, 1))
    })
    expect(stored).toEqual([2, 1, null])
  })
})

describe('rows of the join table that hold a column of both sides', () => {
  test('are inserted and deleted from either side', async () => {
    const links = () =>
      fixture.db.query('select tenant_id, album_id, tag_id from album_tags order by 1, 2, 3')
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const album = await session.getOne(Album, at(1, 1), { load: ['tags'] })
      album.tags.push(await session.getOne(Tag, at(1, 2)), new Tag(at(1, 9)))
      const tag = await session.getOne(Tag, at(2, 1), { load: ['albums'] })
      tag.albums.push(await session.getOne(Album, at(2, 2)))
    })
    expect((await links()).map((row) => Object.values(row))).toEqual([
      [1, 1, 2],
      [1, 1, 9],
      [2, 2, 1],
    ])
    await withSession(async (session) => {
      const tag = await session.getOne(Tag, at(1, 2), { load: ['albums'] })
      expect(tag.albums).toMatchObject([at(1, 1)])
      tag.albums = []
      session.delete(await session.getOne(Album, at(2, 2)))
    })
    expect((await links()).map((row) => Object.values(row))).toEqual([[1, 1, 9]])
  })

  test('cannot link what belongs to different tenants', async () => {
    const error = await refusal(async (session) => {
      const album = await session.getOne(Album, at(1, 1), { load: ['tags'] })
      album.tags.push(await session.getOne(Tag, at(2, 2)))
    })
    expect(error).toBeInstanceOf(InvalidValueError)
    expect(error.message).toContain(
      'Album.tags cannot link a stored Album, tenantId 1, id 1 with a stored Tag, tenantId 2, id 2: they need different values of album_tags.tenant_id: 1 and 2',
    )
  })
})
