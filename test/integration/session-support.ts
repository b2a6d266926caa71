/** What the tests of engines and sessions share. */
import { afterAll, afterEach, beforeAll } from 'vitest'
import { createEngine, type Engine } from '../../src/engine/engine.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { createSessionFactory, type SessionFactory } from '../../src/session/session-factory.js'
import type { SessionFactoryOptions } from '../../src/session/session-factory.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { socketsAreRead, waitUntil } from '../helpers/wait-until.js'

/** A database for one file, and engines on it. */
export interface Fixture {
  readonly db: TestDatabase
  /** An engine on the database. The leak guard watches it; it is disposed after its test. */
  engine(options?: EngineOptions, make?: (options: EngineOptions) => Engine): Engine
  /** A session factory on an engine of its own. */
  factory(
    options?: EngineOptions,
    defaults?: Omit<SessionFactoryOptions, 'bind'>,
    make?: (options: EngineOptions) => Engine,
  ): SessionFactory
}

/**
 * Call it at the top of a test file.
 * @param schema Statements that make the tables, run once.
 */
export function useDatabase(...schema: readonly string[]): Fixture {
  let db: TestDatabase | undefined
  const engines: Engine[] = []
  // Hooks of this kind run in reverse: the leak guard looks before the engines are disposed.
  afterEach(async () => {
    await Promise.all(engines.splice(0).map((engine) => engine.dispose({ timeoutMillis: 1000 })))
  })
  const watch = guardLeaks()
  beforeAll(async () => {
    db = await database()
    for (const statement of schema) await db.query(statement)
  })
  afterAll(() => db?.drop())

  const engine: Fixture['engine'] = (options = {}, make = createEngine) => {
    const made = watch(make({ url: (db as TestDatabase).url, ...options }))
    engines.push(made)
    return made
  }
  return {
    get db() {
      return db as TestDatabase
    },
    engine,
    factory: (options, defaults, make) => createSessionFactory({ ...defaults, bind: engine(options, make) }),
  }
}

/** What the promise is rejected with. Fails itself if it is not. */
export async function errorOf(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (outcome instanceof Error) return outcome as Error & Record<string, unknown>
  throw new Error(outcome === undefined ? 'It was fulfilled' : `Not an error: ${String(outcome)}`)
}

/** One row of `pg_stat_activity`. */
export interface Backend {
  readonly pid: number
  readonly state: string | null
  readonly query: string
}

/** The backends of an application on the database, oldest first. */
export function backendsOf(db: TestDatabase, application: string): Promise<Backend[]> {
  return db.query<Backend & Record<string, unknown>>(
    `select pid, state, query from pg_stat_activity
     where application_name = $1 and datname = current_database() order by backend_start`,
    [application],
  )
}

/** Waits until the application has exactly one backend for which `condition` holds, and nothing else. */
export async function waitForBackend(
  db: TestDatabase,
  application: string,
  condition: (backend: Backend) => boolean,
): Promise<Backend> {
  let backends: Backend[] = []
  return waitUntil(
    async () => {
      backends = await backendsOf(db, application)
      const [only, ...others] = backends
      return others.length === 0 && only !== undefined && condition(only) ? only : undefined
    },
    { message: () => `a certain backend; there are ${JSON.stringify(backends)}` },
  )
}

/** Ends a backend, as an administrator would. Its connection, if it is one of this process, has heard of it. */
export async function terminate(db: TestDatabase, pid: number | undefined): Promise<void> {
  await db.query('select pg_terminate_backend($1)', [pid])
  await waitUntil(
    async () => (await db.query('select 1 from pg_stat_activity where pid = $1', [pid])).length === 0,
  )
  await socketsAreRead()
}

/** A promise that others resolve. */
export interface Gate<Value = void> {
  readonly opened: Promise<Value>
  open(value: Value): void
}

export function gate<Value = void>(): Gate<Value> {
  let open!: (value: Value) => void
  const opened = new Promise<Value>((resolve) => (open = resolve))
  return { opened, open }
}
