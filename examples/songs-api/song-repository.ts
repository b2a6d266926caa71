/** The songs in the database. Knows SQL, and nothing of HTTP. */
import { sql, type Session } from 'lifeguard'

export interface Song {
  readonly id: string
  readonly title: string
  readonly plays: number
}

const COLUMNS = sql.raw('id, title, plays')

export class SongRepository {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  async getById(id: string): Promise<Song | null> {
    const result = await this.#session.execute(sql<Song>`select ${COLUMNS} from songs where id = ${id}`)
    return result.oneOrNone()
  }

  async mostPlayed(limit: number): Promise<Song[]> {
    const result = await this.#session.execute(
      sql<Song>`select ${COLUMNS} from songs order by plays desc, title limit ${limit}`,
    )
    return result.all()
  }

  async add(title: string): Promise<Song> {
    const result = await this.#session.execute(
      sql<Song>`insert into songs (title) values (${title}) returning ${COLUMNS}`,
    )
    return result.one()
  }

  /** Null if there is no such song. */
  async countPlay(id: string): Promise<Song | null> {
    const result = await this.#session.execute(
      sql<Song>`update songs set plays = plays + 1 where id = ${id} returning ${COLUMNS}`,
    )
    return result.oneOrNone()
  }
}
