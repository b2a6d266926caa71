import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import type { Notification } from '../../src/engine/listen.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf, errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase()

let applications = 0

/** An engine whose backends can be found. */
function found(url?: string): {
  engine: Engine
  application: string
  backends(): ReturnType<typeof backendsOf>
} {
  const application = `listen-${++applications}`
  const engine = fixture.engine({
    ...(url === undefined ? {} : { url }),
    connectArgs: { serverSettings: { application_name: application } },
  })
  return { engine, application, backends: () => backendsOf(fixture.db, application) }
}

const notify = (channel: string, payload = '') =>
  fixture.db.query('select pg_notify($1, $2)', [channel, payload])

/** Reads notifications in the background, until the iteration ends. */
function collect(
  engine: Engine,
  channel: string,
  options: { signal?: AbortSignal } = {},
): { received: Notification[]; ready: Promise<void>; ended: Promise<void>; connects: () => number } {
  const received: Notification[] = []
  const ready = gate()
  let connects = 0
  const onConnect = (): void => {
    connects++
    ready.open()
  }
  const ended = (async () => {
    for await (const notification of engine.listen(channel, { ...options, onConnect }))
      received.push(notification)
  })()
  return { received, ready: ready.opened, ended, connects: () => connects }
}

test('notifications come in order, with channel, payload and sender', async () => {
  const { engine } = found()
  const controller = new AbortController()
  const { received, ready, ended } = collect(engine, 'songs', { signal: controller.signal })
  await ready
  for (const payload of ['one', '', 'drei größer']) await notify('songs', payload)
  await notify('others', 'not for us')
  await waitUntil(() => received.length === 3)
  expect(received.map(({ payload }) => payload)).toEqual(['one', '', 'drei größer'])
  expect(received[0]?.channel).toBe('songs')
  expect(received[0]?.processId).toBeGreaterThan(0)
  controller.abort()
  await ended
})

test('what is notified within a transaction comes when it is committed', async () => {
  const { engine } = found()
  const controller = new AbortController()
  const { received, ready, ended } = collect(engine, 'songs', { signal: controller.signal })
  await ready
  await engine.begin(async (connection) => {
    await connection.execute("notify songs, 'inside'")
    await connection.execute('select pg_sleep(0.02)')
    expect(received).toEqual([])
  })
  await waitUntil(() => received.length === 1)
  controller.abort()
  await ended
})

test.each([
  ['My Channel', 'spaces and capitals'],
  ['a"b', 'a quote'],
  ['x; drop table songs; --', 'an injection'],
  ['größe', 'letters beyond ASCII'],
])('the channel %j is quoted (%s)', async (channel) => {
  const { engine } = found()
  const controller = new AbortController()
  const { received, ready, ended } = collect(engine, channel, { signal: controller.signal })
  await ready
  await notify(channel, 'x')
  await waitUntil(() => received.length === 1)
  expect(received[0]?.channel).toBe(channel)
  controller.abort()
  await ended
})

test.each(['', 'a\0b', 5 as never, undefined as never])('the channel %j is refused', async (channel) => {
  const { engine, backends } = found()
  const failure = await errorOf(engine.listen(channel).next())
  expect(failure['code']).toBe('INVALID_STATEMENT')
  expect(await backends()).toEqual([])
})

test('a name that PostgreSQL would cut off is refused; the longest one works', async () => {
  const { engine, backends } = found()
  // 64 bytes, but 63 characters.
  for (const channel of ['c'.repeat(64), `\u00e9${'c'.repeat(62)}`]) {
    const failure = await errorOf(engine.listen(channel).next())
    expect(failure).toMatchObject({
      code: 'INVALID_STATEMENT',
      message: expect.stringContaining('has 64 bytes, and PostgreSQL takes 63') as unknown,
    })
  }
  expect(await backends()).toEqual([])
  const longest = 'c'.repeat(63)
  const controller = new AbortController()
  const { received, ready, ended } = collect(engine, longest, { signal: controller.signal })
  await ready
  await notify(longest, '')
  await waitUntil(() => received.length === 1)
  controller.abort()
  await ended
})

test('it listens again after its backend was terminated, and says so', async () => {
  const { engine, backends } = found()
  const controller = new AbortController()
  const { received, ready, ended, connects } = collect(engine, 'songs', { signal: controller.signal })
  await ready
  await notify('songs', 'before')
  await waitUntil(() => received.length === 1)
  const [first] = await backends()
  await terminate(fixture.db, first?.pid)
  await waitUntil(() => connects() === 2)
  await notify('songs', 'after')
  await waitUntil(() => received.length === 2)
  expect(received.map(({ payload }) => payload)).toEqual(['before', 'after'])
  const [second, ...more] = await backends()
  expect(second?.pid).not.toBe(first?.pid)
  expect(more).toEqual([])
  controller.abort()
  await ended
})

test('it waits for a server that is away, and listens again when it is back', async () => {
  using proxy = await startProxy(fixture.db.url)
  const { engine } = found(proxy.url)
  const controller = new AbortController()
  const { received, ready, ended, connects } = collect(engine, 'songs', { signal: controller.signal })
  await ready
  proxy.refuse()
  await proxy.cut()
  await proxy.accept()
  await waitUntil(() => connects() === 2)
  await notify('songs', 'back')
  await waitUntil(() => received.length === 1)
  controller.abort()
  await ended
})

test('the signal ends the iteration, and its connection', async () => {
  const { engine, backends } = found()
  const controller = new AbortController()
  const { ready, ended } = collect(engine, 'songs', { signal: controller.signal })
  await ready
  expect(await backends()).toHaveLength(1)
  controller.abort()
  await ended
  await waitUntil(async () => (await backends()).length === 0)
})

test('a signal that has fired before: nothing is opened', async () => {
  const { engine, backends } = found()
  const { received, ended } = collect(engine, 'songs', { signal: AbortSignal.abort() })
  await ended
  expect(received).toEqual([])
  expect(await backends()).toEqual([])
})

test('break ends the iteration, and its connection', async () => {
  const { engine, backends } = found()
  const ready = gate()
  const listening = (async () => {
    for await (const { payload } of engine.listen('songs', { onConnect: () => ready.open() })) return payload
    return undefined
  })()
  await ready.opened
  await notify('songs', 'enough')
  expect(await listening).toBe('enough')
  await waitUntil(async () => (await backends()).length === 0)
})

test('the signal ends the iteration before the rest of a burst', async () => {
  const { engine } = found()
  const ending = new AbortController()
  const ready = gate()
  const heard: string[] = []
  const ended = (async () => {
    const options = { signal: ending.signal, onConnect: () => ready.open() }
    for await (const { payload } of engine.listen('burst', options)) {
      heard.push(payload)
      if (heard.length === 2) ending.abort()
    }
  })()
  await ready.opened
  await engine.begin((connection) =>
    connection.execute(`select pg_notify('burst', n::text) from generate_series(1, 200) n`),
  )
  await ended
  expect(heard).toEqual(['1', '2'])
})

test('dispose() ends the iteration, and leaves no backend, also if the loop does not read', async () => {
  const { engine, backends } = found()
  const { ready, ended } = collect(engine, 'songs')
  await ready
  // This loop has read a notification and is busy with it: the next is not asked for.
  const busy = engine.listen('songs')
  const next = busy.next()
  await waitUntil(async () => (await backends()).length === 2)
  await waitUntil(async () => {
    await notify('songs', 'x')
    return Promise.race([
      next.then(() => true),
      new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
    ])
  })
  await engine.dispose()
  expect(await backends()).toEqual([])
  await ended
  expect((await busy.next()).done).toBe(true)
})

test('an engine that was disposed does not listen any more', async () => {
  const { engine, backends } = found()
  await engine.dispose()
  const { received, ended } = collect(engine, 'songs')
  await ended
  expect(received).toEqual([])
  expect(await backends()).toEqual([])
})

test('a database that does not exist ends the iteration with the reason', async () => {
  const url = new URL(fixture.db.url)
  url.pathname = '/no_such_database'
  const { engine } = found(url.href)
  const failure = await errorOf(engine.listen('songs').next())
  expect(failure).toMatchObject({ code: 'CONNECT_FAILED', fatal: true })
})

test('it takes no connection of the pool', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const controller = new AbortController()
  const { ready, ended } = collect(engine, 'songs', { signal: controller.signal })
  await ready
  expect(engine.stats().size).toBe(0)
  await engine.begin((connection) => connection.execute('select 1'))
  controller.abort()
  await ended
})

test.each([{ signl: AbortSignal.timeout(1000) }, { signal: {} }, { onConnect: 'x' }])(
  'the options %j are refused',
  async (options) => {
    const { engine } = found()
    const failure = await errorOf((async () => engine.listen('songs', options as never).next())())
    expect(failure['code']).toBe('INVALID_OPTION')
  },
)

test('several channels have a connection each', async () => {
  const { engine, backends } = found()
  const controller = new AbortController()
  const [one, two] = ['one', 'two'].map((channel) => collect(engine, channel, { signal: controller.signal }))
  await Promise.all([one?.ready, two?.ready])
  await notify('two', 'x')
  await waitUntil(() => two?.received.length === 1)
  expect(one?.received).toEqual([])
  expect(await backends()).toHaveLength(2)
  controller.abort()
  await Promise.all([one?.ended, two?.ended])
})
