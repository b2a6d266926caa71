// Entities in a module of their own, whose declarations other projects compile against: no type is written that can be
// inferred, so that every one of them has to be nameable.
import { randomUUID } from 'node:crypto'
import {
  and,
  belongsTo,
  bigint,
  build,
  bytea,
  createEngine,
  createSessionFactory,
  customType,
  declarativeBase,
  deleteFrom,
  enumType,
  eq,
  gt,
  hasMany,
  hasOne,
  integer,
  jsonb,
  manyToMany,
  numeric,
  select,
  serial,
  Session,
  sql,
  text,
  timestamptz,
  update,
  uuid,
  version,
  type EntityHooks,
} from 'lifeguard'

export const Base = declarativeBase()
export const mood = enumType('mood', ['happy', 'sad'])
export const point = customType<{ x: number; y: number }>({
  type: 'point',
  decode: (given) => JSON.parse(given) as { x: number; y: number },
  encode: ({ x, y }) => `(${x},${y})`,
})
export const timestamps = {
  createdAt: timestamptz('created_at')
    .notNull()
    .serverDefault(sql`now()`),
  updatedAt: timestamptz('updated_at').onUpdate(sql`now()`),
}

export class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull(),
  mood: mood(),
  at: point(),
  tags: text().array().notNull().default([]),
  data: jsonb<{ note: string }>(),
  cents: bigint(),
  price: numeric({ precision: 10, scale: 2 }),
  cover: bytea(),
  albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' }),
  length: integer()
    .notNull()
    .generated(sql`char_length(title)`),
  version: version(),
  ...timestamps,
}) {
  static readonly relations = {
    album: belongsTo(() => Album, 'albumId'),
    players: manyToMany(() => Player, 'song_players'),
  }
  static readonly hooks: EntityHooks<Song> = { beforeInsert: (song) => void song.title.trim() }
  get short() {
    return this.length < 10
  }
}

export class Album extends Base.entity('albums', {
  id: uuid().primaryKey().default(randomUUID),
  name: text().notNull(),
}) {
  static readonly relations = {
    songs: hasMany(() => Song, 'albumId'),
    sleeve: hasOne(() => Sleeve, 'albumId'),
  }
}

export class Sleeve extends Base.entity('sleeves', {
  albumId: uuid('album_id').primaryKey().references('albums.id'),
}) {}

export class Player extends Base.entity('players', { id: serial().primaryKey(), name: text().notNull() }) {}

export class SongPlayer extends Base.entity(
  'song_players',
  {
    songId: uuid().primaryKey().references('songs.id'),
    playerId: integer().primaryKey().references('players.id'),
  },
  { indexes: [{ columns: ['playerId'] }] },
) {}

// Used as it is, without a class of its own.
export const Setting = Base.entity('settings', { key: text().primaryKey(), value: jsonb() })

export const byTitle = (title: string) => select(Song).where(eq(Song.c.title, title))
export const withSongs = select(Album).load('songs', 'songs.players')
export const titles = select(Song).columns('id', 'title')
export const counted = select(Song).count()
export const any = select(Song).exists()
export const long = and(gt(Song.c.length, 10), eq(Song.c.mood, 'sad'))
export const rename = update(Song).set({ title: 'x' }).returning('id')
export const gone = deleteFrom(Song).returning()
export const newSong = build(Song, { title: 'x', album: new Album({ name: 'y' }) })

export class SongRepository {
  constructor(private readonly session: Session) {}
  async byTitle(title: string) {
    return (await this.session.execute(byTitle(title))).scalarOneOrNone()
  }
  album(id: string) {
    return this.session.get(Album, id, { load: ['songs'] })
  }
  titles() {
    return this.session.scalars(titles)
  }
}

export class SongsSession extends Session {
  readonly songs = new SongRepository(this)
}

export const engine = createEngine({ url: 'postgresql://localhost/songs' })
export const sessionFactory = createSessionFactory({ bind: engine, sessionClass: SongsSession })
export const { withSession } = sessionFactory
