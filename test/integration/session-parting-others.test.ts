/**
 * A session that got a connection behind the COMMIT of another drops it, does not use it, or gives up while that COMMIT hangs: each is
 * told the truth, and none waits for ever. What they do in good order is in `session-parting.test.ts`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { StatementTimeoutError } from '../../src/database-errors.js'
import type { StatementOptions } from '../../src/execution/statement-options.js'
import { AbortedError, CommitOutcomeUnknownError } from '../../src/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import type { SessionOptions } from '../../src/session/session-options.js'
import { compileProgram } from '../helpers/programs.js'
import { createImpatientEngine } from '../helpers/impatient-engine.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { isCommit, ONE, useRows } from './session-parting-support.js'
import { errorOf, gate } from './session-support.js'

const { fixture, fresh, ids } = useRows()

interface FirstOptions extends SessionOptions {
  /** Called when the other one waits, right before COMMIT. */
  readonly committing?: () => Promise<void>
}

/** One that adds row 1 and commits as soon as another one, who comes then, waits for the connection. */
function behind<Value>(
  { withSession, bind }: SessionFactory,
  other: () => Promise<Value>,
  { committing, ...options }: FirstOptions = {},
) {
  const added = gate()
  const first = withSession(async (session) => {
    const value = await session.scalar<number>('select add_row(1)')
    added.open()
    await waitUntil(() => bind.stats().waiting === 1)
    await committing?.()
    return value
  }, options)
  return { first, second: added.opened.then(other) }
}

// What becomes of the connection ---------------------------------------------------------------------------------------

test.each([
  { when: 'before', stored: [] },
  { when: 'after', stored: [1] },
] as const)(
  'a connection that is invalidated $when the server has the COMMIT leaves its outcome unknown, and is replaced',
  async ({ when, stored }) => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({ url: proxy.url, ...ONE })
    const held = proxy.holdAt({ from: 'client', when, message: isCommit })
    const { first, second } = behind(factory, () => factory.bind.connect())
    const told = errorOf(first)
    const connection = await second
    const proxied = await held
    await connection.invalidate(new Error('of no use'))
    const error = await told
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(error.cause).toMatchObject({ message: 'of no use' })
    // The server ends what it was sent.
    await proxied.cut('reset')
    expect(await ids()).toEqual(stored)
    expect(await factory.withSession((session) => session.scalar('select 2'))).toBe(2)
    expect(factory.bind.stats()).toMatchObject({ borrowed: 0, size: 1, counters: { connected: 2 } })
  },
)

test('a connection that is invalidated as soon as it is handed on leaves the outcome of the COMMIT unknown', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const { first, second } = behind(factory, async () => (await factory.bind.connect()).invalidate())
  expect(await errorOf(first)).toBeInstanceOf(CommitOutcomeUnknownError)
  await second
  expect(await factory.withSession((session) => session.scalar('select 2'))).toBe(2)
  expect(factory.bind.stats()).toMatchObject({ borrowed: 0, size: 1, counters: { connected: 2 } })
})

test('a read-only transaction whose connection is invalidated has lost nothing, and is run again', async () => {
  using proxy = await startProxy(fixture.db.url)
  const { withSession, bind } = await fresh({ url: proxy.url, ...ONE })
  const held = proxy.holdAt({ from: 'client', when: 'after', message: isCommit })
  let runs = 0
  let heard = 0
  const read = gate()
  const first = withSession(
    async (session) => {
      // One session has to wait for the answer, or COMMIT would not be awaited at all.
      session.afterCommit(() => heard++)
      const value = await session.scalar<number>('select 1')
      if (++runs > 1) return value
      read.open()
      await waitUntil(() => bind.stats().waiting === 1)
      return value
    },
    { readOnly: true, retry: { attempts: 2, backoff: () => 0 } },
  )
  await read.opened
  const connection = await bind.connect()
  await held
  await connection.invalidate()
  expect(await first).toBe(1)
  expect({ runs, heard }).toEqual({ runs: 2, heard: 1 })
})

test('an engine that is disposed of at once leaves the outcome of a COMMIT that hangs unknown', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const held = proxy.holdAt({ from: 'client', when: 'after', message: isCommit })
  const { first, second } = behind(factory, () =>
    factory.withSession(async (session) => {
      await session.execute('select add_row(2)')
    }),
  )
  const told = Promise.all([errorOf(first), errorOf(second)])
  const proxied = await held
  expect(await factory.bind.dispose({ timeoutMillis: 0 })).toMatchObject({ forced: 1 })
  const [one, other] = await told
  expect(one).toBeInstanceOf(CommitOutcomeUnknownError)
  expect(other.code).toBe('ENGINE_DISPOSED')
  await proxied.cut('reset')
  expect(await ids()).toEqual([1])
})

// Who does not use it --------------------------------------------------------------------------------------------------

test.each<[string, (factory: SessionFactory) => Promise<unknown>]>([
  ['returns', ({ bind }) => bind.begin(() => 'nothing')],
  ['throws', ({ bind }) => errorOf(bind.begin(() => Promise.reject(new Error('not today'))))],
  ['gives the connection back', async ({ bind }) => (await bind.connect()).close()],
])('one who %s without a statement holds up no COMMIT', async (_, other) => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  proxy.reset()
  const { first, second } = behind(factory, () => other(factory))
  await second
  expect(await first).toBe(1)
  expect(await ids()).toEqual([1])
  const [connection] = proxy.connections
  // BEGIN and the statement of the first, and its end: nothing of the second.
  expect(connection?.messages.filter(isCommit)).toHaveLength(1)
  expect(connection?.names('client').filter((name) => name === 'Sync' || name === 'Query')).toEqual([
    'Sync',
    'Query',
  ])
  expect(await factory.withSession((session) => session.scalar('select 2'))).toBe(2)
  expect(factory.bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
})

test('a caller that keeps the connection unused does not delay COMMIT, and can use it later', async () => {
  const factory = await fresh(ONE)
  const { first, second } = behind(factory, () => factory.bind.connect())
  await using connection = await second
  expect(await first).toBe(1)
  expect(await ids()).toEqual([1])
  expect(await connection.scalar('select 2')).toBe(2)
})

test.each(['signal', 'timeoutMillis'] as const)(
  'one whose only statement was given up (%s) before the connection came holds up no COMMIT',
  async (option) => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({ url: proxy.url, ...ONE })
    const controller = new AbortController()
    const options = option === 'signal' ? { signal: controller.signal } : { timeoutMillis: 0 }
    const givenUp = gate()
    const { first, second } = behind(
      factory,
      () =>
        factory.withSession(async (session) => {
          const failure = errorOf(session.execute('select add_row(2)', options))
          void failure.then(() => givenUp.open())
          throw await failure
        }),
      {
        committing: () => {
          controller.abort()
          return givenUp.opened
        },
      },
    )
    expect(await errorOf(second)).toBeInstanceOf(option === 'signal' ? AbortedError : StatementTimeoutError)
    expect(await first).toBe(1)
    const [connection] = proxy.connections
    expect(connection?.messages.some(({ text }) => text.includes('add_row(2)'))).toBe(false)
    expect(connection?.messages.filter(isCommit)).toHaveLength(1)
    expect(await ids()).toEqual([1])
  },
)

test('a process does not end before the COMMIT on an unused connection is answered', async () => {
  using proxy = await startProxy(fixture.db.url)
  // Longer than it takes the process to find that there is nothing else to do.
  proxy.delay(50)
  const program = compileProgram('test/integration/session-parting.fixture.ts')
  const child = spawn(process.execPath, [program], {
    env: { ...process.env, DATABASE_URL: proxy.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  expect({ code, signal, output }).toEqual({ code: 0, signal: null, output: 'first 1, second done' })
})

// Whose patience ends --------------------------------------------------------------------------------------------------

test('a statement that times out after a hanging COMMIT is cancelled when COMMIT is answered', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const held = proxy.holdAt({ from: 'client', when: 'before', message: isCommit })
  const { first, second } = behind(factory, () =>
    factory.withSession((session) => session.scalar('select pg_sleep(60)', { timeoutMillis: 50 })),
  )
  const told = errorOf(second)
  const proxied = await held
  const heldAt = performance.now()
  await waitUntil(() => performance.now() - heldAt > 100)
  // Neither the statement nor a cancel, which would hit the COMMIT, has gone anywhere.
  expect(proxy.connections).toHaveLength(1)
  proxied.resume()
  expect(await first).toBe(1)
  expect(await told).toBeInstanceOf(StatementTimeoutError)
  expect(await ids()).toEqual([1])
  expect(factory.bind.stats().counters.connected).toBe(1)
})

/** How the second one says that it waits no longer. */
type Patience = [
  name: string,
  error: typeof AbortedError | typeof StatementTimeoutError,
  options: (signal: AbortSignal) => { session?: SessionOptions; statement?: StatementOptions },
]

test.each<Patience>([
  ['the signal of its session', AbortedError, (signal) => ({ session: { signal } })],
  ['the signal of its statement', AbortedError, (signal) => ({ statement: { signal } })],
  ['the time of its statement', StatementTimeoutError, () => ({ statement: { timeoutMillis: 20 } })],
])(
  'one that has given up (%s) behind a COMMIT that is never answered is not run elsewhere',
  async (_, error, options) => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({
      url: proxy.url,
      ...ONE,
      prePingTimeoutMillis: 300,
      poolTimeoutMillis: 1_500,
    })
    const controller = new AbortController()
    const { session: ofSession, statement } = options(controller.signal)
    const held = proxy.holdAt({ from: 'client', when: 'after', message: isCommit })
    const { first, second } = behind(factory, () =>
      factory.withSession(async (session) => {
        const value = await session.scalar('select add_row(2)', statement)
        return value
      }, ofSession),
    )
    const told = Promise.all([errorOf(first), errorOf(second)])
    await held
    controller.abort()
    const [one, other] = await told
    expect(one).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(other).toBeInstanceOf(error)
    await proxy.cut()
    expect(await ids()).toEqual([1])
    expect(factory.bind.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
  },
)

test('an abort of the first ends its wait for a hanging COMMIT, and does not affect the next transaction', async () => {
  using proxy = await startProxy(fixture.db.url)
  // It would wait for long.
  const options = { url: proxy.url, ...ONE, poolTimeoutMillis: 600_000 }
  const factory = await fresh(options, {}, createImpatientEngine)
  const controller = new AbortController()
  const held = proxy.holdAt({ from: 'client', when: 'after', message: isCommit })
  const { first, second } = behind(
    factory,
    () => factory.withSession((session) => session.scalar('select add_row(2)')),
    { signal: controller.signal },
  )
  const told = errorOf(first)
  const proxied = await held
  controller.abort()
  const error = await told
  expect(error).toBeInstanceOf(CommitOutcomeUnknownError)
  expect(error.cause).toBeInstanceOf(AbortedError)
  proxied.resume()
  expect(await second).toBe(2)
  expect(await ids()).toEqual([1, 2])
  expect(factory.bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
})

test('an abort of the first that comes too late for its COMMIT changes nothing', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const controller = new AbortController()
  const held = proxy.holdAt({ from: 'client', when: 'after', message: isCommit })
  const { first, second } = behind(
    factory,
    () => factory.withSession((session) => session.scalar('select add_row(2)')),
    { signal: controller.signal },
  )
  const proxied = await held
  controller.abort()
  proxied.resume()
  expect(await first).toBe(1)
  expect(await second).toBe(2)
  // No cancel: it could have hit the second.
  expect(proxy.connections).toHaveLength(1)
})

test('a caller without a timeout gets no connection with an unanswered COMMIT', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE, poolTimeoutMillis: null })
  proxy.reset()
  const { first, second } = behind(factory, () =>
    factory.withSession((session) => session.scalar('select add_row(2)')),
  )
  expect(await first).toBe(1)
  expect(await second).toBe(2)
  expect(proxy.connections.flatMap(({ messages }) => messages).some(isCommit)).toBe(false)
})

test('a caller that gets a connection released unused during a hanging COMMIT keeps its own timeout', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const held = proxy.holdAt({ from: 'client', when: 'before', message: isCommit })
  const { first, second } = behind(factory, () => factory.bind.begin(() => 'nothing'))
  const proxied = await held
  expect(await second).toBe('nothing')
  expect(factory.bind.stats()).toMatchObject({ idle: 0, checking: 1 })
  const third = factory.withSession((session) => session.execute('select 3'), { poolTimeoutMillis: 50 })
  expect(await errorOf(third)).toMatchObject({ code: 'POOL_TIMEOUT' })
  const fourth = factory.withSession((session) => session.scalar('select 4'))
  proxied.resume()
  expect(await first).toBe(1)
  expect(await fourth).toBe(4)
  expect(factory.bind.stats()).toMatchObject({ idle: 1, checking: 0, counters: { connected: 1 } })
})

test('an engine that is disposed of waits for a COMMIT whose connection was given back unused', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const held = proxy.holdAt({ from: 'client', when: 'before', message: isCommit })
  const { first, second } = behind(factory, () => factory.bind.begin(() => 'nothing'))
  const proxied = await held
  await second
  expect(factory.bind.stats()).toMatchObject({ idle: 0, checking: 1 })
  const disposed = factory.bind.dispose({ timeoutMillis: 60_000 })
  proxied.resume()
  expect(await first).toBe(1)
  expect(await disposed).toMatchObject({ forced: 0 })
  expect(await ids()).toEqual([1])
})

test('a connection lost after it was released unused during a COMMIT frees its slot', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const held = proxy.holdAt({ from: 'client', when: 'after', message: isCommit })
  const { first, second } = behind(factory, () => factory.bind.begin(() => 'nothing'))
  const told = errorOf(first)
  const proxied = await held
  await second
  const third = factory.withSession((session) => session.scalar('select 3'))
  await proxied.cut('reset')
  expect(await told).toBeInstanceOf(CommitOutcomeUnknownError)
  expect(await third).toBe(3)
  expect(factory.bind.stats()).toMatchObject({ borrowed: 0, checking: 0, size: 1 })
})

test('a third one that gives up waiting for the connection does not disturb a COMMIT that hangs', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const { withSession } = factory
  const held = proxy.holdAt({ from: 'client', when: 'before', message: isCommit })
  const { first, second } = behind(factory, () =>
    withSession((session) => session.scalar('select add_row(2)')),
  )
  const proxied = await held
  const third = errorOf(withSession((session) => session.execute('select 3'), { poolTimeoutMillis: 50 }))
  expect(await third).toMatchObject({ code: 'POOL_TIMEOUT' })
  proxied.resume()
  expect(await first).toBe(1)
  expect(await second).toBe(2)
  expect(await ids()).toEqual([1, 2])
})
