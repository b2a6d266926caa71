/** PostgreSQL has answered, and its ReadyForQuery does not come: whatever waits for that can be ended, and is told what is true. */
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Session } from '../../src/session/session.js'
import { createImpatientEngine } from '../helpers/impatient-engine.js'
import { startProxy, type Place, type Proxy } from '../helpers/proxy.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

beforeEach(() => fixture.db.query('truncate notes'))

const INSERT = "insert into notes values ('a')"
const ONE = { poolSize: 1, maxOverflow: 0 } as const

interface Way {
  readonly autocommit?: boolean
  /** What PostgreSQL says last before it is ready. */
  readonly tag: string
  run(session: Session): unknown
  /** What is told when the wait is ended. */
  readonly told: Readonly<Record<'aborted' | 'cut', string>>
  readonly stored: boolean
}

/** Nothing that comes later can undo it. */
const COMMITTED = { told: { aborted: 'ok', cut: 'ok' }, stored: true } as const
/** COMMIT was not sent. */
const OPEN = { told: { aborted: 'ABORTED', cut: 'CONNECTION_LOST' }, stored: false } as const
/** Its commit follows its answer. */
const UNKNOWN = {
  told: { aborted: 'COMMIT_OUTCOME_UNKNOWN', cut: 'COMMIT_OUTCOME_UNKNOWN' },
  stored: true,
} as const

const WAYS: Readonly<Record<string, Way>> = {
  'COMMIT that rides with its statement': {
    tag: 'COMMIT',
    run: (session) => session.execute(INSERT),
    ...COMMITTED,
  },
  'COMMIT of a block': {
    tag: 'COMMIT',
    run: async (session) => void (await session.execute(INSERT)),
    ...COMMITTED,
  },
  'commit() inside a block': {
    tag: 'COMMIT',
    run: async (session) => {
      await session.execute(INSERT)
      await session.commit()
    },
    ...COMMITTED,
  },
  'a statement': {
    tag: 'INSERT 0 1',
    run: async (session) => void (await session.execute(INSERT)),
    ...OPEN,
  },
  'a page of a cursor': {
    tag: 'SELECT 3',
    run: async (session) => {
      await session.execute(INSERT)
      for await (const row of session.stream('select generate_series(1, 3)', { batchSize: 9 })) void row
    },
    ...OPEN,
  },
  'a script': {
    tag: 'INSERT 0 1',
    run: (session) => session.executeScript(INSERT),
    ...OPEN,
  },
  'COPY in': {
    tag: 'COPY 1',
    run: async (session) => pipeline(Readable.from(['a\n']), await session.copyFrom('copy notes from stdin')),
    ...OPEN,
  },
  'COPY out': {
    tag: 'COPY 3',
    run: async (session) => {
      await session.execute(INSERT)
      await text(await session.copyTo('copy (select generate_series(1, 3)) to stdout'))
    },
    ...OPEN,
  },
  'a statement that stands alone': {
    autocommit: true,
    tag: 'INSERT 0 1',
    run: async (session) => void (await session.execute(INSERT)),
    ...UNKNOWN,
  },
  'a script that stands alone': {
    autocommit: true,
    tag: 'INSERT 0 1',
    run: (session) => session.executeScript(INSERT),
    ...UNKNOWN,
  },
}

function started(proxy: Proxy, { autocommit = false, run }: Way, signal?: AbortSignal) {
  const sessions = fixture.factory({ url: proxy.url, ...ONE }, { autocommit }, createImpatientEngine)
  const told = sessions
    .withSession((session) => run(session), { signal })
    .then(
      () => 'ok',
      (error: unknown) => (error as { code: string }).code,
    )
  return { sessions, told }
}

/** PostgreSQL has said that it is done, and nothing more. */
function answered({ tag }: Way): Place {
  return {
    from: 'server',
    when: 'after',
    message: ({ name, text: said }) => name === 'CommandComplete' && said === tag,
  }
}

async function stored(): Promise<boolean> {
  return (await fixture.db.query('select text from notes')).length > 0
}

describe.each(Object.entries(WAYS))('%s', (_name, way) => {
  test('ends after an abort', async () => {
    using proxy = await startProxy(fixture.db.url)
    const controller = new AbortController()
    const held = proxy.holdAt(answered(way))
    const { told } = started(proxy, way, controller.signal)
    const connection = await held
    // So that the answer has been read; an abort before that ends the wait as well.
    for (let turns = 0; turns < 200; turns++) await turn()
    controller.abort()
    expect(await told).toBe(way.told.aborted)
    // The backend ends with its socket.
    connection.resume()
    await connection.closed
    expect(await stored()).toBe(way.stored)
  })

  test('ends when the connection is lost', async () => {
    using proxy = await startProxy(fixture.db.url)
    // What was said arrives before the end.
    const cut = proxy.cutAt({ ...answered(way), style: 'end' })
    const { told } = started(proxy, way)
    await cut
    expect(await told).toBe(way.told.cut)
    expect(await stored()).toBe(way.stored)
  })

  test('ends when the engine is disposed', async () => {
    using proxy = await startProxy(fixture.db.url)
    const held = proxy.holdAt(answered(way))
    const { sessions, told } = started(proxy, way)
    const connection = await held
    await sessions.bind.dispose({ timeoutMillis: 0 })
    // What was said may not have been read.
    if (way.told.cut === 'ok') expect(await told).toMatch(/^(ok|COMMIT_OUTCOME_UNKNOWN)$/)
    else expect(await told).toBe(way.stored ? way.told.cut : 'ENGINE_DISPOSED')
    connection.resume()
    await connection.closed
    expect(await stored()).toBe(way.stored)
  })
})

test('a statement with a signal of its own ends after its abort, and has its answer', async () => {
  using proxy = await startProxy(fixture.db.url)
  const controller = new AbortController()
  const way: Way = {
    tag: 'SELECT 1',
    run: async (session) => {
      const result = await session.execute('select 7 as n', { signal: controller.signal })
      expect(result.all()).toEqual([{ n: 7 }])
      await session.execute(INSERT)
    },
    ...OPEN,
  }
  const held = proxy.holdAt(answered(way))
  const { told } = started(proxy, way)
  await held
  controller.abort()
  expect(await told).toBe('CONNECTION_LOST')
})
