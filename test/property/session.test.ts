/**
 * A session under several tasks at once, in random programs, against a model of what is in the table. `FC_RUNS` sets the
 * number of programs (by default as many as some seconds allow); a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import pg from 'pg'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Connection } from '../../src/engine/connection.js'
import { createEngine, type Engine } from '../../src/engine/engine.js'
import { createSessionFactory, type SessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { byLength } from '../helpers/length.js'
import { type Block, type Entry, Model, type Step } from './session-model.js'

const DEFAULT_RUNS = 1500
/** What the default runs may take; later ones are passed over. */
const DEFAULT_MILLIS = byLength(2_500, 9_000)
const LONGEST_MILLIS = 3_600_000
/** No program takes nearly as long; one that does hangs. */
const HANG_MILLIS = 60_000

/** A step of a task: what comes after it waits for its end, or not. */
interface TaskStep {
  readonly step: Step
  readonly awaits: boolean
  /** Turns of the event loop before it. */
  readonly turns: number
}

type Task = readonly TaskStep[]

/** What happens to the session as a whole, and when. */
interface Interruption {
  readonly kind: 'none' | 'close' | 'abort'
  readonly turns: number
  /** Until then the session waits for a connection. */
  readonly waits: boolean
}

interface Interrupted {
  readonly session: Session
  /** Of the session's signal. */
  readonly controller: AbortController
  /** Holds the only connection. */
  readonly holder: Connection | undefined
}

let db: TestDatabase
let admin: pg.Client
let engine: Engine
let sessions: SessionFactory
const unheard: unknown[] = []
const onUnheard = (reason: unknown): void => void unheard.push(reason)

beforeAll(async () => {
  db = await database()
  admin = new pg.Client({ connectionString: db.url })
  await admin.connect()
  await admin.query('create table rows (id int primary key)')
  engine = createEngine({ url: db.url, captureStacks: false, poolSize: 1, maxOverflow: 0 })
  sessions = createSessionFactory({ bind: engine })
  process.on('unhandledRejection', onUnheard)
})

afterAll(async () => {
  process.off('unhandledRejection', onUnheard)
  await engine.dispose()
  await admin.end()
  await db.drop()
})

// Programs -----------------------------------------------------------------------------------------------------------

// Few ids, so that they clash.
const id = fc.integer({ min: 1, max: 8 })
const turns = fc.integer({ min: 0, max: 3 })

const { inner } = fc.letrec<{ inner: Step; block: Step }>((tie) => ({
  inner: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('insert' as const), id }) },
    { weight: 2, arbitrary: fc.constant<Step>({ kind: 'read' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'fail' }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('abortable' as const), id, turns }) },
    { weight: 4, arbitrary: tie('block') },
  ),
  block: fc.record({
    kind: fc.constant('block' as const),
    steps: fc.array(tie('inner'), { maxLength: 4 }),
    parallel: fc.boolean(),
    propagate: fc.boolean(),
    throws: fc.boolean(),
  }),
}))

const outer: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: inner },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: 'commit' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'rollback' }) },
)

const task: fc.Arbitrary<Task> = fc.array(fc.record({ step: outer, awaits: fc.boolean(), turns }), {
  maxLength: 8,
})
const tasks = fc.array(task, { minLength: 1, maxLength: 4 })

// Running them -------------------------------------------------------------------------------------------------------

/** Gives a step to the session, at once. The promise is never rejected: the outcome stands in the entry. */
function give(session: Session, step: Step, level: Entry[]): Promise<Entry> {
  const entry: Entry = { step, children: [], outcome: undefined }
  level.push(entry)
  return perform(session, step, entry).then(
    (value) => Object.assign(entry, { outcome: { ok: true, value } }),
    (error: unknown) => Object.assign(entry, { outcome: { ok: false, error } }),
  )
}

function perform(session: Session, step: Step, entry: Entry): Promise<unknown> {
  switch (step.kind) {
    case 'insert':
      return session.execute('insert into rows values ($1)', [step.id])
    case 'fail':
      return session.execute('select 1 / 0')
    case 'read':
      return session.scalar<number>('select count(*)::int from rows')
    case 'commit':
      return session.commit()
    case 'rollback':
      return session.rollback()
    case 'abortable':
      return abortable(session, step)
    case 'block':
      return session.beginNested(() => runBlock(session, step, entry.children))
  }
}

async function runBlock(session: Session, block: Block, level: Entry[]): Promise<void> {
  const { steps, parallel, propagate, throws } = block
  const check = ({ outcome }: Entry): void => {
    if (propagate && outcome?.ok === false) throw outcome.error
  }
  if (parallel) (await Promise.all(steps.map((step) => give(session, step, level)))).forEach(check)
  else for (const step of steps) check(await give(session, step, level))
  if (throws) throw new Error('undo')
}

async function abortable(
  session: Session,
  step: { readonly id: number; readonly turns: number },
): Promise<void> {
  const controller = new AbortController()
  const block = session.beginNested(() =>
    session.execute('insert into rows select $1 from pg_sleep(0.002)', [step.id], {
      signal: controller.signal,
    }),
  )
  // Heard below, whatever happens meanwhile.
  block.catch(() => undefined)
  for (let turn = 0; turn < step.turns; turn++) await nextTurn()
  controller.abort()
  await block
}

async function runTask(session: Session, steps: Task, level: Entry[]): Promise<void> {
  const given: Promise<Entry>[] = []
  for (const { step, awaits, turns: pause } of steps) {
    for (let turn = 0; turn < pause; turn++) await nextTurn()
    const settling = give(session, step, level)
    given.push(settling)
    if (awaits) await settling
  }
  await Promise.all(given)
}

async function interrupt(
  { session, controller, holder }: Interrupted,
  { kind, turns: pause }: Interruption,
): Promise<void> {
  if (kind === 'none') return
  for (let turn = 0; turn < pause; turn++) await nextTurn()
  const closing = kind === 'close' ? session.close() : controller.abort(new Error('interrupted'))
  await holder?.close()
  await closing
}

/** Rejects if the work does not end. */
async function inTime<Value>(work: Promise<Value>, log: () => string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`It hangs: ${log()}`)), HANG_MILLIS)
  })
  try {
    return await Promise.race([work, hang])
  } finally {
    clearTimeout(timer)
  }
}

async function check(program: readonly Task[], interruption: Interruption): Promise<void> {
  await admin.query('truncate rows')
  unheard.length = 0
  const controller = new AbortController()
  const holder = interruption.waits ? await engine.connect() : undefined
  const session = sessions({ signal: controller.signal })
  const level: Entry[] = []
  const work = [
    ...program.map((steps) => runTask(session, steps, level)),
    interrupt({ session, controller, holder }, interruption),
  ]
  await inTime(Promise.all(work), () => JSON.stringify(level))
  await inTime(session.close(), () => `close(), after ${JSON.stringify(level)}`)

  const model = new Model(interruption.kind !== 'none')
  model.replay(level)
  expect(model.complaints).toEqual([])
  const { rows } = await admin.query<{ id: number }>('select id from rows order by id')
  expect(rows.map((row) => row.id)).toEqual([...model.committed].sort((one, other) => one - other))
  expect(engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
  expect(unheard).toEqual([])
}

const RUNS = Number(process.env['FC_RUNS'] ?? DEFAULT_RUNS)

/** Programs until the time is over; a run that fast-check gave up by itself would go on beside the next one. */
async function checkMany<Parameters extends [unknown, ...unknown[]]>(
  arbitraries: { [Index in keyof Parameters]: fc.Arbitrary<Parameters[Index]> },
  run: (...parameters: Parameters) => Promise<void>,
): Promise<void> {
  const until = process.env['FC_RUNS'] === undefined ? performance.now() + DEFAULT_MILLIS : Infinity
  await fc.assert(
    fc.asyncProperty(...arbitraries, (...parameters) =>
      performance.now() > until ? Promise.resolve() : run(...parameters),
    ),
    { numRuns: RUNS },
  )
}

test(
  'what tasks do on one session at once takes effect in the order in which it was given',
  { timeout: LONGEST_MILLIS },
  () => checkMany([tasks], (program) => check(program, { kind: 'none', turns: 0, waits: false })),
)

test(
  'closed or aborted at any moment, it stores what was committed, whole, and nothing else',
  { timeout: LONGEST_MILLIS },
  () => {
    const interruption = fc.record({
      kind: fc.constantFrom('close' as const, 'abort' as const),
      turns: fc.integer({ min: 0, max: 30 }),
      waits: fc.boolean(),
    })
    return checkMany([tasks, interruption], check)
  },
)
