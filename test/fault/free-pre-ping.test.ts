/**
 * The free pre-ping: BEGIN goes to an idle connection together with the statements behind it, and its answer proves that
 * the connection lives. Before that answer the packet may be sent once more, after it never.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isRetryable } from '../../src/database-errors.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { AbortedError, CommitOutcomeUnknownError, ConnectionLostError } from '../../src/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import type { ProxiedConnection } from '../helpers/proxied-connection.js'
import { startProxy, type Place, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, terminate, useDatabase } from '../integration/session-support.js'

const fixture = useDatabase('create table marks (mark text)')
let proxy: Proxy

beforeEach(async () => {
  await fixture.db.query('truncate marks')
  proxy = await startProxy(fixture.db.url)
})
afterEach(() => {
  expect(proxy.connections.filter(commitsUnproven), 'connections on which COMMIT rode unproven').toEqual([])
  proxy.close()
})

const MARK = 'insert into marks values ($1)'

/** A factory with one connection that is idle, and suspect: every use of it has to prove it. */
async function idleConnection(
  options: EngineOptions = {},
): Promise<{ sessions: SessionFactory; pid: number }> {
  const sessions = fixture.factory({
    url: proxy.url,
    poolSize: 1,
    maxOverflow: 0,
    prePingSkipMillis: 0,
    keepAliveMillis: -1,
    // Each statement then shows its text on the wire.
    statementCacheSize: 0,
    ...options,
  })
  const pid =
    (await sessions.withSession((session) => session.scalar<number>('select pg_backend_pid()'))) ?? 0
  proxy.reset()
  return { sessions, pid }
}

/** True if COMMIT was sent behind a Flush whose answer had not come, in a transaction that may store something. */
function commitsUnproven({ messages }: ProxiedConnection): boolean {
  let unproven = false
  let readOnly = false
  for (const { from, name, text } of messages) {
    if (from === 'client' && name === 'Parse' && text?.startsWith('BEGIN') === true)
      readOnly = text.includes('READ ONLY')
    if (from === 'client' && name === 'Flush') unproven = true
    if (from === 'server') unproven = false
    if (unproven && !readOnly && name === 'Parse' && text === 'COMMIT') return true
  }
  return false
}

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks')
  return rows.map(({ mark }) => mark)
}

/** How often the text reached a server, on all connections. */
function timesSent(sql: string): number {
  return proxy.connections.flatMap(({ messages }) =>
    messages.filter(({ from, name, text }) => from === 'client' && name === 'Parse' && text === sql),
  ).length
}

/** What is done on the connection: the riding COMMIT is the one that must not ride. */
const WORK: readonly (readonly [string, (sessions: SessionFactory) => Promise<unknown>])[] = [
  [
    'a statement that COMMIT would ride with',
    (s) => s.withSession((session) => session.execute(MARK, ['a'])),
  ],
  [
    'a statement and commit() in one tick',
    async (sessions) => {
      await using session = sessions()
      const inserting = session.execute(MARK, ['a'])
      await Promise.all([session.commit(), inserting])
    },
  ],
  [
    'an awaited statement',
    (s) => s.withSession((session) => session.execute(MARK, ['a']).then((r) => r.rowCount)),
  ],
]

/** Ways in which an idle connection dies unnoticed: the first that is heard of it is the missing answer to BEGIN. */
const DEATHS: readonly (readonly [string, (pid: number) => Promise<unknown>])[] = [
  [
    'reset before BEGIN reaches the server',
    () => proxy.cutAt({ from: 'client', when: 'before', message: 1 }),
  ],
  ['reset after BEGIN reached the server', () => proxy.cutAt(after('client', 'Execute'))],
  ['reset before the answer to BEGIN', () => proxy.cutAt({ from: 'server', when: 'before', message: 1 })],
  [
    'reset in the middle of the answer to BEGIN',
    () => proxy.cutAt({ from: 'server', when: 'after', message: 1 }),
  ],
  [
    'closed before BEGIN reaches the server',
    () => proxy.cutAt({ from: 'client', when: 'before', message: 1, style: 'end' }),
  ],
  [
    'closed before the answer to BEGIN',
    () => proxy.cutAt({ from: 'server', when: 'before', message: 1, style: 'end' }),
  ],
  // The connection stays held, so that nothing ever comes: neither to the server nor from it.
  ['silent: BEGIN gets lost', () => proxy.holdAt({ from: 'client', when: 'before', message: 1 })],
  ['silent: the answer gets lost', () => proxy.holdAt({ from: 'server', when: 'before', message: 1 })],
  [
    'killed by the server while BEGIN was on its way',
    (pid) =>
      proxy.holdAt({ from: 'client', when: 'before', message: 1 }).then(async (held) => {
        await terminate(fixture.db, pid)
        held.resume()
      }),
  ],
]

function after(from: 'client' | 'server', name: string): Place {
  return { from, when: 'after', message: (message) => message.name === name }
}

describe.each(WORK)('%s', (_name, work) => {
  test.each(DEATHS)('on a connection that is %s is done once, on a fresh one', async (_death, kill) => {
    const { sessions, pid } = await idleConnection({ prePingTimeoutMillis: 200 })
    const dead = kill(pid)
    await work(sessions)
    await dead
    expect(await marks()).toEqual(['a'])
    expect(sessions.bind.stats()).toMatchObject({ size: 1, borrowed: 0 })
    const [old, fresh, ...more] = proxy.connections
    expect(more).toEqual([])
    expect(old?.messages.filter(({ text }) => text === 'COMMIT')).toEqual([])
    expect(fresh?.messages.filter(({ text }) => text === MARK)).toHaveLength(1)
  })

  test.each(['reset', 'end'] as const)(
    'on a connection whose death was noticed (%s) is sent once',
    async (style) => {
      const { sessions } = await idleConnection()
      await proxy.cut(style)
      await waitUntil(() => sessions.bind.stats().size === 0)
      await work(sessions)
      expect(await marks()).toEqual(['a'])
      expect(timesSent(MARK)).toBe(1)
    },
  )

  test('on a connection whose backend was killed while it was idle is sent once', async () => {
    const { sessions, pid } = await idleConnection()
    await terminate(fixture.db, pid)
    await waitUntil(() => sessions.bind.stats().size === 0)
    await work(sessions)
    expect(await marks()).toEqual(['a'])
    expect(timesSent(MARK)).toBe(1)
  })

  test('is not repeated once BEGIN was answered', async () => {
    const { sessions } = await idleConnection()
    const cut = proxy.cutAt({ from: 'server', when: 'after', message: ({ text }) => text === 'BEGIN' })
    const error = await errorOf(work(sessions))
    await cut
    expect(error).toBeInstanceOf(ConnectionLostError)
    expect(isRetryable(error)).toBe(true)
    expect(await marks()).toEqual([])
    expect(timesSent('BEGIN')).toBe(1)
    expect(timesSent('COMMIT')).toBe(0)
  })

  test('is not repeated once BEGIN was answered, when the backend is killed then', async () => {
    const { sessions, pid } = await idleConnection()
    const killed = proxy
      .holdAt({ from: 'server', when: 'after', message: ({ text }) => text === 'BEGIN' })
      .then(async (held) => {
        await terminate(fixture.db, pid)
        held.resume()
      })
    const error = await errorOf(work(sessions))
    await killed
    // The statement was answered with BEGIN: COMMIT may have been sent before the end was heard of.
    expect(error.constructor).toBeOneOf([ConnectionLostError, CommitOutcomeUnknownError])
    expect(await marks()).toEqual([])
    expect(timesSent('BEGIN')).toBe(1)
  })

  test('whose second connection dies, too, is given up: it may be run again by its caller', async () => {
    const { sessions } = await idleConnection()
    const begin = (): Place => ({
      from: 'client',
      when: 'before',
      message: ({ name, text }) => name === 'Parse' && text === 'BEGIN',
    })
    // The second rule has to be there before the second connection sends BEGIN.
    const dead = proxy.holdAt(begin()).then(async (first) => {
      const second = proxy.cutAt(begin())
      await first.cut('reset')
      await second
    })
    const error = await errorOf(work(sessions))
    await dead
    // A fresh connection is proven, so COMMIT may have ridden with it.
    expect(error.constructor).toBeOneOf([ConnectionLostError, CommitOutcomeUnknownError])
    expect(await marks()).toEqual([])
    expect(proxy.connections).toHaveLength(2)
  })
})

test('a slow statement is not mistaken for a dead connection: BEGIN is answered before it runs', async () => {
  const { sessions } = await idleConnection({ prePingTimeoutMillis: 1500 })
  const pid = await sessions.withSession(async (session) => {
    await session.execute('select pg_sleep(2)')
    return session.scalar<number>('select pg_backend_pid()')
  })
  expect(pid).toEqual(expect.any(Number))
  expect(timesSent('BEGIN')).toBe(1)
  expect(proxy.connections).toHaveLength(1)
})

test('settings of the transaction are made anew on the fresh connection', async () => {
  const { sessions } = await idleConnection()
  const cut = proxy.cutAt({ from: 'client', when: 'before', message: 1 })
  const read = 'select current_setting($1) as tenant, current_setting($2) as level'
  const result = await sessions.withSession(
    (session) => session.execute(read, ['app.tenant', 'transaction_isolation']),
    { settings: { 'app.tenant': '7' }, isolationLevel: 'REPEATABLE READ' },
  )
  await cut
  expect(result.one()).toEqual({ tenant: '7', level: 'repeatable read' })
})

test('everything that was asked in the same tick is repeated, in order', async () => {
  const { sessions } = await idleConnection()
  const cut = proxy.cutAt({ from: 'server', when: 'before', message: 1 })
  await sessions.withSession((session) =>
    Promise.all(['a', 'b', 'c'].map((mark) => session.execute(MARK, [mark]))),
  )
  await cut
  expect(await marks()).toEqual(['a', 'b', 'c'])
})

describe('a statement that was called off while nothing was heard of its connection', () => {
  test.each([
    ['by its own timeout', () => ({ timeoutMillis: 30 })],
    ['by its signal', () => ({ signal: AbortSignal.timeout(30) })],
  ])('is not repeated: %s', async (_name, options) => {
    const { sessions } = await idleConnection({ prePingTimeoutMillis: 200 })
    void proxy.holdAt({ from: 'client', when: 'before', message: 1 })
    await using session = sessions()
    await errorOf(session.execute(MARK, ['a'], options()))
    await errorOf(session.commit())
    await session.rollback()
    expect(await marks()).toEqual([])
    expect(timesSent(MARK)).toBe(0)
  })

  test('is not repeated, nor is anything else, when its session was aborted', async () => {
    const { sessions } = await idleConnection({ prePingTimeoutMillis: 200 })
    void proxy.holdAt({ from: 'client', when: 'before', message: 1 })
    const error = await errorOf(
      sessions.withSession((session) => session.execute(MARK, ['a']).then((result) => result.rowCount), {
        signal: AbortSignal.timeout(30),
      }),
    )
    expect(error).toBeInstanceOf(AbortedError)
    await waitUntil(() => sessions.bind.stats().borrowed === 0)
    expect(await marks()).toEqual([])
    expect(timesSent(MARK)).toBe(0)
  })
})

describe('a read-only transaction with COMMIT in its batch', () => {
  const read = (sessions: SessionFactory): Promise<unknown> =>
    sessions.withSession((session) => session.scalar('select 7'), { readOnly: true })

  test.each(DEATHS)('on a connection that is %s is done on a fresh one', async (_death, kill) => {
    const { sessions, pid } = await idleConnection({ prePingTimeoutMillis: 200 })
    const dead = kill(pid)
    expect(await read(sessions)).toBe(7)
    await dead
    expect(proxy.connections).toHaveLength(2)
  })

  test('is not repeated by itself once BEGIN was answered, but may be by its caller', async () => {
    const { sessions } = await idleConnection()
    const cut = proxy.cutAt({
      from: 'server',
      when: 'after',
      message: ({ text }) => text?.startsWith('BEGIN') === true,
    })
    const error = await errorOf(read(sessions))
    await cut
    expect(error).toBeInstanceOf(ConnectionLostError)
    expect(isRetryable(error)).toBe(true)
    expect(timesSent('select 7')).toBe(1)
  })
})

test('in autocommit mode the ping comes first, and the statement never reaches a silent connection', async () => {
  const { sessions } = await idleConnection({ prePingTimeoutMillis: 200 })
  void proxy.holdAt({ from: 'client', when: 'after', message: ({ name }) => name === 'Sync' })
  await sessions.withSession((session) => session.execute(MARK, ['a']), { autocommit: true })
  expect(await marks()).toEqual(['a'])
  expect(timesSent(MARK)).toBe(1)
})
