// What another project does with the entities of a compiled package: it sees only the declarations.
import type { Insert, KeyOf, Loaded, Row } from 'lifeguard'
import {
  any,
  Base,
  byTitle,
  gone,
  long,
  newSong,
  rename,
  Setting,
  Song,
  SongPlayer,
  withSession,
  withSongs,
} from './out/entities.mjs'

export const song = new Song({ title: 'Help!', mood: 'happy', tags: ['x'], data: { note: 'y' }, cents: 7n })
export const values: Insert<typeof Song> = { title: 'x' }
export const row: Row<typeof SongPlayer> = { songId: 'x', playerId: 1 }
export const key: KeyOf<typeof SongPlayer> = row
export const short: boolean = song.short
export const note: string | undefined = song.data?.note
export const setting = new Setting({ key: 'x' })
export const album = newSong.album?.name

// @ts-expect-error the title is missing
new Song({ mood: 'happy' })
// @ts-expect-error no such mood
new Song({ title: 'x', mood: 'bored' })
// @ts-expect-error computed by PostgreSQL
new Song({ title: 'x', length: 7 })

export const use = () =>
  withSession(async (session) => {
    await Base.metadata.createAll(session)
    const found: Song | null = await session.songs.byTitle('Help!')
    const albums = await session.scalars(withSongs)
    const player: string | undefined = albums[0]?.songs[0]?.players[0]?.name
    // @ts-expect-error not loaded
    void albums[0]?.sleeve
    const loaded: Loaded<typeof import('./out/entities.mjs').Album, 'songs'> | null =
      await session.songs.album('x')
    const ids: string[] = await session.scalars(rename)
    const deleted: Song[] = await session.scalars(gone)
    const there: boolean | null = await session.scalar(any)
    const sad: Song[] = await session.scalars(byTitle('x').where(long))
    return { found, player, loaded, ids, deleted, there, sad }
  })
