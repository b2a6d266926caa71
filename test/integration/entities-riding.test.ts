/** Entities in blocks whose COMMIT travels with their only statement. */
import { beforeAll, describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  eq,
  hasMany,
  select,
  serial,
  integer,
  text,
} from '../../src/index.js'
import { useDatabase } from './session-support.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: serial().primaryKey(),
  title: text().notNull(),
  albumId: integer('album_id').references('albums.id'),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}
class Album extends Base.entity('albums', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}

const fixture = useDatabase()
beforeAll(async () => {
  await fixture.db.query(Base.metadata.ddl())
  await fixture.db.query(
    `insert into albums (name) values ('Blue'); insert into songs (title, album_id) values ('Carey', 1)`,
  )
})

describe('a block that returns its only query', () => {
  test('gives entities, which stay as they are after the end of the session', async () => {
    const { withSession } = fixture.factory()
    const albums = await withSession((session) => session.scalars(select(Album)))
    expect(albums).toEqual([new Album({ id: 1, name: 'Blue' })])
  })

  test('gives entities with their relations, read in the same transaction', async () => {
    const { withSession } = fixture.factory()
    const albums = await withSession((session) => session.scalars(select(Album).load('songs')), {
      isolationLevel: 'REPEATABLE READ',
    })
    expect(albums[0]?.songs.map(({ title }) => title)).toEqual(['Carey'])
  })

  test('gives expired entities if they expire at commit', async () => {
    const { withSession } = fixture.factory({}, { expireOnCommit: true })
    const [album] = await withSession((session) => session.scalars(select(Album)))
    expect(() => album?.name).toThrow('Album.name has expired')
  })

  test('stores what was added, whatever the query', async () => {
    const { withSession } = fixture.factory({}, { autoflush: false })
    const song = new Song({ title: 'River' })
    const count = await withSession((session) => {
      session.add(song)
      return session.scalar(select(Song).count())
    })
    expect(count).toBe(1)
    expect(await fixture.db.query('select id from songs where id = $1', [song.id])).toEqual([{ id: song.id }])
  })

  test('waits with it for new objects whose keys PostgreSQL makes', async () => {
    const { withSession } = fixture.factory()
    const songs = await withSession((session) => {
      session.add(build(Album, { name: 'Hejira', songs: [new Song({ title: 'Coyote' })] }))
      return session.scalars(select(Song).where(eq(Song.c.title, 'Coyote')))
    })
    expect(songs).toHaveLength(1)
    expect(await fixture.db.query("select name from albums where name = 'Hejira'")).toHaveLength(1)
  })
})
