/** The channel `lifeguard:statement` tells of everything that runs, once: statements, streams, COPY, scripts, LISTEN, flushes. */
import { tracingChannel } from 'node:diagnostics_channel'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { createSessionFactory, declarativeBase, select, serial, text } from '../../src/index.js'
import { poolFrom } from '../../src/integrations/pg-pool.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', { id: serial().primaryKey(), title: text().notNull() }) {}
const fixture = useDatabase(
  'create table songs (id serial primary key, title text not null)',
  'create table parts (song integer references songs (id) deferrable initially deferred)',
)

type Message = Record<string, unknown>

/** Messages of a channel while work runs, in the order of their ends; each start must have one end. */
async function messagesOf(name: string, work: () => Promise<unknown>): Promise<Message[]> {
  const channel = tracingChannel<unknown, Message>(name)
  const ended: Message[] = []
  let open = 0
  const none = (): void => undefined
  const subscriber = {
    start: () => void open++,
    end: none,
    error: none,
    asyncStart: none,
    asyncEnd: (message: Message) => {
      open--
      ended.push({ ...message })
    },
  }
  channel.subscribe(subscriber)
  try {
    await work()
    await waitUntil(() => open === 0)
  } finally {
    channel.unsubscribe(subscriber)
  }
  return ended
}

const statements = (work: () => Promise<unknown>): Promise<Message[]> =>
  messagesOf('lifeguard:statement', work)

test('a statement has its pool, connection, command and rows; a refused one its SQLSTATE', async () => {
  const { withSession } = fixture.factory({ name: 'main' })
  const messages = await statements(async () => {
    await withSession((session) => session.execute('select generate_series(1, 3)'))
    await errorOf(withSession((session) => session.execute('select 1 / 0')))
  })
  expect(messages).toMatchObject([
    { pool: 'main', kind: 'statement', command: 'SELECT', rowCount: 3 },
    { pool: 'main', kind: 'statement', text: 'select 1 / 0', sqlState: '22012' },
  ])
  expect(messages[1]).not.toHaveProperty('rowCount')
})

test('a stream is one message, from its first page to its end', async () => {
  const { withSession } = fixture.factory({ name: 'main' })
  const read = (count: number): Promise<Message[]> =>
    statements(() =>
      withSession(async (session) => {
        let seen = 0
        for await (const row of session.stream('select generate_series(1, 5) as n', { batchSize: 2 })) {
          if (row.n === undefined || ++seen === count) break
        }
      }),
    )
  expect(await read(9)).toMatchObject([{ kind: 'stream', command: 'SELECT', rowCount: 5 }])
  expect(await read(1)).toMatchObject([{ kind: 'stream', rowCount: 2 }])
  const failing = statements(() =>
    errorOf(withSession((session) => session.stream('select 1 / 0')[Symbol.asyncIterator]().next())),
  )
  expect(await failing).toMatchObject([{ kind: 'stream', sqlState: '22012' }])
})

test('COPY, a script, createAll and LISTEN are told', async () => {
  const engine = fixture.engine({ name: 'main' })
  const { withSession } = createSessionFactory({ bind: engine })
  const messages = await statements(async () => {
    await withSession(async (session) => {
      await pipeline(Readable.from(['x\n']), await session.copyFrom('copy songs (title) from stdin'))
      await session.executeScript('select 1; select 2')
    })
    await engine.begin((connection) => Base.metadata.createAll(connection))
    const listening = new AbortController()
    const onConnect = (): void => listening.abort()
    await engine.listen('news', { signal: listening.signal, onConnect }).next()
  })
  expect(messages.map(({ kind }) => kind)).toEqual(['copy', 'script', 'script', 'listen'])
  expect(messages.every(({ pool }) => pool === 'main')).toBe(true)
})

test('a flush tells its statements, and itself with its pool', async () => {
  const { withSession } = fixture.factory({ name: 'main' })
  const store = (): Promise<void> => withSession((session) => session.add(new Song({ title: 'Blue' })))
  expect(await statements(store)).toMatchObject([{ command: 'SELECT', pool: 'main' }])
  expect(await messagesOf('lifeguard:flush', store)).toMatchObject([{ pool: 'main', inserted: 1 }])
  const transactions = await messagesOf('lifeguard:transaction', store)
  expect(transactions).toMatchObject([{ pool: 'main', outcome: 'committed' }])
})

test('two engines of one name are told apart by their number', async () => {
  const [one, two] = [fixture.factory({ name: 'main' }), fixture.factory({ name: 'main' })]
  const work = async (): Promise<void> => {
    for (const { withSession } of [one, two, one]) await withSession((session) => session.execute('select 1'))
  }
  for (const channel of ['statement', 'transaction', 'acquire']) {
    const ids = (await messagesOf(`lifeguard:${channel}`, work)).map(({ engineId }) => engineId)
    expect(ids).toEqual([expect.any(Number), expect.any(Number), ids[0]])
    expect(ids[1]).not.toBe(ids[0])
  }
})

test('a statement has its transaction, also the one that begins it; none in autocommit mode', async () => {
  const { withSession } = fixture.factory({ name: 'main' })
  const transactions = new Set<unknown>()
  const work = async (): Promise<void> => {
    await withSession(async (session) => {
      session.add(new Song({ title: 'Blue' }))
      await session.execute('select 1')
      await session.commit()
      await session.execute('select 2')
    })
    await withSession((session) => session.execute('select 3'), { autocommit: true })
  }
  const begun = messagesOf('lifeguard:transaction', async () => {
    for (const { text, transaction } of await statements(work)) {
      transactions.add(transaction)
      expect(transaction === undefined).toBe(text === 'select 3')
    }
  })
  expect(await begun).toMatchObject([{ outcome: 'committed' }, { outcome: 'committed' }])
  expect([...transactions]).toMatchObject([{ outcome: 'committed' }, { outcome: 'committed' }, undefined])
})

test('a statement of entities tells its table, and what it does', async () => {
  const { withSession } = fixture.factory({ name: 'main' })
  const messages = await statements(() =>
    withSession(async (session) => {
      session.add(new Song({ title: 'Blue' }))
      await session.execute(select(Song))
    }),
  )
  expect(messages.map(({ operation, collection }) => [operation, collection])).toEqual([
    ['INSERT', 'songs'],
    [undefined, 'songs'],
  ])
})

test.each([1, 2])(
  'the transaction has the SQLSTATE of a COMMIT that is refused; %i callers',
  async (callers) => {
    const { withSession } = fixture.factory({ name: 'main', poolSize: 1, maxOverflow: 0 })
    const work = async (): Promise<void> => {
      const refused = Array.from({ length: callers }, () =>
        errorOf(withSession((session) => session.execute('insert into parts values (-1)'))),
      )
      await Promise.all(refused)
    }
    const refused = { outcome: 'rolled back', sqlState: '23503' }
    expect(await messagesOf('lifeguard:transaction', work)).toMatchObject(
      Array.from({ length: callers }, () => refused),
    )
    const failing = (): Promise<unknown> => errorOf(withSession((session) => session.execute('select 1 / 0')))
    const [message] = await messagesOf('lifeguard:transaction', failing)
    expect(message).toMatchObject({ outcome: 'rolled back' })
    expect(message).not.toHaveProperty('sqlState')
  },
)

test('queries of a pg.Pool on an engine are told like others', async () => {
  const pool = poolFrom(fixture.engine({ name: 'main' }))
  const messages = await statements(async () => {
    await pool.query('select generate_series(1, 3)')
    await errorOf(pool.query('select 1 / 0'))
  })
  expect(messages).toMatchObject([
    { pool: 'main', kind: 'statement', command: 'SELECT', rowCount: 3 },
    { pool: 'main', kind: 'statement', text: 'select 1 / 0', sqlState: '22012' },
  ])
})

test('an acquire tells whether the caller waited', async () => {
  const engine = fixture.engine({ name: 'main', poolSize: 1, maxOverflow: 0 })
  const use = async (): Promise<void> => (await engine.connect()).close()
  expect(await messagesOf('lifeguard:acquire', use)).toMatchObject([{ waited: true }])
  expect(await messagesOf('lifeguard:acquire', use)).toMatchObject([{ waited: false }])
})
