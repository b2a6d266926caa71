/** What the service can do with songs. Knows neither SQL nor HTTP. */
import type { SongRepository } from './song-repository.js'
import { Song } from './song.js'

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

  mostPlayed(limit: number, minPlays: number): Promise<Song[]> {
    return this.#songs.list({ limit, minPlays })
  }

  addSong(title: string): Song {
    const song = new Song({ title })
    this.#songs.add(song)
    return song
  }

  /** All of them or none: one INSERT, which travels with COMMIT. */
  importSongs(titles: readonly string[]): Song[] {
    return titles.map((title) => this.addSong(title))
  }

  async play(id: string): Promise<Song> {
    return found(id, await this.#songs.countPlay(id))
  }

  async removeSong(id: string): Promise<void> {
    this.#songs.delete(await this.getSong(id))
  }
}

function found(id: string, song: Song | null): Song {
  if (song === null) throw new SongNotFoundError(id)
  return song
}
