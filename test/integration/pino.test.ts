/** pino itself as `echo`, and for events and errors: fields that a log can be searched by, and no secret. */
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { EngineOptions } from '../../src/engine/options.js'
import { createSessionFactory } from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (id integer primary key, title text unique)')

type Line = Record<string, unknown>

function logged(): { logger: ReturnType<typeof pino>; lines: Line[] } {
  const lines: Line[] = []
  const write = (line: string): void => void lines.push(JSON.parse(line) as Line)
  return { logger: pino({ level: 'debug', base: null, timestamp: false }, { write }), lines }
}

const INFO = 30
const ERROR = 50

test('pino is a logger for echo: numbers are fields, the statement is the message', async () => {
  const { logger, lines } = logged()
  const engine = fixture.engine({ name: 'main', echo: logger })
  await engine.begin((connection) => connection.execute('select $1::text as title', ['Blue']))
  const of = { pool: 'main', connectionId: 1 }
  const answered = { ...of, level: INFO, durationMillis: expect.any(Number) as number }
  expect(lines).toMatchObject([
    { ...of, level: INFO, msg: 'BEGIN (implicit)' },
    { ...answered, rowCount: 1, command: 'SELECT', msg: 'select $1::text as title -- ["Blue"]' },
    { ...of, level: 20, msg: expect.stringContaining('rows: ') as string },
    { ...of, level: INFO, msg: expect.stringContaining('COMMIT') as string },
  ])
})

test('a refused statement is an error with its SQLSTATE; hideParameters keeps its values out', async () => {
  for (const hideParameters of [false, true]) {
    const { logger, lines } = logged()
    const engine = fixture.engine({ name: 'main', echo: logger, hideParameters })
    await errorOf(engine.begin((connection) => connection.execute('select $1::integer', ['a secret'])))
    const refused = lines.find(({ level }) => level === ERROR)
    expect(refused).toMatchObject({ pool: 'main', connectionId: 1, sqlState: '22P02' })
    expect(JSON.stringify(lines).includes('a secret')).toBe(!hideParameters)
  }
})

/** What pino's serializer makes of an error. */
async function serialised(
  options: EngineOptions,
  work: (engine: ReturnType<typeof fixture.engine>) => Promise<unknown>,
) {
  const { logger, lines } = logged()
  const engine = fixture.engine({ name: 'main', ...options })
  logger.error({ err: await errorOf(work(engine)) }, 'failed')
  const text = JSON.stringify(lines)
  const { password } = new URL(fixture.db.url)
  if (password !== '') expect(text).not.toContain(password)
  return { err: lines[0]?.['err'] as Line, text }
}

test("pino's serializer shows code, SQLSTATE and statement of an error", async () => {
  const work = (engine: ReturnType<typeof fixture.engine>) =>
    engine.begin(async (connection) => {
      await connection.execute("insert into songs values (1, 'a secret')")
      await connection.execute('insert into songs values (2, $1)', ['a secret'])
    })
  const { err } = await serialised({}, work)
  expect(err).toMatchObject({
    type: 'UniqueViolationError',
    sqlState: '23505',
    constraint: 'songs_title_key',
    table: 'songs',
  })
  expect(err['code']).toEqual(expect.any(String))
  const hidden = await serialised({ hideParameters: true }, async (engine) =>
    engine.begin(async (connection) => {
      await connection.execute('insert into songs values (1, $1)', ['a secret'])
      await connection.execute('insert into songs values (2, $1)', ['a secret'])
    }),
  )
  expect(hidden.text).not.toContain('a secret')
})

test('an error of the pool names the pool and has no password', async () => {
  const { err } = await serialised({ poolSize: 1, maxOverflow: 0 }, async (engine) => {
    await using held = await engine.connect()
    const { withSession } = createSessionFactory({ bind: engine })
    await withSession((session) => session.execute('select 1'), { poolTimeoutMillis: 20 }).finally(() =>
      held.close(),
    )
  })
  expect(err).toMatchObject({ type: 'PoolTimeoutError', code: 'POOL_TIMEOUT' })
  expect(err['message']).toContain("Pool 'main'")
})
