/** Behind PgBouncer in transaction mode, where every transaction may run on another backend. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { UniqueViolationError } from '../../src/database-errors.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { NullPool } from '../../src/pool/null-pool.js'
import { findPgBouncer, pgBouncerPrepares, startPgBouncer, type PgBouncer } from '../helpers/pgbouncer.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (id int primary key, title text)')

const program = findPgBouncer()
const prepares = program !== undefined && pgBouncerPrepares(program)
if (program === undefined) console.warn('Skipped, everything behind PgBouncer: pgbouncer is not installed')
else if (!prepares) {
  console.warn('Skipped, prepared statements behind PgBouncer: it knows max_prepared_statements from 1.21 on')
}

/** Two backends for many clients: hardly two transactions in a row run on the same one. */
async function start(settings: Readonly<Record<string, number>> = {}): Promise<PgBouncer> {
  return startPgBouncer(fixture.db.url, { poolSize: 2, settings })
}

const SETUPS = [
  { name: 'without prepared statements', runs: program !== undefined, settings: {}, cache: 0 },
  {
    name: 'with prepared statements',
    runs: prepares,
    settings: { max_prepared_statements: 20 },
    cache: 100,
  },
]

describe.each(SETUPS)('PgBouncer $name', ({ runs, settings, cache }) => {
  describe.skipIf(!runs)('in transaction mode', () => {
    let bouncer: PgBouncer
    beforeAll(async () => {
      bouncer = await start(settings)
    })
    afterAll(() => bouncer[Symbol.asyncDispose]())

    /** Every lease is suspect, so that BEGIN is the pre-ping. */
    const factory = (options: EngineOptions = {}) =>
      fixture.factory({
        url: bouncer.url,
        poolSize: 8,
        maxOverflow: 0,
        statementCacheSize: cache,
        ...options,
      })

    test.each([
      ['proven connections', {}],
      ['idle connections', { prePingSkipMillis: 0 }],
      ['a connection per session', { poolClass: NullPool, poolSize: undefined, maxOverflow: undefined }],
    ])('sessions side by side keep to themselves, on %s', async (_name, options) => {
      await fixture.db.query('truncate songs')
      const sessions = factory(options)
      const ids = Array.from({ length: 60 }, (_, index) => index)
      const titles = await Promise.all(
        ids.map((id) =>
          sessions.withSession(async (session) => {
            await session.execute('insert into songs values ($1, $2)', [id, `song ${String(id)}`])
            const [title, backends] = await Promise.all([
              session.scalar<string>('select title from songs where id = $1', [id]),
              session.scalars('select pg_backend_pid() from generate_series(1, 2)'),
            ])
            expect(new Set(backends)).toEqual(
              new Set([await session.scalar<number>('select pg_backend_pid()')]),
            )
            return title
          }),
        ),
      )
      expect(titles).toEqual(ids.map((id) => `song ${String(id)}`))
      expect(await fixture.db.query('select count(*)::int from songs')).toEqual([{ count: 60 }])
    })

    test('a failed block is rolled back, with no state left for the next client of the backend', async () => {
      await fixture.db.query('truncate songs')
      const sessions = factory()
      const work = (id: number): Promise<unknown> =>
        sessions.withSession(async (session) => {
          await session.execute('insert into songs values ($1, null)', [id])
          await session.beginNested(() => session.execute('select 1 / 0')).catch(() => undefined)
          if (id % 2 === 0) await session.execute('insert into songs values ($1, null)', [id])
        })
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, id) => work(id)))
      for (const [id, outcome] of outcomes.entries()) {
        expect(outcome.status).toBe(id % 2 === 0 ? 'rejected' : 'fulfilled')
        if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(UniqueViolationError)
      }
      const rows = await fixture.db.query<{ id: number }>('select id from songs order by id')
      expect(rows.map(({ id }) => id)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19])
    })

    test('settings of a transaction do not outlive it', async () => {
      const sessions = factory()
      const tenant = () =>
        sessions.withSession((session) => session.scalar("select current_setting('app.tenant', true)"), {
          settings: { 'app.tenant': '7' },
        })
      const nobody = () =>
        sessions.withSession((session) => session.scalar("select current_setting('app.tenant', true)"))
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? tenant() : nobody())),
      )
      for (const [index, answer] of answers.entries())
        expect(answer || null).toBe(index % 2 === 0 ? '7' : null)
    })

    test('read-only sessions whose COMMIT is not awaited do not disturb later ones', async () => {
      await fixture.db.query('truncate songs')
      await fixture.db.query("insert into songs select n, 'song ' || n from generate_series(1, 50) n")
      const sessions = factory({ poolSize: 3 })
      const read = (id: number): Promise<string | null> =>
        sessions.withSession(
          async (session) => {
            const title = await session.scalar<string>('select title from songs where id = $1', [id])
            return title
          },
          { readOnly: true },
        )
      const ids = Array.from({ length: 50 }, (_, index) => index + 1)
      expect(await Promise.all(ids.map(read))).toEqual(ids.map((id) => `song ${String(id)}`))
      const error = await errorOf(
        sessions.withSession((session) => session.execute('delete from songs').then(() => 1), {
          readOnly: true,
        }),
      )
      expect(error).toMatchObject({ sqlState: '25006' })
    })

    test('autocommit statements, riding commits and cursors', async () => {
      await fixture.db.query('truncate songs')
      const sessions = factory()
      await Promise.all([
        sessions.withSession((session) => session.execute("insert into songs values (1, 'a')"), {
          autocommit: true,
        }),
        sessions.withSession((session) => session.execute("insert into songs values (2, 'b')")),
        sessions.withSession(async (session) => {
          const seen: number[] = []
          const rows = session.stream<{ n: number }>('select n from generate_series(1, 1000) n', [], {
            batchSize: 100,
          })
          for await (const { n } of rows) seen.push(n)
          expect(seen).toHaveLength(1000)
        }),
      ])
      expect(await fixture.db.query('select id from songs order by id')).toEqual([{ id: 1 }, { id: 2 }])
    })
  })
})

describe.skipIf(program === undefined)('a PgBouncer that keeps no prepared statements', () => {
  /** What the warnings of the library say, from the call on. */
  function warnings(): Error[] {
    const seen: Error[] = []
    const note = (warning: Error): void => void (warning.name === 'LifeguardWarning' && seen.push(warning))
    process.on('warning', note)
    onTestFinished(() => void process.off('warning', note))
    return seen
  }
  const KEEPS_NONE = prepares ? { max_prepared_statements: 0 } : {}

  test('is recognised when a connection is made: nothing is prepared, nothing fails, nothing is warned of', async () => {
    await using bouncer = await start(KEEPS_NONE)
    const seen = warnings()
    const { withSession } = fixture.factory({ url: bouncer.url, poolSize: 8, maxOverflow: 0 })
    const blocks = Array.from({ length: 60 }, (_, index) =>
      withSession(async (session) => {
        await session.scalar('select $1::int', [index])
        return session.scalars<string>("select name from pg_prepared_statements where name like 'lifeguard%'")
      }),
    )
    expect((await Promise.all(blocks)).flat()).toEqual([])
    expect(seen).toEqual([])
  })

  test('is noticed where statementCacheSize says otherwise: one warning, and from then on nothing is prepared', async () => {
    await using bouncer = await start(KEEPS_NONE)
    const seen = warnings()
    const { withSession } = fixture.factory({
      url: bouncer.url,
      poolSize: 8,
      maxOverflow: 0,
      statementCacheSize: 100,
    })
    const alone = (index: number) => withSession((session) => session.scalar('select $1::int', [index]))
    for (let round = 0; round < 5; round++) {
      const ids = Array.from({ length: 20 }, (_, index) => index)
      expect(await Promise.all(ids.map(alone))).toEqual(ids)
    }
    await waitUntil(() => seen.length > 0)
    expect(seen).toMatchObject([{ code: 'LIFEGUARD_POOLER' }])
    const several = (index: number) =>
      withSession(async (session) => {
        await session.scalar('select $1::int + 1', [index])
        return session.scalar('select $1::int + 2', [index])
      })
    for (let round = 0; round < 3; round++) await Promise.all([1, 2, 3, 4].map(several))
  })

  test('in a transaction that has done something, the failure is retryable', async () => {
    await using bouncer = await start(KEEPS_NONE)
    const { withSession } = fixture.factory({
      url: bouncer.url,
      poolSize: 8,
      maxOverflow: 0,
      statementCacheSize: 100,
    })
    const work = (index: number) =>
      withSession(
        async (session) => {
          await session.scalar({ text: 'select 1', prepare: false })
          return session.scalar('select $1::int', [index])
        },
        { retry: { attempts: 3 } },
      )
    for (let round = 0; round < 5; round++) {
      const ids = Array.from({ length: 20 }, (_, index) => index)
      expect(await Promise.all(ids.map(work))).toEqual(ids)
    }
  })

  test('never runs the statement of another connection', async () => {
    await using bouncer = await start(KEEPS_NONE)
    const clients = ['left', 'right'].map((side) => {
      const sessions = fixture.factory({
        url: bouncer.url,
        poolSize: 1,
        maxOverflow: 0,
        statementCacheSize: 100,
      })
      // Slow enough that the two need a backend each when they run side by side.
      const statement = `select '${side}' as side, pg_sleep(0.02)`
      return async (): Promise<void> => {
        const seen = await sessions.withSession((session) => session.scalar(statement), { autocommit: true })
        expect(seen).toBe(side)
      }
    })
    for (let round = 0; round < 5; round++) {
      await Promise.all(clients.map((run) => run()))
      for (const run of [...clients, ...[...clients].reverse()]) await run()
    }
  })
})
