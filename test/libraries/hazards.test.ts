/**
 * What goes wrong in real services, one mistake per test, with builders of queries on `poolFrom(engine)`. On pg.Pool, some of these lose rows
 * in silence, keep a connection, or end the process; see docs/libraries.md.
 */
import { poolFrom } from 'lifeguard/pg-pool'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { ConnectionClosedError, ConnectionLostError, TransactionAbortedError } from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import { waitUntil } from '../helpers/wait-until.js'
import { warningsOf } from '../integration/pg-pool-support.js'
import { errorOf, gate, terminate, useDatabase } from '../integration/session-support.js'
import { BUILDERS, SONGS, type Builder, type Work } from './hazards-support.js'

const fixture = useDatabase(SONGS)

async function titles(): Promise<string[]> {
  const rows = await fixture.db.query<{ title: string }>('select title from songs order by title')
  return rows.map(({ title }) => title)
}

/** What the library threw, or the error behind it, in whichever way the library passes errors on. */
function errorsBehind(error: unknown): unknown[] {
  const { cause, driverError } = error as { cause?: unknown; driverError?: unknown }
  return [error, cause, driverError]
}

const instanceOf = (Class: new (...parameters: never[]) => Error): unknown =>
  expect.arrayContaining([expect.any(Class)])

const unheard = <Value>(promise: Promise<Value>): Promise<Value> => {
  promise.catch(() => undefined)
  return promise
}

describe.each(BUILDERS)('%s on poolFrom(engine)', (name, open) => {
  const opened = async (options: EngineOptions = {}): Promise<{ db: Builder; engine: Engine }> => {
    await fixture.db.query('truncate songs')
    const engine = fixture.engine({ poolSize: 1, maxOverflow: 0, ...options })
    const db = await open(poolFrom(engine))
    onTestFinished(async () => void (await db.close()))
    return { db, engine }
  }

  /** Nothing is lent, no transaction is open on the server, and the next caller can work. */
  async function expectClean({ db, engine }: { db: Builder; engine: Engine }): Promise<void> {
    await waitUntil(() => engine.stats().borrowed === 0)
    const active = `select from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`
    await waitUntil(async () => (await fixture.db.query(active)).length === 0)
    await db.add('next')
    expect(await titles()).toContain('next')
  }

  test('1: an error that is swallowed in a transaction: the COMMIT that became a ROLLBACK rejects', async () => {
    const { db, engine } = await opened()
    const lost = db.transaction(async (work) => {
      await work.add('a')
      await work.fail().catch(() => undefined)
    })
    expect(errorsBehind(await errorOf(lost))).toEqual(instanceOf(TransactionAbortedError))
    expect(await titles()).toEqual([])
    await expectClean({ db, engine })
  })

  test('2: an insert whose await is missing is stored with its transaction, or rejects', async () => {
    const { db, engine } = await opened()
    let floating: Promise<unknown> | undefined
    await db.transaction(async (work) => {
      await work.add('awaited')
      floating = unheard(work.add('floating'))
    })
    const isStored = await (floating as Promise<unknown>).then(
      () => true,
      () => false,
    )
    expect(await titles()).toEqual(isStored ? ['awaited', 'floating'] : ['awaited'])
    await expectClean({ db, engine })
  })

  test('3: a failing query whose await is missing fails its transaction', async () => {
    const { db, engine } = await opened()
    let floating: Promise<unknown> | undefined
    const transaction = db.transaction(async (work) => {
      floating = unheard(work.fail())
      await work.add('a').catch(() => undefined)
    })
    expect(errorsBehind(await errorOf(transaction))).toEqual(instanceOf(TransactionAbortedError))
    await errorOf(floating as Promise<unknown>)
    expect(await titles()).toEqual([])
    await expectClean({ db, engine })
  })

  test('4: queries through the pool inside of transactions that hold all of it fail, and name the holders', async () => {
    const { db, engine } = await opened({ poolTimeoutMillis: 2_000, captureStacks: true })
    const error = await errorOf(
      db.transaction(async (work) => {
        await work.add('a')
        await db.add('b')
      }),
    )
    const timeout = errorsBehind(error).find((one) => one instanceof PoolTimeoutError) as PoolTimeoutError
    expect(timeout.message).toContain('timeout exceeded when trying to connect')
    expect(timeout.holders).toHaveLength(1)
    expect(await titles()).toEqual([])
    await expectClean({ db, engine })
  })

  test('5: a branch of a Promise.all that goes on after the rollback stores nothing', async () => {
    const { db, engine } = await opened()
    const go = gate()
    let late: Promise<unknown> | undefined
    const failing = db.transaction((work) =>
      Promise.all([
        work.add('a').then(() => Promise.reject(new Error('mine'))),
        (late = unheard(
          (async () => {
            await work.add('before')
            await go.opened
            await work.add('late')
          })(),
        )),
      ]),
    )
    expect((await errorOf(failing)).message).toBe('mine')
    go.open()
    const refused = await errorOf(late as Promise<unknown>)
    if (name === 'Drizzle') expect(errorsBehind(refused)).toEqual(instanceOf(ConnectionClosedError))
    expect(await titles()).toEqual([])
    await expectClean({ db, engine })
  })

  test('6: a killed backend fails the transaction, and not the process', async () => {
    const { db, engine } = await opened()
    const lost = await errorOf(
      db.transaction(async (work) => {
        await work.add('a')
        await terminate(fixture.db, await work.pid())
        await work.add('b')
      }),
    )
    // TypeORM releases its client when it hears of the loss, and then says only that.
    if (name === 'TypeORM') expect(lost.message).toContain('already released')
    else expect(errorsBehind(lost)).toEqual(instanceOf(ConnectionLostError))
    expect(await titles()).toEqual([])
    await expectClean({ db, engine })
  })

  test('6b: a backend that is killed while it is idle is replaced unseen', async () => {
    const { db, engine } = await opened()
    await terminate(fixture.db, await db.pid())
    await db.add('a')
    expect(await titles()).toEqual(['a'])
    await expectClean({ db, engine })
  })

  test('7: two nested transactions side by side, one of which fails, leave no aborted connection in the pool', async () => {
    const { db, engine } = await opened()
    let statuses: string[] = []
    const warnings = await warningsOf(() =>
      db
        .transaction(async ({ nested, add }) => {
          // Kysely has no nested transactions.
          const results = await Promise.allSettled([
            nested?.(async (inside) => {
              await inside.add('a')
              throw new Error('no')
            }),
            nested?.(async (inside) => {
              await inside.add('b')
              await inside.add('b2')
            }),
          ])
          statuses = results.map(({ status }) => status)
          await add('c')
        })
        .catch(() => undefined),
    )
    const [stored, told, warned] = OUTCOMES_OF_7[name] ?? []
    expect([await titles(), statuses, warnings.length]).toEqual([stored, told, warned])
    await expectClean({ db, engine })
  })

  test('8: a BEGIN that fails keeps no connection', async () => {
    const { db, engine } = await opened()
    // The connection dies while the pool believes that it is alive: BEGIN is what finds out.
    for (let time = 0; time < 3; time++) {
      const pid = await db.pid()
      await fixture.db.query('select pg_terminate_backend($1)', [pid])
      await db.transaction((work) => work.add('a')).catch(() => undefined)
    }
    await expectClean({ db, engine })
  })

  test('9: a query of a transaction that has ended is refused, and stores nothing', async () => {
    const { db, engine } = await opened()
    let kept: Work | undefined
    await db.transaction(async (work) => {
      kept = work
      await work.add('a')
    })
    const error = await errorOf((kept as Work).add('late'))
    if (name === 'Drizzle') expect(errorsBehind(error)).toEqual(instanceOf(ConnectionClosedError))
    expect(await titles()).toEqual(['a'])
    await expectClean({ db, engine })
  })
})

/** What is stored, what the two are told, and the number of warnings. */
const OUTCOMES_OF_7: Readonly<Record<string, readonly [string[], string[], number]>> = {
  Knex: [['b', 'b2', 'c'], ['rejected', 'fulfilled'], 0],
  // Its savepoints share a name: one undoes the other. The transaction rejects, and the aborted client is cleaned.
  TypeORM: [[], ['rejected', 'rejected'], 2],
  // Its savepoints share a name, and b is lost, with a warning: lifeguard/drizzle keeps them apart.
  Drizzle: [['b2', 'c'], ['rejected', 'fulfilled'], 1],
  Kysely: [['c'], ['fulfilled', 'fulfilled'], 0],
}
