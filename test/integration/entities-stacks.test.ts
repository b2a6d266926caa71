/** Where the errors of a flush lead. */
import { expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  select,
  serial,
  text,
  type Session,
} from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: serial().primaryKey(),
  title: text().notNull().unique(),
  albumId: integer('album_id').references('albums.id'),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}
class Album extends Base.entity('albums', { id: serial().primaryKey() }) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}

const fixture = useDatabase(Base.metadata.ddl())

const wrong: readonly [string, () => Song][] = [
  ['a value that cannot be written', () => new Song({ title: undefined as never })],
  ['a row that PostgreSQL refuses', () => new Song({ title: null as never })],
]
const calls: readonly [string, (work: (session: Session) => unknown) => Promise<unknown>][] = [
  ['withSession', (work) => fixture.factory().withSession(work)],
  [
    'flush',
    async function callsFlush(work): Promise<void> {
      await using session = fixture.factory()()
      work(session)
      await session.flush()
    },
  ],
  [
    'commit',
    async function callsCommit(work): Promise<void> {
      await using session = fixture.factory()()
      work(session)
      await session.commit()
    },
  ],
  [
    'a query',
    async function callsQuery(work): Promise<void> {
      await using session = fixture.factory()()
      work(session)
      await session.scalars(select(Song))
    },
  ],
]

for (const [what, make] of wrong) {
  test.each(calls)(`${what} leads to the line of %s`, async (_, call) => {
    async function theService(): Promise<void> {
      await call((session) => session.add(make()))
    }
    const error = await errorOf(theService())
    expect(error.stack).toContain('theService')
  })
}

async function storedAlbum(session: Session): Promise<Album> {
  const album = new Album({})
  session.add(album)
  await session.flush()
  session.expunge(album)
  return album
}

const failing: readonly [string, (session: Session) => Promise<unknown>][] = [
  ['get, by a key of another type', (session) => session.get(Album, 'x' as never)],
  ['getOne, of what is not there', (session) => session.getOne(Album, 999, { load: ['songs'] })],
  [
    'get, which flushes before',
    (session) => {
      session.add(new Song({ title: undefined as never }))
      return session.get(Album, 999)
    },
  ],
  [
    'load, of what cannot be loaded',
    async function loads(session) {
      const { id } = await storedAlbum(session)
      await session.execute('alter table songs rename to chants')
      await session.get(Album, id, { load: ['songs'] })
    },
  ],
  [
    'a query, with what cannot be loaded',
    async function queries(session) {
      await storedAlbum(session)
      await session.execute('alter table songs rename to chants')
      await session.scalars(select(Album).load('songs'))
    },
  ],
  [
    'refresh, of a row that is gone',
    async function refreshes(session) {
      const { id } = await storedAlbum(session)
      const album = await session.getOne(Album, id)
      await session.execute('delete from albums')
      await session.refresh(album)
    },
  ],
  [
    'add, of a relation that holds what it cannot',
    (session) => {
      const album = new Album({})
      Object.assign(album, { songs: [new Album({})] })
      session.add(album)
      return session.flush()
    },
  ],
]

test.each(failing)('the error of %s leads to the line that calls', async (_, call) => {
  await using session = fixture.factory()()
  async function theService(): Promise<void> {
    await call(session)
  }
  const error = await errorOf(theService())
  expect(error.stack).toContain('theService')
})
