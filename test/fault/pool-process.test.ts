/** What happens to the whole process: it is told to end, or frozen and thawed. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ExampleProcess } from '../examples/processes.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { compileProgram } from '../helpers/programs.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf } from '../integration/session-support.js'
import { pass } from './support.js'

let db: TestDatabase
beforeAll(async () => {
  db = await database()
  await db.query('create table work (part text)')
})
afterAll(() => db.drop())
beforeEach(() => db.query('truncate work'))

function run(program: string, environment: NodeJS.ProcessEnv): ExampleProcess {
  return new ExampleProcess(process.execPath, [compileProgram(`test/fault/${program}`)], environment)
}

interface ServiceReport {
  readonly closed: number
  readonly forced: number
  readonly rejected: number
  readonly done: number
  readonly refused: number
  readonly failed: readonly string[]
}

async function reportOf(service: ExampleProcess): Promise<ServiceReport> {
  const [, json] = await service.says(/^report (.*)$/m)
  return JSON.parse(json as string) as ServiceReport
}

describe('SIGTERM under load', () => {
  test('finishes what is under way, refuses what is new, leaves no backend, and the process ends by itself', async () => {
    await using service = run('support-service.ts', {
      URL: db.url,
      CALLERS: '10',
      SLEEP: '0.02',
      DISPOSE: '10000',
    })
    await service.says(/(done\s+){20}/)
    service.signal('SIGTERM')
    const report = await reportOf(service)
    expect(await service.exitCode()).toBe(0)
    expect(report).toMatchObject({ forced: 0, closed: 4, refused: 10, failed: [] })
    expect(report.rejected).toBeGreaterThan(0)
    expect(await backendsOf(db, 'service')).toEqual([])
    const [stored] = await db.query<{ count: number }>("select count(*)::int from work where part = 'second'")
    expect(stored?.count).toBe(report.done)
    expect(await db.query('select from work')).toHaveLength(2 * report.done)
  })

  test('cancels at the deadline what does not finish, on the server as well, and nothing of it is stored', async () => {
    await using service = run('support-service.ts', {
      URL: db.url,
      CALLERS: '4',
      SLEEP: '60',
      DISPOSE: '200',
    })
    await waitUntil(
      async () =>
        (await backendsOf(db, 'service')).filter(({ query }) => query.includes('pg_sleep')).length === 4,
      { deadlineMillis: 20_000 },
    )
    service.signal('SIGTERM')
    const report = await reportOf(service)
    expect(await service.exitCode()).toBe(0)
    expect(report).toMatchObject({ forced: 4, done: 0, refused: 4, failed: [] })
    await waitUntil(async () => (await backendsOf(db, 'service')).length === 0)
    expect(await db.query('select from work')).toEqual([])
  })
})

describe('a process that was frozen while its connections died', () => {
  const deaths: readonly [name: string, kill: (proxy: Proxy) => void][] = [
    ['and the server said so', (proxy) => void proxy.cut()],
    [
      'and the client was not told',
      ({ connections }) => connections.forEach((connection) => connection.hold()),
    ],
  ]

  test.each(deaths)('(%s) succeeds with its first call', async (_, kill) => {
    using proxy = await startProxy(db.url)
    await using sleeper = run('support-sleeper.ts', { URL: proxy.url })
    await sleeper.says(/started/)
    sleeper.signal('SIGUSR2')
    await sleeper.says(/call 1: 1/)
    sleeper.signal('SIGSTOP')
    // Longer than two ticks of its housekeeper.
    await pass(1_500)
    kill(proxy)
    // The call is there before the process can notice anything.
    sleeper.signal('SIGUSR2')
    sleeper.signal('SIGCONT')
    const [, outcome] = await sleeper.says(/call 2: (.*)/)
    expect(outcome).toBe('1')
    sleeper.signal('SIGTERM')
    expect(await sleeper.exitCode()).toBe(0)
  })
})
