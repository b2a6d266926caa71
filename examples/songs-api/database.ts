/** The engine of the service, its sessions, and what happens to both at start-up and shutdown. */
import { createEngine, createSessionFactory, Session } from 'lifeguard'
import { settings } from './settings.js'
import { SongRepository } from './song-repository.js'

export const engine = createEngine({
  url: settings.databaseUrl,
  echo: settings.debug, // print SQL in development
  poolSize: 5, // kept open
  maxOverflow: 10, // opened under load, closed on return
  poolTimeoutMillis: 5_000, // longer than that no client waits anyway
  poolRecycleMillis: 1_800_000, // replace a connection older than this
  poolPrePing: true, // never hand out a dead connection
  connectArgs: { serverSettings: { application_name: 'songs-api' } }, // easy to find in pg_stat_activity
})

/** What a request works with: a session that brings its repositories. */
export class SongsSession extends Session {
  readonly songs: SongRepository = new SongRepository(this)
}

export const { withSession } = createSessionFactory({
  bind: engine,
  sessionClass: SongsSession,
  expireOnCommit: false,
  autocommit: false,
  autoflush: false,
})

/** Creates the tables, for development. The lock keeps processes that start together apart. */
export async function initDatabase(): Promise<void> {
  await engine.begin((connection) =>
    connection.executeScript(`
      select pg_advisory_xact_lock(hashtext('songs-api'));
      create table if not exists songs (
        id uuid primary key default gen_random_uuid(),
        title text not null unique,
        plays integer not null default 0
      )`),
  )
}

/** Closes every connection; who uses one may finish for ten seconds. */
export async function closeDatabase(): Promise<void> {
  await engine.dispose({ timeoutMillis: 10_000 })
}
