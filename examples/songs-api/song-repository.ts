/** The songs in the database. Holds the session, and knows nothing of HTTP. */
import { desc, eq, gte, select, sql, update, type Session } from 'lifeguard'
import { Song } from './song.js'

export class SongRepository {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  getById(id: string): Promise<Song | null> {
    return this.#session.get(Song, id)
  }

  async list({ limit, minPlays }: { limit: number; minPlays: number }): Promise<Song[]> {
    const result = await this.#session.execute(
      select(Song).where(gte(Song.c.plays, minPlays)).orderBy(desc(Song.c.plays), Song.c.title).limit(limit),
    )
    return result.all()
  }

  /** Stored when the session commits; what PostgreSQL fills in is there from then on. */
  add(song: Song): void {
    this.#session.add(song)
  }

  delete(song: Song): void {
    this.#session.delete(song)
  }

  /** Null if there is no such song. One statement, so that two players at once both count. */
  async countPlay(id: string): Promise<Song | null> {
    const result = await this.#session.execute(
      update(Song)
        .set({ plays: sql`${Song.c.plays} + 1` })
        .where(eq(Song.c.id, id))
        .returning(),
    )
    return result.scalarOneOrNone()
  }
}
