/** What the tests of contradicting changes share: owners and what belongs to them, with keys of their own and keys that share a tenant. */
import { beforeEach } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  manyToMany,
  numeric,
  serial,
  text,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import type { Fixture } from './session-support.js'

const Base = declarativeBase()
export class Artist extends Base.entity('artists', { id: serial().primaryKey() }) {
  static readonly relations = {
    songs: hasMany(() => Song, 'artistId'),
    hits: hasMany(() => Song, 'artistId'),
  }
}
export class Song extends Base.entity('songs', {
  id: integer().primaryKey(),
  artistId: integer('artist_id').references('artists.id'),
}) {
  static readonly relations = {
    artist: belongsTo(() => Artist, 'artistId'),
    tags: manyToMany(() => Tag, 'song_tags'),
  }
}
export class Tag extends Base.entity('tags', { name: text().primaryKey() }) {
  static readonly relations = { songs: manyToMany(() => Song, 'song_tags') }
}
Base.entity('song_tags', {
  songId: integer('song_id').primaryKey().references('songs.id'),
  tag: text().primaryKey().references('tags.name'),
})

/** A part of its key is in every foreign key that leads to it. */
const key = { tenantId: integer('tenant_id').primaryKey(), id: integer().primaryKey() }
export class User extends Base.entity('users', key) {
  static readonly relations = {
    profile: hasOne(() => Profile, ['tenantId', 'userId']),
    notes: hasMany(() => Note, ['tenantId', 'userId']),
    aliases: hasMany(() => Profile, ['tenantId', 'userId']),
  }
}
export class Profile extends Base.entity(
  'profiles',
  { ...key, userId: integer('user_id') },
  { foreignKeys: [{ columns: ['tenantId', 'userId'], references: ['users.tenant_id', 'users.id'] }] },
) {
  static readonly relations = { user: belongsTo(() => User, ['tenantId', 'userId']) }
}
/** All of the foreign key is in its key. */
export class Note extends Base.entity(
  'notes',
  {
    tenantId: integer('tenant_id').primaryKey(),
    userId: integer('user_id').primaryKey(),
    no: integer().primaryKey(),
  },
  { foreignKeys: [{ columns: ['tenantId', 'userId'], references: ['users.tenant_id', 'users.id'] }] },
) {
  static readonly relations = { user: belongsTo(() => User, ['tenantId', 'userId']) }
}

/** Equal numbers are written in several ways. */
export class Account extends Base.entity('accounts', { no: numeric().primaryKey() }) {
  static readonly relations = { bookings: hasMany(() => Booking, 'account') }
}
export class Booking extends Base.entity('bookings', {
  id: integer().primaryKey(),
  account: numeric().references('accounts.no'),
  kind: text().default(() => 'plain'),
}) {
  static readonly relations = { of: belongsTo(() => Account, 'account') }
}
/** Its owner has a default. */
export class Draft extends Base.entity('drafts', {
  id: integer().primaryKey(),
  artistId: integer('artist_id')
    .notNull()
    .default(() => 1)
    .references('artists.id'),
}) {
  static readonly relations = { artist: belongsTo(() => Artist, 'artistId') }
}

const ROWS = `
    insert into artists (id) values (1), (2), (3);
    select setval('artists_id_seq', 3);
    insert into songs values (1, 1), (2, null);
    insert into tags values ('new'), ('old');
    insert into song_tags values (1, 'old');
    insert into users select t, i from generate_series(1, 2) t, generate_series(1, 2) i;
    insert into profiles values (1, 1, 1), (2, 2, 2);
    insert into notes values (1, 1, 1), (2, 2, 2);
    insert into accounts values (1.00), (2.00);`

/** A database with these rows before each test. */
export function useOwners(): Fixture {
  const fixture = useEntities(Base)
  beforeEach(() => fixture.db.query(ROWS))
  return fixture
}

/** Song 1 belongs to artist 1, and song 2 to none. Nothing flushes before the end. */
export async function parts(session: Session) {
  const [song, other] = await Promise.all(
    [1, 2].map((id) => session.getOne(Song, id) as Promise<WithRelations<typeof Song>>),
  )
  const artists = await Promise.all(
    [1, 2, 3].map((id) => session.getOne(Artist, id, { load: ['songs', 'hits'] })),
  )
  const users = await Promise.all(
    [1, 2].map((id) => session.getOne(User, { tenantId: id, id }, { load: ['profile', 'notes'] })),
  )
  return {
    session,
    song: song as WithRelations<typeof Song>,
    /** It belongs to none. */
    loose: other as WithRelations<typeof Song>,
    a: artists[0] as (typeof artists)[number],
    b: artists[1] as (typeof artists)[number],
    c: artists[2] as (typeof artists)[number],
    one: users[0] as (typeof users)[number],
    two: users[1] as (typeof users)[number],
    profileOf: (user: { profile: object | null }) => user.profile as WithRelations<typeof Profile>,
  }
}
type Parts = Awaited<ReturnType<typeof parts>>
export type Work = (world: Parts) => unknown

const SETUP = `
  select json_agg(t) as state from (
    select 'song ' || id as row, artist_id::text as value from songs union
    select 'profile ' || tenant_id || ' ' || id, user_id::text from profiles union
    select 'note ' || tenant_id || ' ' || user_id || ' ' || no, '' from notes union
    select 'tag ' || song_id || ' ' || tag, '' from song_tags order by 1) t`
export const stored = async ({ db }: Fixture): Promise<Record<string, string | null>> => {
  const [row] = await db.query(SETUP)
  const rows = row?.['state'] as { readonly row: string; readonly value: string | null }[]
  return Object.fromEntries(rows.map(({ row, value }) => [row, value]))
}
