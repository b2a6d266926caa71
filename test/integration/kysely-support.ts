/** What the tests of Kysely on an engine and on a session share. */
import { Kysely, type Dialect, type Generated } from 'kysely'
import { kyselyDialect } from '../../src/integrations/kysely.js'

/** The tables of the tests, as Kysely sees them. */
export interface Tables {
  songs: { id: Generated<number>; title: string; plays: number | null }
}

/** Makes the tables. */
export const SONGS = 'create table songs (id serial primary key, title text not null unique, plays int)'

/** Kysely on an engine, a session or a connection. */
export function kyselyOn(bind: Parameters<typeof kyselyDialect>[0]): Kysely<Tables> {
  const dialect: Dialect = kyselyDialect(bind)
  return new Kysely<Tables>({ dialect })
}
