/** The workloads of `orm.ts`: what every contender has to do, and the drivers that ask it. */
import type { Contender, Run } from './contender.js'
import { checkWork } from './orm-check.js'
import { ALBUMS, SONGS } from './song-tables.js'

/** What a new song is made of. Its key comes from the server. */
export interface NewSong {
  readonly albumId: number
  readonly title: string
  readonly plays: number
  readonly explicit: boolean
  readonly price: string
  readonly labels: Labels
  readonly releasedAt: Date
}

/** The value of a jsonb column. */
// A type, since only those have the index signature that some libraries ask of JSON.
export type Labels = { genre: string; bpm: number }

/** A song of a new album. */
export type AlbumSong = Omit<NewSong, 'albumId'>

export interface NewAlbum {
  readonly title: string
  readonly songs: readonly AlbumSong[]
}

/** A song as a library hands it out; libraries differ in how they give its album. */
export interface LoadedSong {
  readonly id: number
  readonly title: string
  readonly plays: number
  readonly explicit: boolean
  /** A string, or what the library has for decimals. */
  readonly price: unknown
  readonly labels: unknown
  readonly releasedAt: Date
}

/** Transactions as each library's documentation recommends them. Whatever the code around them, each has to be atomic. */
export interface OrmWork {
  /** Adds one song. Resolves to its key as the object knows it. */
  insert(song: NewSong): Promise<number>
  /** Adds many songs. Resolves to their keys, in the order of the songs. */
  insertMany(songs: readonly NewSong[]): Promise<readonly number[]>
  /** Loads songs by their keys, sets `plays` of each to {@link nextPlays}, saves them. Resolves to how many. */
  change(ids: readonly number[]): Promise<number>
  /** Loads so many songs as entities, by id and after one, and gives them to `use` before the transaction ends. */
  load(after: number, count: number, use: (songs: readonly LoadedSong[]) => void): Promise<void>
  /** Adds an album and its songs. Resolves to the keys of all. */
  graph(album: NewAlbum): Promise<{ readonly id: number; readonly songIds: readonly number[] }>
  close(): Promise<unknown>
}

export type OrmWorkload = Exclude<keyof OrmWork, 'close'>

/** Different for each song, and different from what it was. */
export function nextPlays({ id, plays }: Pick<LoadedSong, 'id' | 'plays'>): number {
  return plays + 1 + (id % 10)
}

const INSERTED = 100
const CHANGED = 10
const LOADED = 1_000
const CHILDREN = 20

/** Drives a contender, after checking in the database that it does what it is asked. */
export async function ormContender(work: OrmWork, url: string): Promise<Contender> {
  let turn = 0
  const newSong = (): NewSong => {
    turn += 1
    return {
      albumId: 1 + (turn % ALBUMS),
      title: `new song ${String(turn)}`,
      plays: turn % 1_000,
      explicit: turn % 7 === 0,
      price: (1 + (turn % 300) / 100).toFixed(2),
      labels: { genre: `genre ${String(turn % 20)}`, bpm: 60 + (turn % 120) },
      releasedAt: new Date(1_600_000_000_000 + turn * 1_000),
    }
  }
  const newSongs = (count: number): NewSong[] => Array.from({ length: count }, newSong)
  const newAlbum = (): NewAlbum => {
    const songs = newSongs(CHILDREN).map(({ albumId: _, ...song }) => song)
    return { title: `new album ${String(turn)}`, songs }
  }
  // All over the table, and never two callers at one song: they would wait for each other, or deadlock.
  const nextIds = (): number[] => {
    const first = 1 + ((turn += 1) % (SONGS / CHANGED))
    return Array.from({ length: CHANGED }, (_, at) => first + at * (SONGS / CHANGED))
  }
  const nextAfter = (): number => (turn += 7_919) % (SONGS - LOADED)
  const load = (after: number, count: number, use?: () => void): Promise<void> =>
    work.load(after, count, (songs) => {
      requireCount(songs.length, count)
      requireKeys([songs[0]?.id, songs.at(-1)?.id])
      use?.()
    })

  // `start.ts` measures the first transactions of a process.
  if (process.env['BENCH_UNCHECKED'] === undefined)
    await checkWork(work, url, {
      song: newSong(),
      songs: newSongs(INSERTED),
      ids: nextIds(),
      album: newAlbum(),
    })

  const once: Record<OrmWorkload, () => Promise<void>> = {
    insert: async () => requireKeys([await work.insert(newSong())]),
    insertMany: async () => {
      const keys = await work.insertMany(newSongs(INSERTED))
      requireCount(keys.length, INSERTED)
      requireKeys(keys)
    },
    change: async () => requireCount(await work.change(nextIds()), CHANGED),
    load: () => load(nextAfter(), LOADED),
    graph: async () => {
      const { id, songIds } = await work.graph(newAlbum())
      requireCount(songIds.length, CHILDREN)
      requireKeys([id, ...songIds])
    },
  }
  const runs: Record<string, Run> = {}
  for (const [name, operation] of Object.entries(once)) {
    runs[name] = async (cycles) => {
      for (let cycle = 0; cycle < cycles; cycle += 1) await operation()
    }
  }
  const hold = async (whileHeld: () => void): Promise<number> => {
    await load(0, SONGS, whileHeld)
    return SONGS
  }
  return { runs, hold, close: () => work.close() }
}

function requireKeys(keys: readonly (number | undefined)[]): void {
  for (const key of keys) {
    if (!Number.isInteger(key)) throw new Error(`Expected the key of a row, got ${JSON.stringify(key)}`)
  }
}

function requireCount(count: number, expected: number): void {
  if (count !== expected) throw new Error(`Expected ${String(expected)} rows, got ${String(count)}`)
}
