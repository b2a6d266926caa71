/** What the service can do with songs. Knows neither SQL nor HTTP. */
import type { Song, SongRepository } from './song-repository.js'

export class SongNotFoundError extends Error {
  constructor(id: string) {
    super(`There is no song ${id}`)
  }
}

export class SongService {
  readonly #songs: SongRepository

  constructor(songs: SongRepository) {
    this.#songs = songs
  }

  async getSong(id: string): Promise<Song> {
    return found(id, await this.#songs.getById(id))
  }

  mostPlayed(limit: number): Promise<Song[]> {
    return this.#songs.mostPlayed(limit)
  }

  addSong(title: string): Promise<Song> {
    return this.#songs.add(title)
  }

  /** All of them or none. The statements are issued in one tick, so they travel in one packet. */
  importSongs(titles: readonly string[]): Promise<Song[]> {
    return Promise.all(titles.map((title) => this.#songs.add(title)))
  }

  async play(id: string): Promise<Song> {
    return found(id, await this.#songs.countPlay(id))
  }
}

function found(id: string, song: Song | null): Song {
  if (song === null) throw new SongNotFoundError(id)
  return song
}
