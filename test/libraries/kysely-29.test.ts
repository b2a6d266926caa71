/** Kysely 0.29, which aborts queries by their signal: on an engine with `lifeguard/kysely`, and with its own dialect on the pool. */
import { Kysely, PostgresDialect, sql } from 'kysely-29'
import { kyselyDialect } from 'lifeguard/kysely'
import { poolFrom } from 'lifeguard/pg-pool'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from '../integration/session-support.js'

const fixture = useDatabase('create table songs (title text unique)')

interface Tables {
  songs: { title: string }
}

/** The dialects as they are typed for the Kysely that is installed in the root. */
const DIALECTS: Readonly<Record<string, (engine: Engine) => Kysely<Tables>>> = {
  'lifeguard/kysely': (engine) => new Kysely<Tables>({ dialect: kyselyDialect(engine) as never }),
  "Kysely's own on lifeguard/pg-pool": (engine) =>
    new Kysely<Tables>({
      dialect: new PostgresDialect({ pool: poolFrom(engine), controlClient: pg.Client }),
    }),
}

async function sleepers(): Promise<number | undefined> {
  const [row] = await fixture.db.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
      where datname = current_database() and query like $$select pg_sleep%$$ and state = 'active'`,
  )
  return row?.n
}

test.each(
  Object.keys(DIALECTS).flatMap((name) => [[name, 'cancel query'] as const, [name, 'kill session'] as const]),
)(
  '%s: a signal with the strategy `%s` ends the query on the server, and the pool goes on',
  async (name, inflightQueryAbortStrategy) => {
    const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
    const db = DIALECTS[name]?.(engine)
    if (db === undefined) throw new Error(name)
    const controller = new AbortController()
    const aborted = errorOf(
      sql`select pg_sleep(60)`.execute(db, { signal: controller.signal, inflightQueryAbortStrategy }),
    )
    await waitUntil(async () => (await sleepers()) === 1)
    controller.abort(new Error('enough'))
    expect(await aborted).toBeInstanceOf(Error)
    await waitUntil(async () => (await sleepers()) === 0)
    await db.transaction().execute((trx) =>
      trx
        .insertInto('songs')
        .values({ title: name + inflightQueryAbortStrategy })
        .execute(),
    )
    expect(
      await db
        .selectFrom('songs')
        .selectAll()
        .where('title', '=', name + inflightQueryAbortStrategy)
        .execute(),
    ).toHaveLength(1)
    await waitUntil(() => engine.stats().borrowed === 0)
  },
)
