import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { EngineDisposedError } from '../../src/errors.js'
import { compileProgram } from '../helpers/programs.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf, errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (n int primary key)')

test('a thousand sessions at once on 5 + 10 connections, a third of them throwing', async () => {
  const application = 'session-load'
  const { withSession, bind } = fixture.factory({
    poolSize: 5,
    maxOverflow: 10,
    connectArgs: { serverSettings: { application_name: application } },
  })
  let most = 0
  bind.on('connect', () => {
    most = Math.max(most, bind.stats().size)
  })
  let watching = true
  const seen: number[] = []
  const watch = (async () => {
    while (watching) seen.push((await backendsOf(fixture.db, application)).length)
  })()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, n) =>
      withSession(async (session) => {
        await session.execute('insert into notes values ($1)', [n])
        if (n % 3 === 0) throw new Error(`no ${n}`)
        return session.scalar<number>('select n from notes where n = $1', [n])
      }),
    ),
  )
  watching = false
  await watch
  for (const [n, outcome] of outcomes.entries()) {
    if (n % 3 === 0) expect(outcome).toMatchObject({ status: 'rejected', reason: { message: `no ${n}` } })
    else expect(outcome).toEqual({ status: 'fulfilled', value: n })
  }
  expect(Math.max(most, ...seen)).toBeLessThanOrEqual(15)
  expect(bind.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
  const [count] = await fixture.db.query<{ count: string }>('select count(*) from notes')
  expect(count?.count).toBe('666')
})

test('dispose() lets sessions finish, refuses new ones, and leaves no backend', async () => {
  const application = 'session-dispose'
  const { withSession, bind } = fixture.factory({
    connectArgs: { serverSettings: { application_name: application } },
  })
  const running = withSession(async (session) => {
    await session.execute('select pg_sleep(0.05)')
    return session.scalar('select 7')
  })
  await waitUntil(() => bind.stats().borrowed === 1)
  const disposing = bind.dispose()
  expect(await errorOf(withSession((session) => session.execute('select 1')))).toBeInstanceOf(
    EngineDisposedError,
  )
  expect(await running).toBe(7)
  await disposing
  expect(await backendsOf(fixture.db, application)).toEqual([])
  expect(await errorOf(bind.connect())).toBeInstanceOf(EngineDisposedError)
})

test('a process that has disposed its engine ends by itself, and so does one with an idle pool', async () => {
  const program = compileProgram('test/integration/session-process.fixture.ts')
  for (const ending of ['dispose', 'idle', 'listen']) {
    const child = spawn(process.execPath, [program, ending], {
      env: { ...process.env, DATABASE_URL: fixture.db.url },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect([ending, code, signal]).toEqual([ending, 0, null])
    const { backends } = JSON.parse(output) as { backends: number }
    if (ending !== 'idle') expect(backends).toBe(0)
  }
  await waitUntil(async () => (await backendsOf(fixture.db, 'session-process')).length === 0)
})
