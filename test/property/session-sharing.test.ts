/**
 * Many sessions that share one or two connections, in random programs: what each was told is what is stored, no matter which session went on
 * behind whose COMMIT. `FC_RUNS` sets the number of programs; a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import { setImmediate as nextTurn } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngine } from '../../src/engine/engine.js'
import { createSessionFactory, type SessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { byLength } from '../helpers/length.js'
import { waitUntil } from '../helpers/wait-until.js'

const DEFAULT_RUNS = 1_000
const DEFAULT_MILLIS = byLength(2_000, 6_000)
const LONGEST_MILLIS = 3_600_000
const HANG_MILLIS = 60_000

/** One block of one transaction. */
interface Block {
  /** `hidden`: a function writes, so that it looks like a read. `refused`: so does this one, and COMMIT is refused. */
  readonly kind: 'read' | 'write' | 'hidden' | 'refused' | 'fail' | 'slow'
  /** How the block gives its statement: what it returns takes COMMIT along, what it awaits does not. */
  readonly gives: 'returned' | 'awaited' | 'committed'
  readonly readOnly: boolean
  /** Turns of the event loop before it begins. */
  readonly turns: number
  /** Turns until its signal is aborted. */
  readonly abortTurns: number | undefined
}

const block: fc.Arbitrary<Block> = fc.record({
  kind: fc.constantFrom('read', 'read', 'hidden', 'hidden', 'write', 'refused', 'fail', 'slow'),
  gives: fc.constantFrom('returned', 'awaited', 'awaited', 'committed'),
  readOnly: fc.boolean(),
  turns: fc.nat(4),
  abortTurns: fc.option(fc.nat(6), { nil: undefined, freq: 6 }),
})
const program = fc.record({
  blocks: fc.array(block, { minLength: 2, maxLength: 12 }),
  connections: fc.constantFrom(1, 1, 2),
  /** Turns until every backend is killed. */
  killTurns: fc.option(fc.nat(12), { nil: undefined, freq: 8 }),
})

const TEXTS: Readonly<Record<Block['kind'], (id: number) => string>> = {
  read: (id) => `select ${String(id)}`,
  write: (id) => `insert into rows values (${String(id)}) returning id`,
  hidden: (id) => `select add_row(${String(id)})`,
  refused: (id) => `select add_refused(${String(id)})`,
  fail: () => 'select 1 / 0',
  slow: (id) => `select ${String(id)} from pg_sleep(0.003)`,
}

let db: TestDatabase
let admin: pg.Client

beforeAll(async () => {
  db = await database()
  admin = new pg.Client({ connectionString: db.url })
  await admin.connect()
  await admin.query(`
    create table rows (id int primary key);
    create table refused (id int, unique (id) deferrable initially deferred);
    create function add_row(id int) returns int language sql as 'insert into rows values (id); select id';
    create function add_refused(id int) returns int language sql as
      'insert into rows values (id); insert into refused values (id), (id); select id'`)
})
afterAll(async () => {
  await admin.end()
  await db.drop()
})

async function turn(turns: number): Promise<void> {
  for (let count = 0; count < turns; count++) await nextTurn()
}

/** Runs a block; gives what it was told: `ok`, or the code of its error. */
async function run({ withSession }: SessionFactory, id: number, block: Block): Promise<string> {
  await turn(block.turns)
  const text = TEXTS[block.kind](id)
  const work = (session: Session): Promise<unknown> => {
    if (block.gives === 'returned') return session.scalar(text)
    const finish = async (): Promise<unknown> => {
      const value = await session.scalar(text)
      if (block.gives === 'committed') await session.commit()
      return value
    }
    return finish()
  }
  const controller = new AbortController()
  const { abortTurns } = block
  if (abortTurns !== undefined) void turn(abortTurns).then(() => controller.abort())
  const signal = abortTurns === undefined ? {} : { signal: controller.signal }
  try {
    const value = await withSession(work, { readOnly: block.readOnly, ...signal })
    return value === id ? 'ok' : `the value ${String(value)}`
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

/** What may not have been told, given what is stored. */
function complaint(id: number, block: Block, told: string, stored: boolean): string | undefined {
  const { kind, readOnly } = block
  const writes = (kind === 'write' || kind === 'hidden') && !readOnly
  if (told === 'COMMIT_OUTCOME_UNKNOWN') return undefined
  const fine = told === 'ok' ? kind !== 'refused' && kind !== 'fail' && stored === writes : !stored
  if (fine) return undefined
  return `${JSON.stringify(block)} (${String(id)}) was told ${told}, and its row is ${stored ? 'there' : 'not there'}`
}

test('sessions on few connections are told what is stored', { timeout: LONGEST_MILLIS }, async () => {
  const given = Number(process.env['FC_RUNS'])
  // Not interruptAfterTimeLimit: the program that is interrupted would go on behind the end of the test.
  const length = { numRuns: given > 0 ? given : DEFAULT_RUNS }
  const end = given > 0 ? Infinity : performance.now() + DEFAULT_MILLIS
  const property = fc.asyncProperty(program, async ({ blocks, connections, killTurns }) => {
    if (performance.now() > end) return
    await admin.query('truncate rows, refused')
    const engine = createEngine({
      url: db.url,
      poolSize: connections,
      maxOverflow: 0,
      connectArgs: { serverSettings: { application_name: 'sharing' } },
    })
    const sessions = createSessionFactory({ bind: engine })
    const running = blocks.map((each, index) => run(sessions, index + 1, each))
    const killed = async (): Promise<void> => {
      if (killTurns === undefined) return
      await turn(killTurns)
      await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sharing' and datname = current_database()",
      )
    }
    const hang = new Promise<never>((_, reject) =>
      setTimeout(() => reject(new Error(`It hangs: ${engine.status()}`)), HANG_MILLIS).unref(),
    )
    const [told] = await Promise.race([Promise.all([Promise.all(running), killed()]), hang])
    await waitUntil(() => engine.stats().borrowed === 0)
    const { waiting, size } = engine.stats()
    expect([waiting, size <= connections]).toEqual([0, true])
    // It ends once no backend can store anything any more.
    await engine.dispose()
    await waitUntil(
      async () =>
        (
          await admin.query(
            "select from pg_stat_activity where application_name = 'sharing' and datname = current_database()",
          )
        ).rowCount === 0,
    )
    const { rows } = await admin.query<{ id: number }>('select id from rows')
    const stored = new Set(rows.map(({ id }) => id))
    const complaints = blocks.flatMap(
      (each, index) => complaint(index + 1, each, told[index] ?? '', stored.has(index + 1)) ?? [],
    )
    expect(complaints).toEqual([])
  })
  await fc.assert(property, { ...length, markInterruptAsFailure: false })
})
