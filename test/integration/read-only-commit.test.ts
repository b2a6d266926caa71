/** The COMMIT of a read-only block: awaited where it can bring news, and else sent before the caller goes on. */
import { mock } from 'node:test'
import { spawn } from 'node:child_process'
import { tracingChannel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { CommitOutcomeUnknownError } from '../../src/errors.js'
import { createSessionFactory, type Engine } from '../../src/index.js'
import { instrument } from '../../src/integrations/opentelemetry.js'
import { compileProgram } from '../helpers/programs.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(
  `create function tells(text) returns void language sql as $$ select pg_notify('told', $1) $$`,
)

afterEach(() => {
  mock.timers.reset()
})

const CHANNELS = ['acquire', 'connect', 'flush', 'statement', 'transaction']

function subscribeToAll(): () => void {
  const none = (): void => undefined
  const subscriber = { start: none, end: none, asyncStart: none, asyncEnd: none, error: none }
  const channels = CHANNELS.map((name) => tracingChannel(`lifeguard:${name}`))
  for (const channel of channels) channel.subscribe(subscriber)
  return () => {
    for (const channel of channels) channel.unsubscribe(subscriber)
  }
}

const lonely = (options = {}) =>
  fixture.factory({ poolSize: 1, maxOverflow: 0, ...options }, { readOnly: true })

describe('after plain reads', () => {
  test('it is sent where the timers of the process are fake', async () => {
    const { withSession } = lonely()
    const pid = await withSession((session) => session.scalar<number>('select pg_backend_pid()'))
    mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] })
    await withSession(async (session) => {
      await session.execute('select 1')
    })
    mock.timers.reset()
    await waitUntil(async () => {
      const [backend] = await fixture.db.query('select state from pg_stat_activity where pid = $1', [pid])
      return backend?.['state'] === 'idle'
    })
  })

  test('it is on its way before the next line of the caller runs, however long that blocks', async () => {
    const { withSession } = lonely({
      connectArgs: { serverSettings: { idle_in_transaction_session_timeout: '1000' } },
    })
    const pids = new Set<unknown>()
    for (let turn = 0; turn < 2; turn++) {
      pids.add(
        await withSession(async (session) => {
          const pid: number | null = await session.scalar('select pg_backend_pid()')
          return pid
        }),
      )
      for (const until = performance.now() + 1_500; performance.now() < until;);
    }
    expect(pids.size).toBe(1)
  })

  test('it is on its way when the next line ends the process', async () => {
    using proxy = await startProxy(fixture.db.url)
    const program = compileProgram('test/integration/read-only-exit.fixture.ts')
    const child = spawn(process.execPath, [program], {
      env: { ...process.env, DATABASE_URL: proxy.url },
      stdio: 'inherit',
    })
    expect(await once(child, 'exit')).toEqual([0, null])
    await waitUntil(() => proxy.openConnections === 0)
    const sent = proxy.connections.flatMap(({ messages }) => messages.filter(({ from }) => from === 'client'))
    expect(sent.filter(({ text }) => text?.startsWith('COMMIT'))).toHaveLength(1)
  })

  test.each([
    ['nothing', () => () => undefined],
    ['subscribers of every channel', subscribeToAll],
    ['a listener of acquire', (engine: Engine) => engine.on('acquire', () => undefined)],
    ['OpenTelemetry', (engine: Engine) => instrument(engine)],
  ])(
    'it is sent with the BEGIN of the next waiting caller, in one batch (observed by %s)',
    async (_, observe) => {
      using proxy = await startProxy(fixture.db.url)
      const engine = fixture.engine({ url: proxy.url, poolSize: 1, maxOverflow: 0 })
      const { withSession } = createSessionFactory({ bind: engine, readOnly: true })
      const stop = observe(engine)
      onTestFinished(() => void stop())
      const read = () =>
        withSession(async (session) => {
          await session.execute('select 1')
        })
      await read()
      proxy.reset()
      await Promise.all([read(), read(), read()])
      const messages = proxy.connections.flatMap((connection) => connection.messages)
      expect(messages.filter(({ name }) => name === 'Sync')).toHaveLength(3)
      // Only the last COMMIT has no batch to go with.
      expect(messages.filter(({ name, text }) => name === 'Query' && text === 'COMMIT')).toHaveLength(1)
    },
  )
})

describe.each([`select pg_notify('told', 'x')`, `select tells('x')`, "select * from tells('x')"])(
  'after %s, which may have an effect',
  (effect) => {
    test('it is awaited', async () => {
      using proxy = await startProxy(fixture.db.url)
      const { withSession } = lonely({ url: proxy.url })
      await withSession((session) => session.execute('select 1'))
      proxy.reset()
      const holding = proxy.holdAt({
        from: 'client',
        when: 'before',
        message: ({ text }) => text === 'COMMIT',
      })
      let ended = false
      const block = withSession(async (session) => {
        await session.execute(effect)
      }).then(() => (ended = true))
      const held = await holding
      expect(ended).toBe(false)
      held.resume()
      await block
    })

    test.each([false, true])(
      'and cut off, its outcome is unknown, and it is not run again (riding: %s)',
      async (rides) => {
        using proxy = await startProxy(fixture.db.url)
        const { withSession } = lonely({ url: proxy.url })
        // Its COMMIT is no prepared statement, so that the next one can be seen.
        await withSession(async (session) => {
          await session.execute('select 1')
        })
        await waitUntil(() => proxy.connections.some(({ messages }) => messages.at(-1)?.text === 'I'))
        const cut = proxy.cutAt({ from: 'client', when: 'before', message: ({ text }) => text === 'COMMIT' })
        const block = rides
          ? withSession((session) => session.execute(effect))
          : withSession(async (session) => {
              await session.execute(effect)
            })
        expect(await errorOf(block)).toBeInstanceOf(CommitOutcomeUnknownError)
        await cut
      },
    )
  },
)
