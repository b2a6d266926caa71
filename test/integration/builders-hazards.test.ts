/**
 * What goes wrong with Kysely and Drizzle in real services, one mistake per test. With their own drivers for node-postgres, some of these
 * lose rows in silence, keep a connection, or end the process.
 */
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { sql, type Kysely } from 'kysely'
import { describe, expect, test } from 'vitest'
import { isRetryable } from '../../src/database-errors.js'
import type { Engine } from '../../src/engine/engine.js'
import { ConnectionLostError, IllegalStateError, TransactionAbortedError } from '../../src/errors.js'
import { drizzleOn } from '../../src/integrations/drizzle.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { kyselyOn, SONGS, type Tables } from './kysely-support.js'
import { errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase(SONGS)

const songs = pgTable('songs', { id: integer('id'), title: text('title').notNull(), plays: integer('plays') })

/** What a transaction can do, whichever builder it is. */
interface Work {
  add(title: string): Promise<unknown>
  fail(): Promise<unknown>
  pid(): Promise<number>
  nested?<Value>(work: (work: Work) => Promise<Value>): Promise<Value>
}

interface Builder extends Work {
  transaction<Value>(work: (work: Work) => Promise<Value>): Promise<Value>
}

type Bind = Parameters<typeof drizzleOn>[0]

function kyselyBuilder(bind: Bind): Builder {
  const work = (on: Kysely<Tables>): Work => ({
    add: (title) => on.insertInto('songs').values({ title }).execute(),
    fail: () => sql`select 1 / 0`.execute(on),
    pid: async () =>
      (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on)).rows[0]?.pid as number,
  })
  const db = kyselyOn(bind)
  return { ...work(db), transaction: (run) => db.transaction().execute((trx) => run(work(trx))) }
}

function drizzleBuilder(bind: Bind): Builder {
  const make = (on: Bind) => drizzleOn(on, (client) => drizzle({ client }))
  type Db = Pick<ReturnType<typeof make>, 'insert' | 'execute' | 'transaction'>
  const work = (on: Db): Work => ({
    // Drizzle's builders are lazy: without this `execute` a query that is not awaited never runs.
    add: (title) => on.insert(songs).values({ title }).execute(),
    fail: () => on.execute(drizzleSql`select 1 / 0`).execute(),
    pid: async () =>
      (await on.execute<{ pid: number }>(drizzleSql`select pg_backend_pid() as pid`)).rows[0]?.pid as number,
    nested: (run) => on.transaction((tx) => run(work(tx))),
  })
  const db = make(bind)
  return { ...work(db), transaction: (run) => db.transaction((tx) => run(work(tx))) }
}

async function titles(): Promise<string[]> {
  const rows = await fixture.db.query<{ title: string }>('select title from songs order by title')
  return rows.map(({ title }) => title)
}

async function freshEngine(options: Parameters<typeof fixture.engine>[0] = {}): Promise<Engine> {
  await fixture.db.query('truncate songs')
  return fixture.engine(options)
}

/** Nothing is lent, and no transaction is open on the server. */
async function expectClean(engine: Engine): Promise<void> {
  await waitUntil(() => engine.stats().borrowed === 0)
  await waitUntil(async () => {
    const open = `select from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`
    return (await fixture.db.query(open)).length === 0
  })
}

const BUILDERS = [
  ['Kysely', kyselyBuilder],
  ['Drizzle', drizzleBuilder],
] as const

describe.each(BUILDERS)('%s on an engine', (name, builderOn) => {
  test('1: an error that is swallowed in a transaction: the COMMIT that became a ROLLBACK rejects', async () => {
    const engine = await freshEngine()
    const lost = builderOn(engine).transaction(async (work) => {
      await work.add('a')
      await work.fail().catch(() => undefined)
    })
    expect(await errorOf(lost)).toBeInstanceOf(TransactionAbortedError)
    expect(await titles()).toEqual([])
    await expectClean(engine)
  })

  test('2: an insert whose await is missing is part of its transaction', async () => {
    const engine = await freshEngine()
    let floating: Promise<unknown> | undefined
    await builderOn(engine).transaction((work) => {
      floating = work.add('floating')
      floating.catch(() => undefined)
      return work.add('awaited')
    })
    await floating
    expect(await titles()).toEqual(['awaited', 'floating'])
    await expectClean(engine)
  })

  test('3: a failing query whose await is missing fails the transaction, or comes too late to be run', async () => {
    const engine = await freshEngine()
    let floating: Promise<unknown> | undefined
    const transaction = builderOn(engine).transaction(async (work) => {
      await work.add('a')
      floating = work.fail()
      floating.catch(() => undefined)
      return 'done'
    })
    const outcome = await transaction.catch((error: unknown) => error)
    const error = await errorOf(floating as Promise<unknown>)
    if (name === 'Kysely') expect(outcome).toBeInstanceOf(TransactionAbortedError)
    const wasRefused = error.cause instanceof IllegalStateError
    expect(await titles()).toEqual(outcome === 'done' ? ['a'] : [])
    expect(outcome === 'done').toBe(wasRefused)
    await expectClean(engine)
  })

  test('4: queries through the pool inside of transactions that hold all of it fail, and name the holders', async () => {
    const engine = await freshEngine({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0 })
    const db = builderOn(engine)
    const error = await errorOf(
      db.transaction(async (work) => {
        await work.add('a')
        await db.add('b')
      }),
    )
    const timeout = error instanceof PoolTimeoutError ? error : error.cause
    expect(timeout).toBeInstanceOf(PoolTimeoutError)
    await expectClean(engine)
    expect(await titles()).toEqual([])
  })

  test('5: a branch of a Promise.all that goes on after the rollback stores nothing', async () => {
    const engine = await freshEngine()
    const go = gate()
    let late: Promise<unknown> | undefined
    const failing = builderOn(engine).transaction((work) =>
      Promise.all([
        work.fail(),
        (late = (async () => {
          await work.add('before')
          await go.opened
          await work.add('late')
        })()),
      ]),
    )
    late?.catch(() => undefined)
    await errorOf(failing)
    go.open()
    await errorOf(late as Promise<unknown>)
    expect(await titles()).toEqual([])
    await expectClean(engine)
  })

  test('6: a killed backend fails the transaction, with an error that says whether to retry, and not the process', async () => {
    const engine = await freshEngine()
    const db = builderOn(engine)
    const lost = await errorOf(
      db.transaction(async (work) => {
        await work.add('a')
        await terminate(fixture.db, await work.pid())
        await work.add('b')
      }),
    )
    const cause = lost instanceof ConnectionLostError ? lost : lost.cause
    expect(isRetryable(cause)).toBe(true)
    await db.add('c')
    expect(await titles()).toEqual(['c'])
    await expectClean(engine)
  })

  test('6b: a backend that is killed while it is idle is replaced unseen', async () => {
    const engine = await freshEngine({ poolSize: 1, maxOverflow: 0 })
    const db = builderOn(engine)
    await terminate(fixture.db, await db.pid())
    await db.add('a')
    expect(await titles()).toEqual(['a'])
  })

  test('7: of two nested transactions side by side, the one that fails does not undo the other', async () => {
    const engine = await freshEngine()
    await builderOn(engine).transaction(async ({ nested, ...work }) => {
      // Kysely has none: its savepoints belong to controlled transactions.
      if (nested === undefined) return expect(name).toBe('Kysely')
      const results = await Promise.allSettled([
        nested(async (inside) => {
          await inside.add('a')
          throw new Error('no')
        }),
        nested(async (inside) => {
          await inside.add('b')
          await inside.add('b2')
        }),
      ])
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
      return await work.add('c')
    })
    expect(await titles()).toEqual(name === 'Kysely' ? [] : ['b', 'b2', 'c'])
  })

  test('8: a BEGIN that fails keeps no connection', async () => {
    const engine = await freshEngine({ role: 'no_such_role', poolSize: 1, maxOverflow: 0 })
    const db = builderOn(engine)
    for (let time = 0; time < 3; time++) await errorOf(db.transaction((work) => work.add('a')))
    await expectClean(engine)
  })

  test('9: a query of a transaction that has ended is refused, and stores nothing', async () => {
    const engine = await freshEngine()
    let kept: Work | undefined
    await builderOn(engine).transaction(async (work) => {
      kept = work
      await work.add('a')
    })
    const error = await errorOf((kept as Work).add('late'))
    // Kysely itself says so.
    if (name === 'Kysely') expect(error.message).toContain('already committed')
    else expect(error.cause).toBeInstanceOf(IllegalStateError)
    expect(await titles()).toEqual(['a'])
  })
})

describe.each(BUILDERS)('%s on a session', (_name, builderOn) => {
  const inSession = async (work: (builder: Builder) => Promise<unknown>): Promise<unknown> => {
    const { withSession } = createSessionFactory({ bind: await freshEngine() })
    return await withSession((session) => work(builderOn(session)))
  }

  test('an error that is swallowed fails the block', async () => {
    const error = await errorOf(
      inSession(async (builder) => {
        await builder.add('a')
        await builder.fail().catch(() => undefined)
      }),
    )
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(await titles()).toEqual([])
  })

  test('two transactions side by side: no rollback undoes the work of the other, unless that is told', async () => {
    let statuses: string[] = []
    await inSession(async (builder) => {
      const results = await Promise.allSettled([
        builder.transaction(async (work) => {
          await work.add('a')
          throw new Error('no')
        }),
        builder.transaction((work) => work.add('b')),
      ])
      statuses = results.map(({ status }) => status)
    })
    expect(statuses[0]).toBe('rejected')
    expect(await titles()).toEqual(statuses[1] === 'fulfilled' ? ['b'] : [])
  })

  test('a killed backend fails the block, and not the process', async () => {
    const error = await errorOf(
      inSession(async (builder) => {
        await terminate(fixture.db, await builder.pid())
        await builder.add('a')
      }),
    )
    expect(isRetryable(error)).toBe(true)
    expect(await titles()).toEqual([])
  })
})
