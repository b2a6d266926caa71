// Entities of a CommonJS project.
import lifeguard = require('lifeguard')

const {
  createEngine,
  createSessionFactory,
  declarativeBase,
  eq,
  hasMany,
  belongsTo,
  integer,
  select,
  serial,
  text,
} = lifeguard

export const Base = declarativeBase()

export class Song extends Base.entity('songs', {
  id: serial().primaryKey(),
  title: text().notNull(),
  albumId: integer('album_id').references('albums.id'),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}

export class Album extends Base.entity('albums', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}

export const sessionFactory = createSessionFactory({ bind: createEngine() })

export const find = (title: string) =>
  sessionFactory.withSession((session) =>
    session.scalars(select(Song).where(eq(Song.c.title, title)).load('album')),
  )

export async function albumName(title: string): Promise<string | undefined> {
  const [song] = await find(title)
  return song?.album?.name
}

// @ts-expect-error the title is missing
new Song({})
