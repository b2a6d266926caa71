/** What a program does while the wire is spoiled, and what it must be told. */
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { type Engine, type Session, createSessionFactory, isRetryable } from '../../src/index.js'
import { query } from '../helpers/databases.js'
import type { Random } from './support-random.js'

export const ROWS = 23
const SELECT = 'select id, n, ok, price, note from fuzz order by id'
const PAGE_ROWS = 5

export const SCHEMA = `
  create table fuzz (id int primary key, n int, ok boolean, price numeric, note text);
  insert into fuzz select i, i * 7, i % 2 = 0, i + 0.25, case when i % 3 = 0 then null else repeat('ü' || i, i) end
    from generate_series(1, ${ROWS}) i;
  create table marks (id text primary key, part int not null)`

/** One row as the program has to see it. */
const EXPECTED: readonly unknown[] = Array.from({ length: ROWS }, (_, index) => {
  const id = index + 1
  return {
    id,
    n: id * 7,
    ok: id % 2 === 0,
    price: `${id}.25`,
    note: id % 3 === 0 ? null : `ü${id}`.repeat(id),
  }
})

/** How one piece of work ended: done, or failed with an error. What it saw that was wrong, if anything. */
export interface Ending {
  readonly error: unknown
  readonly wrong: readonly string[]
  /** Whether its mark has to be in the table; undefined if it may be either way. */
  readonly stored: boolean | undefined
}

export interface Place {
  readonly engine: Engine
  /** The server without the proxy. */
  readonly directUrl: string
  /** Of this case only. */
  readonly mark: string
  /** When everything that still runs is given up. */
  readonly limitMillis: number
}

type See = (what: string, told: unknown, expected: unknown) => void
type Work = (place: Place, see: See, signal: AbortSignal) => Promise<unknown>

const MARK = 'insert into marks values ($1, $2)'

const WORKS: Readonly<Record<string, Work>> = {
  'a session': ({ engine, mark }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        see('rows', (await session.execute(SELECT)).all(), EXPECTED)
        await session.execute(MARK, [mark, 1])
        see('its own mark', await session.scalar('select part from marks where id = $1', [mark]), 1)
      },
      { signal },
    ),
  'statements at once': ({ engine, mark }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        const numbers = [1, 2, 3].map((n) => session.scalar('select $1::int * 2', [n]))
        const results = await Promise.all([
          session.execute(SELECT).then((result) => result.all()),
          session.execute(MARK, [mark, 1]),
          ...numbers,
        ])
        see('rows', results[0], EXPECTED)
        see('numbers', results.slice(2), [2, 4, 6])
      },
      { signal },
    ),
  'one statement with its COMMIT': ({ engine, mark }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      (session) =>
        session
          .execute(`${MARK} returning part`, [mark, 1])
          .then((result) => see('what it returns', result.all(), [{ part: 1 }])),
      { signal },
    ),
  'three sessions': async ({ engine }, see, signal) => {
    const { withSession } = createSessionFactory({ bind: engine })
    const numbers = [1, 2, 3, 4, 5, 6]
    const read = (n: number): Promise<unknown> =>
      withSession((session) => session.scalar('select $1::int', [n]), { signal, readOnly: n % 2 === 0 })
    const told = await Promise.allSettled(numbers.map(read))
    for (const [index, result] of told.entries()) {
      if (result.status === 'fulfilled') see('its own number', result.value, numbers[index])
    }
    const failed = told.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  },
  autocommit: async ({ engine, mark }, see, signal) => {
    await using session = createSessionFactory({ bind: engine, autocommit: true })({ signal })
    see('rows', (await session.execute(SELECT)).all(), EXPECTED)
    await session.execute(MARK, [mark, 1])
  },
  'reads that share a connection': async ({ engine }, see, signal) => {
    const { withSession } = createSessionFactory({ bind: engine, autocommit: true })
    const numbers = [1, 2, 3, 4, 5, 6, 7, 8]
    const read = (n: number): Promise<unknown> =>
      withSession((session) => session.execute('select $1::int as n, repeat($2, $1) as text', [n, 'ü']), {
        signal,
      }).then((result) => see('its own row', result.all(), [{ n, text: 'ü'.repeat(n) }]))
    const told = await Promise.allSettled(numbers.map(read))
    const failed = told.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  },
  'a failure in a savepoint': ({ engine, mark }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        const failure = await session
          .beginNested(() => session.execute('select 1 / (n - n) from fuzz'))
          .then(
            () => undefined,
            (error: unknown) => error,
          )
        if (failure === undefined) see('the failure', failure, 'an error')
        await session.execute(MARK, [mark, 1])
        see('rows', (await session.execute(SELECT)).all(), EXPECTED)
      },
      { signal },
    ),
  'a cursor': ({ engine }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        const rows: unknown[] = []
        for await (const row of session.stream(SELECT, { batchSize: PAGE_ROWS })) rows.push(row)
        see('rows', rows, EXPECTED)
      },
      { signal },
    ),
  'COPY out': ({ engine }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        const lines = await text(await session.copyTo(`copy (select id, n from fuzz order by id) to stdout`))
        see(
          'lines',
          lines,
          Array.from({ length: ROWS }, (_, index) => `${index + 1}\t${(index + 1) * 7}\n`).join(''),
        )
      },
      { signal },
    ),
  'COPY in': ({ engine, mark }, _see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        await pipeline(Readable.from([`${mark}\t1\n`]), await session.copyFrom('copy marks from stdin'))
      },
      { signal },
    ),
  'a script': ({ engine, mark }, see, signal) =>
    createSessionFactory({ bind: engine }).withSession(
      async (session) => {
        await session.executeScript(
          `${SELECT}; insert into marks values ('${mark}', 1); do $$ begin raise notice 'x'; end $$`,
        )
        see('rows', (await session.execute(SELECT)).all(), EXPECTED)
      },
      { signal },
    ),
  LISTEN: async ({ engine, directUrl, mark }, see, signal) => {
    const channel = `fuzz_${mark}`
    const onConnect = (): void => {
      void query(directUrl, 'select pg_notify($1, $2)', [channel, mark]).catch(() => undefined)
    }
    for await (const { payload } of engine.listen(channel, { signal, onConnect })) {
      see('the payload', payload, mark)
      return
    }
  },
}

export const WORK_NAMES: readonly string[] = Object.keys(WORKS)
/** Without a transaction of its own around the mark, what is told of a failure is not told of the mark. */
const STORES_NOTHING = new Set([
  'three sessions',
  'reads that share a connection',
  'a cursor',
  'COPY out',
  'LISTEN',
])

/** Runs one piece of work to its end. */
export async function run(name: string, place: Place): Promise<Ending> {
  const wrong: string[] = []
  const see: See = (what, told, expected) => {
    const [is, should] = [JSON.stringify(told), JSON.stringify(expected)]
    if (is !== should) wrong.push(`${what}: ${String(is).slice(0, 300)}`)
  }
  const work = WORKS[name] as Work
  const error: unknown = await work(place, see, AbortSignal.timeout(place.limitMillis)).then(
    () => undefined,
    (failure: unknown) => failure ?? new Error('nothing was thrown'),
  )
  const stored = STORES_NOTHING.has(name)
    ? undefined
    : error === undefined
      ? true
      : isRetryable(error)
        ? false
        : undefined
  return { error, wrong, stored }
}

/** Reads through the engine until that succeeds: a spoiled connection may be found out at its next use. */
export async function recover(engine: Engine, deadlineMillis: number): Promise<string[]> {
  const { withSession } = createSessionFactory({ bind: engine })
  const end = performance.now() + deadlineMillis
  for (;;) {
    try {
      const read = async (session: Session): Promise<unknown> => (await session.execute(SELECT)).all()
      const rows = await withSession(read, { signal: AbortSignal.timeout(1_000) })
      return JSON.stringify(rows) === JSON.stringify(EXPECTED) ? [] : ['wrong rows afterwards']
    } catch (error) {
      if (performance.now() > end) return [`it does not recover: ${String(error)}`]
    }
  }
}

/** Draws a kind of work. */
export function drawWork(random: Random): string {
  return random.one(WORK_NAMES) ?? 'a session'
}
