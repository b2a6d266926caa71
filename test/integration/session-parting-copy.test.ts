/** What takes the whole connection, or opens a cursor, as the first call behind the COMMIT of another session. */
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { AbortedError, CommitOutcomeUnknownError, ConnectionLostError } from '../../src/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { sampled } from '../helpers/length.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { isCommit, ONE, useRows } from './session-parting-support.js'
import { errorOf, gate } from './session-support.js'

const { fixture, fresh, ids } = useRows(
  'create table once (id int unique deferrable initially deferred)',
  `create function add_twice() returns int language sql as
     'insert into rows values (1); insert into once values (1), (1); select 1'`,
)

/** One that calls the function and commits as soon as another one, who comes then, waits for the connection. */
function behind<Value>(
  { withSession, bind }: SessionFactory,
  other: () => Promise<Value>,
  call = 'select add_row(1)',
) {
  const called = gate()
  const first = withSession(async (session) => {
    const value = await session.scalar<number>(call)
    called.open()
    await waitUntil(() => bind.stats().waiting === 1)
    return value
  })
  return { first, second: called.opened.then(other) }
}

interface Other {
  readonly name: string
  readonly autocommit: boolean
  /** The rows that it stores. */
  readonly stores: readonly number[]
  /** Gives the rows that it has seen, if it reads. */
  readonly run: (session: Session) => Promise<number[] | undefined>
}

const copyIn = async (session: Session): Promise<undefined> => {
  await pipeline(Readable.from(['2\n', '3\n']), await session.copyFrom('copy rows from stdin'))
}

const copyOut = async (session: Session): Promise<number[]> => {
  const lines = await text(await session.copyTo('copy (select id from rows order by id) to stdout'))
  return lines.split('\n').filter(Boolean).map(Number)
}

const script = async (session: Session): Promise<undefined> => {
  await session.executeScript('insert into rows values (2); insert into rows values (3)')
}

const cursor = async (session: Session): Promise<number[]> => {
  const seen: number[] = []
  for await (const { id } of session.stream<{ id: number }>('select id from rows', [], { batchSize: 1 }))
    seen.push(id)
  return seen
}

const COPIES: readonly Other[] = [false, true].flatMap((autocommit) => [
  { name: 'COPY in', autocommit, stores: [2, 3], run: copyIn },
  { name: 'COPY out', autocommit, stores: [], run: copyOut },
])

const OTHERS: readonly Other[] = [
  ...COPIES,
  { name: 'a script', autocommit: false, stores: [2, 3], run: script },
  { name: 'a script', autocommit: true, stores: [2, 3], run: script },
  { name: 'a cursor', autocommit: false, stores: [], run: cursor },
]

test.each(OTHERS)(
  '$name (autocommit: $autocommit) begins when the COMMIT is done, and each gets its own answer',
  async ({ autocommit, stores, run }) => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({ url: proxy.url, ...ONE })
    const { first, second } = behind(factory, () => factory.withSession(run, { autocommit }))
    expect(await first).toBe(1)
    expect(await second).toEqual(stores.length > 0 ? undefined : [1])
    expect(await ids()).toEqual([1, ...stores])
    expect(proxy.connections.flatMap(({ messages }) => messages).filter(isCommit)).toHaveLength(1)
    expect(factory.bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
  },
)

test.each(OTHERS)(
  '$name (autocommit: $autocommit) hears nothing of a COMMIT that is refused',
  async ({ autocommit, stores, run }) => {
    const factory = await fresh(ONE)
    const { first, second } = behind(
      factory,
      () => factory.withSession(run, { autocommit }),
      'select add_twice()',
    )
    const told = errorOf(first)
    expect(await second).toEqual(stores.length > 0 ? undefined : [])
    expect(await told).toMatchObject({ sqlState: '23505' })
    expect(await ids()).toEqual(stores)
    expect(factory.bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
  },
)

const SIDES = ['client', 'server'] as const

const DEATHS = COPIES.flatMap((other) => SIDES.map((from) => ({ ...other, from })))

test.each(sampled(DEATHS, 0))(
  'both tell the truth wherever the connection dies: $name (autocommit: $autocommit), behind a message of the $from',
  async ({ autocommit, stores, run, from }) => {
    const outcomes = new Set<string>()
    for (let nth = 1, fired = true; fired; nth++) {
      using proxy = await startProxy(fixture.db.url)
      const factory = await fresh({ url: proxy.url, ...ONE })
      let seen = 0
      fired = false
      const cut = proxy.cutAt({ from, when: 'after', message: () => (fired = ++seen === nth) })
      let read: number[] | undefined
      const outcome = (promise: Promise<unknown>): Promise<string> =>
        promise.then(
          () => 'done',
          (error: unknown) => (error as { code: string }).code,
        )
      const { withSession, bind } = factory
      const second = async (): Promise<string> =>
        outcome(withSession(run, { autocommit }).then((rows) => (read = rows)))
      const called = behind(factory, second)
      // The second does not come at all if the first has died before.
      const one = await outcome(called.first)
      const other = one === 'CONNECTION_LOST' ? one : await called.second
      await bind.dispose()
      if (fired) await cut
      const rows = await ids()
      if (one === 'done') expect(rows).toContain(1)
      else if (one !== 'COMMIT_OUTCOME_UNKNOWN') expect(rows).not.toContain(1)
      const own = rows.filter((id) => id !== 1)
      if (other === 'done') expect(own).toEqual(stores)
      else if (other !== 'COMMIT_OUTCOME_UNKNOWN') expect(own).toEqual([])
      // All or nothing, whatever was told.
      expect([[], stores]).toContainEqual(own)
      if (other === 'done' && stores.length === 0) expect(read).toEqual(rows)
      outcomes.add(`${one} ${other}`)
    }
    expect(outcomes).toContain('done done')
    // What begins with BEGIN is not lost with the COMMIT ahead; what stands alone was not sent before that was answered.
    expect(outcomes).toContain(`COMMIT_OUTCOME_UNKNOWN ${autocommit ? 'CONNECTION_LOST' : 'done'}`)
  },
)

test.each(sampled(OTHERS, 0))(
  '$name (autocommit: $autocommit) ends its wait for a COMMIT that is never answered',
  async ({ autocommit, stores, run }) => {
    using proxy = await startProxy(fixture.db.url)
    const options = { prePingTimeoutMillis: 300, poolTimeoutMillis: 1_500 }
    const factory = await fresh({ url: proxy.url, ...ONE, ...options })
    const held = proxy.holdAt({ from: 'client', when: 'before', message: isCommit })
    const { first, second } = behind(factory, () => factory.withSession(run, { autocommit }))
    const told = errorOf(first)
    const alone = autocommit ? errorOf(second) : undefined
    await held
    expect(await told).toBeInstanceOf(CommitOutcomeUnknownError)
    // What stands alone was not sent; what begins with BEGIN goes elsewhere.
    if (alone !== undefined) expect(await alone).toBeInstanceOf(ConnectionLostError)
    else expect(await second).toEqual(stores.length > 0 ? undefined : [])
    expect(await ids()).toEqual(autocommit ? [] : stores)
    expect(factory.bind.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
  },
)

test('an autocommit COPY out after an un-awaited COMMIT gets its own rows', async () => {
  const { withSession, bind } = await fresh(ONE)
  await fixture.db.query('insert into rows values (1)')
  const read = () => withSession(async (session) => session.scalar('select 1'), { readOnly: true })
  await read()
  // In the same turn of the event loop, and when COMMIT was sent, but not answered.
  for (const pause of [() => undefined, setImmediate]) {
    await read()
    await pause()
    expect(await withSession(copyOut, { autocommit: true })).toEqual([1])
  }
  expect(bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
})

test.each([
  { name: 'COPY in', run: copyIn },
  { name: 'COPY out', run: copyOut },
])('$name that is aborted while the COMMIT ahead hangs never begins', async ({ run }) => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url, ...ONE })
  const controller = new AbortController()
  const { signal } = controller
  const held = proxy.holdAt({ from: 'client', when: 'before', message: isCommit })
  const { first, second } = behind(factory, () => factory.withSession(run, { autocommit: true, signal }))
  const told = errorOf(second)
  const proxied = await held
  controller.abort()
  proxied.resume()
  expect(await first).toBe(1)
  expect(await told).toBeInstanceOf(AbortedError)
  expect(proxied.messages.some(({ text: sql }) => sql.startsWith('copy'))).toBe(false)
  expect(await ids()).toEqual([1])
  expect(await factory.withSession((session) => session.scalar('select 2'))).toBe(2)
  expect(factory.bind.stats()).toMatchObject({ borrowed: 0, counters: { connected: 1 } })
})
