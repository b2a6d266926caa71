/** The engine of the service, its sessions, and what happens to both at start-up and shutdown. */
import { createEngine, createSessionFactory, Session } from 'lifeguard'
import { Base } from './base.js'
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
  expireOnCommit: false, // what a handler returns is read after its commit
  autocommit: false,
  autoflush: false,
})

/** Creates the tables that are missing, for development. Processes that start together do not get in each other's way. */
export async function initDatabase(): Promise<void> {
  await engine.begin((connection) => Base.metadata.createAll(connection))
}

/** Closes every connection; who uses one may finish for ten seconds. */
export async function closeDatabase(): Promise<void> {
  await engine.dispose({ timeoutMillis: 10_000 })
}
