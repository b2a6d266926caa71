/** What the caller is told of something that may be stored: the truth if PostgreSQL answers, otherwise that it is unknown. */
import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { isRetryable } from '../../src/database-errors.js'
import { declarativeBase, text } from '../../src/index.js'
import type { Session } from '../../src/session/session.js'
import { createImpatientEngine } from '../helpers/impatient-engine.js'
import type { ProxiedConnection } from '../helpers/proxied-connection.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import type { WireMessage } from '../helpers/wire.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

beforeEach(() => fixture.db.query('truncate notes'))

class Note extends declarativeBase().entity('notes', { text: text().primaryKey() }) {}

const ONE = { poolSize: 1, maxOverflow: 0 } as const

async function stored(): Promise<number> {
  return (await fixture.db.query('select text from notes')).length
}

const insert = (session: Session): Promise<unknown> => session.execute("insert into notes values ('a')")
const COPY = 'copy notes from stdin'

interface Way {
  readonly autocommit: boolean
  /** The server's message that says that it is stored. */
  readonly tag: string
  run(session: Session): unknown
}

const WAYS: Readonly<Record<string, Way>> = {
  'autocommit, returned': { autocommit: true, tag: 'INSERT 0 1', run: insert },
  'autocommit, awaited': {
    autocommit: true,
    tag: 'INSERT 0 1',
    run: async (session) => void (await insert(session)),
  },
  'autocommit, a script': {
    autocommit: true,
    tag: 'INSERT 0 1',
    run: (session) => session.executeScript("insert into notes values ('a')"),
  },
  'autocommit, COPY in': {
    autocommit: true,
    tag: 'COPY 1',
    run: async (session) => pipeline(Readable.from(['a\n']), await session.copyFrom(COPY)),
  },
  'autocommit, COPY out of what writes': {
    autocommit: true,
    tag: 'COPY 1',
    run: async (session) => {
      const out = await session.copyTo("copy (insert into notes values ('a') returning text) to stdout")
      const chunks: unknown[] = []
      for await (const chunk of out) chunks.push(chunk)
      expect(String(chunks[0])).toBe('a\n')
    },
  },
  'autocommit, flush': {
    autocommit: true,
    tag: 'COMMIT',
    run: async (session) => {
      session.add(new Note({ text: 'a' }))
      await session.flush()
    },
  },
  'autocommit, begin(fn)': {
    autocommit: true,
    tag: 'COMMIT',
    run: (session) => session.begin(() => insert(session)),
  },
  'a block that returns its statement': { autocommit: false, tag: 'COMMIT', run: insert },
  'commit() inside a block': {
    autocommit: false,
    tag: 'COMMIT',
    run: async (session) => {
      await insert(session)
      await session.commit()
    },
  },
}

const NAMED = Object.entries(WAYS)

/** Holds the connection before the client hears that it is stored. */
function holdAnswer(proxy: Proxy, { tag }: Way): Promise<ProxiedConnection> {
  const message = ({ name, text: said }: WireMessage): boolean => name === 'CommandComplete' && said === tag
  return proxy.holdAt({ from: 'server', when: 'before', message })
}

function behindProxy(proxy: Proxy, way: Way, make?: typeof createImpatientEngine) {
  const sessions = fixture.factory({ url: proxy.url, ...ONE }, { autocommit: way.autocommit }, make)
  return { sessions, connected: () => sessions.withSession((session) => session.execute('select 1')) }
}

describe.each(NAMED)('%s', (_name, way) => {
  test('that is aborted while its answer is on its way is told what the answer says', async () => {
    using proxy = await startProxy(fixture.db.url)
    const { sessions, connected } = behindProxy(proxy, way)
    await connected()
    let committed = 0
    sessions.on('afterCommit', () => void committed++)
    const controller = new AbortController()
    const held = holdAnswer(proxy, way)
    const told = sessions
      .withSession((session) => way.run(session), { signal: controller.signal })
      .then(
        () => 'ok',
        (error: unknown) => (error as { code: string }).code,
      )
    const connection = await held
    controller.abort()
    connection.resume()
    // The rows of a COPY that was aborted are passed over, so that its caller cannot be told that all is well.
    expect(await told).toBe(_name.includes('COPY out') ? 'COMMIT_OUTCOME_UNKNOWN' : 'ok')
    expect(await stored()).toBe(1)
    if (way.tag === 'COMMIT') expect(committed).toBeGreaterThan(0)
  })

  test('that is aborted and not answered is unknown, with the abort as its cause', async () => {
    using proxy = await startProxy(fixture.db.url)
    const { sessions, connected } = behindProxy(proxy, way, createImpatientEngine)
    await connected()
    const controller = new AbortController()
    const held = holdAnswer(proxy, way)
    const told = errorOf(sessions.withSession((session) => way.run(session), { signal: controller.signal }))
    await held
    controller.abort(new Error('closed the tab'))
    const error = await told
    expect(error).toMatchObject({
      code: 'COMMIT_OUTCOME_UNKNOWN',
      cause: { code: 'ABORTED', cause: { message: 'closed the tab' } },
    })
    expect(isRetryable(error)).toBe(false)
    expect(await stored()).toBe(1)
  })

  test.each(['fatal', 'reset'] as const)(
    'whose answer is replaced by %s of a pooler is stored once',
    async (style) => {
      using proxy = await startProxy(fixture.db.url)
      const { sessions, connected } = behindProxy(proxy, way)
      await connected()
      const message = ({ name, text: said }: WireMessage): boolean =>
        name === 'CommandComplete' && said === way.tag
      const cut = proxy.cutAt({ from: 'server', when: 'before', message, style })
      let runs = 0
      const error = await errorOf(
        sessions.withSession(
          (session) => {
            runs++
            return way.run(session)
          },
          { retry: { attempts: 3, backoff: () => 0 } },
        ),
      )
      await cut
      expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
      expect(runs).toBe(1)
      expect(await stored()).toBe(1)
    },
  )

  test('whose engine is disposed meanwhile is unknown', async () => {
    using proxy = await startProxy(fixture.db.url)
    const { sessions, connected } = behindProxy(proxy, way)
    await connected()
    const held = holdAnswer(proxy, way)
    const told = errorOf(sessions.withSession((session) => way.run(session)))
    await held
    await sessions.bind.dispose({ timeoutMillis: 0 })
    expect(await told).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN', cause: { code: 'ENGINE_DISPOSED' } })
    expect(await stored()).toBe(1)
  })
})

test('a statement of autocommit whose time is over, and that is not answered, is unknown', async () => {
  using proxy = await startProxy(fixture.db.url)
  const way = WAYS['autocommit, awaited'] as Way
  const { sessions, connected } = behindProxy(proxy, way, createImpatientEngine)
  await connected()
  const held = holdAnswer(proxy, way)
  const told = errorOf(
    sessions.withSession((session) =>
      session.execute("insert into notes values ('a')", { timeoutMillis: 1_500 }),
    ),
  )
  await held
  expect(await told).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN', cause: { sqlState: '57014' } })
  expect(await stored()).toBe(1)
})

test('rows that cannot be converted do not hide that a statement of autocommit is stored', async () => {
  const types = {
    getTypeParser: () => () => {
      throw new Error('no parser')
    },
  }
  const { withSession } = fixture.factory({ types }, { autocommit: true })
  const error = await errorOf(
    withSession((session) => session.execute("insert into notes values ('a') returning text")),
  )
  expect(error).toMatchObject({ code: 'RESULT_UNREADABLE' })
  expect(await stored()).toBe(1)
})

test('a script that commits its transaction is unknown if its connection breaks after that', async () => {
  using proxy = await startProxy(fixture.db.url)
  const { withSession } = fixture.factory({ url: proxy.url, ...ONE })
  await withSession((session) => session.execute('select 1'))
  const message = ({ text: said }: WireMessage): boolean => said === 'COMMIT'
  const cut = proxy.cutAt({ from: 'server', when: 'before', message })
  const error = await errorOf(
    withSession((session) => session.executeScript("insert into notes values ('a'); commit")),
  )
  await cut
  expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
  expect(await stored()).toBe(1)
})

test.each([true, false])(
  'COPY in (autocommit: %s) whose data had not ended is lost, and run again',
  async (autocommit) => {
    using proxy = await startProxy(fixture.db.url)
    const { withSession } = fixture.factory({ url: proxy.url, ...ONE }, { autocommit })
    let runs = 0
    await withSession(
      async (session) => {
        const copy = await session.copyFrom(COPY)
        if (++runs === 1) {
          copy.write('a\n')
          await proxy.cut()
        }
        await pipeline(Readable.from(['a\n']), copy)
      },
      { retry: { attempts: 2, backoff: () => 0 } },
    )
    expect(runs).toBe(2)
    expect(await stored()).toBe(1)
  },
)

test.each([true, false])(
  'what Node says of a COPY stream that its lost connection has destroyed hides nothing (autocommit: %s)',
  async (autocommit) => {
    using proxy = await startProxy(fixture.db.url)
    const { withSession } = fixture.factory({ url: proxy.url, ...ONE }, { autocommit })
    let runs = 0
    await withSession(
      async (session) => {
        const copy = await session.copyFrom(COPY)
        if (++runs === 1) {
          await proxy.cut()
          await waitUntil(() => copy.closed)
        }
        // The first time: ERR_STREAM_DESTROYED.
        await new Promise<void>((resolve, reject) => {
          copy.write('a\n', (error) => (error instanceof Error ? reject(error) : resolve()))
        })
        copy.end()
        await finished(copy)
      },
      { retry: { attempts: 2, backoff: () => 0 } },
    )
    expect(runs).toBe(2)
    expect(await stored()).toBe(1)
  },
)

test('COPY out whose connection breaks has an error of Lifeguard, and is run again', async () => {
  using proxy = await startProxy(fixture.db.url)
  const { withSession } = fixture.factory({ url: proxy.url, ...ONE })
  let runs = 0
  const rows = await withSession(
    async (session) => {
      const out = await session.copyTo(
        "copy (select repeat('x', 1000) from generate_series(1, 5000)) to stdout",
      )
      // The server does not notice while the stream is not read.
      if (++runs === 1) void proxy.cut()
      let bytes = 0
      for await (const chunk of out) bytes += (chunk as Buffer).length
      return bytes
    },
    { retry: { attempts: 2, backoff: () => 0 } },
  )
  expect(runs).toBe(2)
  expect(rows).toBe(5_000 * 1_001)
})

describe('a block that throws while its statement runs', () => {
  const SLEEP = 'select pg_sleep(60)'
  const race = (session: Session): Promise<unknown> =>
    Promise.race([session.execute(SLEEP), started().then(() => Promise.reject(new Error('my timeout')))])

  /** The statement runs on the server. */
  async function started(): Promise<void> {
    await waitUntil(async () => (await running()) > 0)
  }

  async function running(): Promise<number> {
    const rows = await fixture.db.query(
      "select pid from pg_stat_activity where state = 'active' and query = $1 and datname = current_database()",
      [SLEEP],
    )
    return rows.length
  }

  test.each([false, true])('cancels it and ends at once (autocommit: %s)', async (autocommit) => {
    const { withSession, bind } = fixture.factory(ONE, { autocommit })
    const error = await errorOf(withSession(race))
    expect(error.message).toBe('my timeout')
    expect(await running()).toBe(0)
    expect(await withSession((session) => session.scalar('select 1'))).toBe(1)
    expect(bind.stats().counters.connected).toBe(1)
  })

  test('so does a block of the engine, of a connection and of begin()', async () => {
    const { withSession, bind } = fixture.factory(ONE)
    expect((await errorOf(bind.begin((connection) => race(connection as never)))).message).toBe('my timeout')
    await using connection = await bind.connect({ autocommit: true })
    expect((await errorOf(connection.begin(() => race(connection as never)))).message).toBe('my timeout')
    await connection.close()
    const begun = withSession((session) => session.begin(() => race(session)), { autocommit: true })
    expect((await errorOf(begun)).message).toBe('my timeout')
    expect(await running()).toBe(0)
    expect(bind.stats().counters.connected).toBe(1)
  })

  test('undoes a nested block only', async () => {
    const { withSession } = fixture.factory(ONE)
    await withSession(async (session) => {
      await insert(session)
      expect((await errorOf(session.beginNested(() => race(session)))).message).toBe('my timeout')
      await session.execute("insert into notes values ('b')")
    })
    expect(await stored()).toBe(2)
  })

  test('leaves statements alone that were sent with it from outside of the nested block', async () => {
    const { withSession } = fixture.factory(ONE)
    const value = await withSession(async (session) => {
      const outside = session.scalar('select 7 from pg_sleep(0.2)')
      const nested = session.beginNested(async () => {
        void session.execute('select 8').catch(() => undefined)
        await Promise.resolve()
        throw new Error('undo')
      })
      expect((await errorOf(nested)).message).toBe('undo')
      return await outside
    })
    expect(value).toBe(7)
  })

  test('does not run what was still waiting', async () => {
    const { withSession } = fixture.factory(ONE, { autocommit: true })
    const error = await errorOf(
      withSession(async (session) => {
        void session.execute(SLEEP).catch(() => undefined)
        await started()
        const behind = insert(session)
        behind.catch(() => undefined)
        throw new Error('mine')
      }),
    )
    expect(error.message).toBe('mine')
    expect(await stored()).toBe(0)
  })

  test('its later failure is no unhandled rejection', async () => {
    const { withSession } = fixture.factory(ONE, { autocommit: true })
    const unhandled: unknown[] = []
    const listen = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', listen)
    await errorOf(
      withSession(async (session) => {
        void session.execute(SLEEP)
        await started()
        throw new Error('mine')
      }),
    )
    await new Promise(setImmediate)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })
})
