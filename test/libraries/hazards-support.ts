/** Four builders of queries behind one shape: what a transaction can do, whichever it is. */
import 'reflect-metadata'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import knex, { type Knex } from 'knex'
import { Kysely, PostgresDialect, sql, type Generated } from 'kysely'
import type { Pool } from 'lifeguard/pg-pool'
import { DataSource, type EntityManager } from 'typeorm'

export const SONGS = 'create table songs (id serial primary key, title text not null)'

export interface Work {
  /** Stores a song. The promise runs the query, whether it is awaited or not. */
  add(title: string): Promise<unknown>
  fail(): Promise<unknown>
  pid(): Promise<number>
  nested?(work: (work: Work) => Promise<unknown>): Promise<unknown>
}

export interface Builder extends Work {
  transaction(work: (work: Work) => Promise<unknown>): Promise<unknown>
  close(): Promise<unknown>
}

const PID = 'select pg_backend_pid() as pid'

function onKnex(pool: Pool): Builder {
  const work = (on: Knex): Work => ({
    add: async (title) => await on('songs').insert({ title }),
    fail: async () => await on.raw('select 1 / 0'),
    pid: async () => (await on.raw<{ rows: [{ pid: number }] }>(PID)).rows[0].pid,
    nested: (run) => on.transaction((trx) => run(work(trx))),
  })
  const db = knex({ client: 'pg', connectionPool: pool, log: { warn: () => undefined } })
  return {
    ...work(db),
    transaction: (run) => db.transaction((trx) => run(work(trx))),
    close: () => db.destroy(),
  }
}

async function onTypeOrm(pool: Pool): Promise<Builder> {
  const driver = {
    Pool: class {
      constructor() {
        return pool
      }
    },
  }
  const work = (on: EntityManager): Work => ({
    add: (title) => on.query('insert into songs (title) values ($1)', [title]),
    fail: () => on.query('select 1 / 0'),
    pid: async () => (await on.query<[{ pid: number }]>(PID))[0].pid,
    nested: (run) => on.transaction((manager) => run(work(manager))),
  })
  const source = await new DataSource({ type: 'postgres', driver }).initialize()
  const { manager } = source
  return {
    ...work(manager),
    transaction: (run) => manager.transaction((inner) => run(work(inner))),
    close: () => source.destroy(),
  }
}

const songs = pgTable('songs', { id: integer('id'), title: text('title').notNull() })

function onDrizzle(pool: Pool): Builder {
  type Db = Pick<NodePgDatabase, 'insert' | 'execute' | 'transaction'>
  const work = (on: Db): Work => ({
    add: (title) => on.insert(songs).values({ title }).execute(),
    fail: () => on.execute(drizzleSql`select 1 / 0`).execute(),
    pid: async () => (await on.execute<{ pid: number }>(drizzleSql.raw(PID))).rows[0]?.pid as number,
    nested: (run) => on.transaction((tx) => run(work(tx))),
  })
  const db = drizzle({ client: pool })
  return {
    ...work(db),
    transaction: (run) => db.transaction((tx) => run(work(tx))),
    close: () => Promise.resolve(),
  }
}

interface Tables {
  songs: { id: Generated<number>; title: string }
}

function onKysely(pool: Pool): Builder {
  const work = (on: Kysely<Tables>): Work => ({
    add: (title) => on.insertInto('songs').values({ title }).execute(),
    fail: () => sql`select 1 / 0`.execute(on),
    pid: async () =>
      (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on)).rows[0]?.pid as number,
  })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return {
    ...work(db),
    transaction: (run) => db.transaction().execute((trx) => run(work(trx))),
    close: () => db.destroy(),
  }
}

export const BUILDERS: readonly (readonly [
  name: string,
  open: (pool: Pool) => Builder | Promise<Builder>,
])[] = [
  ['Knex', onKnex],
  ['TypeORM', onTypeOrm],
  ['Drizzle', onDrizzle],
  ['Kysely', onKysely],
]
