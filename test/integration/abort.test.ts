import { describe, expect, test } from 'vitest'
import { QueryCanceledError, StatementTimeoutError, isTimeout } from '../../src/database-errors.js'
import { AbortedError, TransactionAbortedError } from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import type { Session } from '../../src/session/session.js'
import { createImpatientEngine } from '../helpers/impatient-engine.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf, errorOf, gate, useDatabase, waitForBackend } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const SLEEP = 'select pg_sleep(60)'

let applications = 0

/** A pool of one connection whose backend can be found. */
function lonely(...[options, defaults, make]: Parameters<typeof fixture.factory>) {
  const name = `abort-${++applications}`
  const serverSettings = { application_name: name }
  const sessions = fixture.factory(
    { poolSize: 1, maxOverflow: 0, connectArgs: { serverSettings }, ...options },
    defaults,
    make,
  )
  return {
    sessions,
    /** Waits until the backend runs the statement. */
    running: (statement = SLEEP) =>
      waitForBackend(fixture.db, name, ({ state, query }) => state === 'active' && query === statement),
    backends: () => backendsOf(fixture.db, name),
  }
}

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

describe('the signal of a statement', () => {
  test('cancels it on the server; the transaction has failed, the connection is used again', async () => {
    const { sessions, running, backends } = lonely()
    const controller = new AbortController()
    await using session = sessions()
    const sleeping = session.execute(SLEEP, { signal: controller.signal })
    const { pid } = await running()
    controller.abort(new Error('closed the tab'))
    const failure = await errorOf(sleeping)
    expect(failure).toBeInstanceOf(AbortedError)
    expect(failure.name).toBe('AbortError')
    expect(failure.cause).toMatchObject({ message: 'closed the tab' })
    expect((await backends()).filter(({ query, state }) => query === SLEEP && state === 'active')).toEqual([])
    expect(await errorOf(session.execute('select 1'))).toBeInstanceOf(TransactionAbortedError)
    await session.rollback()
    expect(await session.scalar('select pg_backend_pid()')).toBe(pid)
  })

  test('that has fired before does not send anything', async () => {
    const { sessions } = lonely()
    await using session = sessions()
    const failure = await errorOf(session.execute('select 1', { signal: AbortSignal.abort() }))
    expect(failure).toBeInstanceOf(AbortedError)
    expect(sessions.bind.stats().size).toBe(0)
    expect(session.inTransaction).toBe(false)
    expect(await session.scalar('select 1')).toBe(1)
  })

  test('that fires in the same tick takes the statement back; its neighbours are run', async () => {
    await fixture.db.query('truncate notes')
    const { sessions } = lonely()
    await using session = sessions()
    const controller = new AbortController()
    const outcomes = Promise.allSettled([
      add(session, 'one'),
      session.execute("insert into notes values ('two')", { signal: controller.signal }),
      add(session, 'three'),
    ])
    controller.abort()
    expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    await session.commit()
    expect(await stored()).toEqual(['one', 'three'])
  })

  test('takes it out of the middle of the queue', async () => {
    await fixture.db.query('truncate notes')
    const { sessions, running } = lonely()
    await using session = sessions()
    const controller = new AbortController()
    const first = session.execute('select pg_sleep(0.2)')
    await running('select pg_sleep(0.2)')
    const [second, third, fourth] = [
      add(session, 'second'),
      session.execute("insert into notes values ('third')", { signal: controller.signal }),
      add(session, 'fourth'),
    ]
    controller.abort()
    expect(await errorOf(third)).toBeInstanceOf(AbortedError)
    await Promise.all([first, second, fourth])
    await session.commit()
    expect(await stored()).toEqual(['fourth', 'second'])
  })

  test('does not hit the statement that runs before it', async () => {
    const { sessions, running } = lonely()
    await using session = sessions()
    const controller = new AbortController()
    const text = 'select 7, pg_sleep(0.2)'
    const before = session.scalar<number>(text)
    const aborted = session.execute('select 1', { signal: controller.signal })
    await running(text)
    controller.abort()
    expect(await errorOf(aborted)).toBeInstanceOf(AbortedError)
    expect(await before).toBe(7)
  })

  test('does not hit the statement that comes after it', async () => {
    const { sessions, running } = lonely({}, { autocommit: true })
    await using session = sessions()
    for (let round = 0; round < 20; round++) {
      const controller = new AbortController()
      const sleeping = session.execute(SLEEP, { signal: controller.signal })
      const after = session.scalar<number>('select $1::int from pg_sleep(0.005)', [round])
      await running()
      controller.abort()
      expect(await errorOf(sleeping)).toBeInstanceOf(AbortedError)
      expect(await after).toBe(round)
    }
  })

  test('that fires when the answer is there changes nothing', async () => {
    const { sessions } = lonely()
    await using session = sessions()
    const controller = new AbortController()
    expect(await session.scalar('select 1', [], { signal: controller.signal })).toBe(1)
    controller.abort()
    expect(await session.scalar('select 2')).toBe(2)
  })

  test('ends the wait of a statement for the pool', async () => {
    const { sessions } = lonely()
    await using holder = sessions()
    await holder.execute('select 1')
    await using waiting = sessions()
    const controller = new AbortController()
    const statement = waiting.execute('select 1', { signal: controller.signal })
    await waitUntil(() => sessions.bind.stats().waiting === 1)
    controller.abort()
    expect(await errorOf(statement)).toBeInstanceOf(AbortedError)
    await holder.close()
    await waitUntil(() => sessions.bind.stats().borrowed === 0)
  })

  test('ends its wait for a nested block', async () => {
    const { sessions } = lonely()
    await using session = sessions()
    const [entered, leave] = [gate(), gate()]
    const block = session.beginNested(async () => {
      await session.execute('select 1')
      entered.open()
      await leave.opened
    })
    await entered.opened
    const controller = new AbortController()
    const outside = session.execute('select 2', { signal: controller.signal })
    controller.abort()
    expect(await errorOf(outside)).toBeInstanceOf(AbortedError)
    leave.open()
    await block
    expect(await session.scalar('select 3')).toBe(3)
  })

  test('may serve many statements without piling up listeners', async () => {
    const { sessions } = lonely()
    await using session = sessions()
    const controller = new AbortController()
    const warnings: Error[] = []
    const listen = (warning: Error): void => void warnings.push(warning)
    process.on('warning', listen)
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        session.scalar('select $1::int', [index], { signal: controller.signal }),
      ),
    )
    await new Promise(setImmediate)
    process.off('warning', listen)
    expect(warnings.map(({ name }) => name)).not.toContain('MaxListenersExceededWarning')
  })
})

describe('timeoutMillis of a statement', () => {
  test('cancels it on the server, and the connection is used again', async () => {
    const { sessions, backends } = lonely()
    await using session = sessions()
    const pid = await session.scalar('select pg_backend_pid()')
    const failure = await errorOf(session.execute(SLEEP, { timeoutMillis: 50 }))
    expect(failure).toBeInstanceOf(StatementTimeoutError)
    expect(isTimeout(failure)).toBe(true)
    expect(failure.message).toContain('50 ms')
    expect((await backends()).map(({ state }) => state)).not.toContain('active')
    await session.rollback()
    expect(await session.scalar('select pg_backend_pid()')).toBe(pid)
  })

  test('leaves quick statements alone', async () => {
    const { sessions } = lonely()
    await using session = sessions()
    expect(await session.scalar('select $1::int', [1], { timeoutMillis: 30_000 })).toBe(1)
    expect(await session.scalar('select 2', { timeoutMillis: 30_000 })).toBe(2)
  })

  test('in a savepoint undoes the savepoint only', async () => {
    await fixture.db.query('truncate notes')
    const { sessions } = lonely()
    await sessions.withSession(async (session) => {
      await add(session, 'one')
      const failure = await errorOf(session.beginNested(() => session.execute(SLEEP, { timeoutMillis: 30 })))
      expect(failure).toBeInstanceOf(StatementTimeoutError)
      await add(session, 'two')
    })
    expect(await stored()).toEqual(['one', 'two'])
  })

  test.each([-1, Number.NaN, '5' as never, null as never])('of %j is refused', async (timeoutMillis) => {
    const { sessions } = lonely()
    await using session = sessions()
    const failure = await errorOf(session.execute('select 1', { timeoutMillis }))
    expect(failure['code']).toBe('INVALID_OPTION')
    expect(failure.message).toContain('timeoutMillis')
  })

  test('and a signal that is none are refused before anything is sent', async () => {
    const { sessions } = lonely()
    await using session = sessions()
    expect((await errorOf(session.execute('select 1', { signal: {} as never })))['code']).toBe(
      'INVALID_OPTION',
    )
    expect(sessions.bind.stats().size).toBe(0)
  })
})

describe('the signal of withSession', () => {
  test('cancels the statement on the server, rolls back, and rejects with its reason', async () => {
    await fixture.db.query('truncate notes')
    const { sessions, running, backends } = lonely()
    const controller = new AbortController()
    const block = sessions.withSession(
      async (session) => {
        await add(session, 'one')
        await session.execute(SLEEP)
      },
      { signal: controller.signal },
    )
    const { pid } = await running()
    controller.abort(new Error('request closed'))
    const failure = await errorOf(block)
    expect(failure).toBeInstanceOf(AbortedError)
    expect(failure.cause).toMatchObject({ message: 'request closed' })
    expect(await backends()).toMatchObject([{ pid, state: 'idle' }])
    expect(sessions.bind.stats().borrowed).toBe(0)
    expect(await stored()).toEqual([])
    expect(await sessions.withSession((session) => session.scalar('select pg_backend_pid()'))).toBe(pid)
  })

  test.each([
    ['set transaction isolation level serializable', 'show transaction_isolation', 'serializable', false],
    ['set transaction read write', 'show transaction_read_only', 'off', true],
  ])('leaves the first statement of a new connection the first: %s', async (set, show, shown, readOnly) => {
    const { sessions } = lonely()
    const { signal } = new AbortController()
    const block = async (session: Session): Promise<unknown> => {
      await session.execute(set)
      return session.scalar(show)
    }
    expect(await sessions.withSession(block, { signal, readOnly })).toBe(shown)
  })

  test('that has fired before: the block is not run', async () => {
    const { sessions } = lonely()
    let ran = false
    const failure = await errorOf(
      sessions.withSession(
        () => {
          ran = true
        },
        { signal: AbortSignal.abort() },
      ),
    )
    expect(failure).toBeInstanceOf(AbortedError)
    expect(ran).toBe(false)
  })

  test('ends the wait for a connection', async () => {
    const { sessions } = lonely()
    await using holder = sessions()
    await holder.execute('select 1')
    const controller = new AbortController()
    const block = sessions.withSession((session) => session.execute('select 1'), {
      signal: controller.signal,
    })
    await waitUntil(() => sessions.bind.stats().waiting === 1)
    controller.abort()
    expect(await errorOf(block)).toBeInstanceOf(AbortedError)
    expect(sessions.bind.stats().waiting).toBe(0)
  })

  test('ends a block that waits for something else, and refuses what it does later', async () => {
    await fixture.db.query('truncate notes')
    const { sessions } = lonely()
    const [entered, late] = [gate(), gate()]
    const controller = new AbortController()
    const afterwards: Promise<unknown>[] = []
    const block = sessions.withSession(
      async (session) => {
        await add(session, 'one')
        entered.open()
        await late.opened
        afterwards.push(add(session, 'two'))
        await afterwards[0]
      },
      { signal: controller.signal },
    )
    await entered.opened
    controller.abort()
    expect(await errorOf(block)).toBeInstanceOf(AbortedError)
    expect(sessions.bind.stats().borrowed).toBe(0)
    late.open()
    await waitUntil(() => afterwards.length === 1)
    await expect(afterwards[0]).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
    expect(await stored()).toEqual([])
  })

  test('does not swallow the error of a block that throws by itself', async () => {
    const { sessions } = lonely()
    const controller = new AbortController()
    const failure = await errorOf(
      sessions.withSession(() => Promise.reject(new Error('my own')), { signal: controller.signal }),
    )
    expect(failure.message).toBe('my own')
  })

  test('that fires after the end changes nothing', async () => {
    const { sessions } = lonely()
    const controller = new AbortController()
    expect(
      await sessions.withSession((session) => session.scalar('select 1'), { signal: controller.signal }),
    ).toBe(1)
    controller.abort()
    expect(await sessions.withSession((session) => session.scalar('select 2'))).toBe(2)
  })

  test('AbortSignal.timeout is a timeout to isTimeout', async () => {
    const { sessions } = lonely()
    const failure = await errorOf(
      sessions.withSession((session) => session.execute(SLEEP), { signal: AbortSignal.timeout(50) }),
    )
    expect(isTimeout(failure)).toBe(true)
  })
})

describe('the signal of a session of your own', () => {
  test('cancels its statement, and refuses the next ones', async () => {
    const { sessions, running } = lonely()
    const controller = new AbortController()
    await using session = sessions({ signal: controller.signal })
    const sleeping = session.execute(SLEEP)
    await running()
    controller.abort()
    expect(await errorOf(sleeping)).toBeInstanceOf(AbortedError)
    expect(await errorOf(session.execute('select 1'))).toBeInstanceOf(AbortedError)
    await session.rollback()
    await session.close()
    expect(sessions.bind.stats().borrowed).toBe(0)
  })
})

describe('a signal that fires while a nested block is rolled back', () => {
  test('prevents a COMMIT after the ROLLBACK TO', async () => {
    await fixture.db.query('truncate notes')
    const { sessions, running } = lonely()
    const controller = new AbortController()
    await using session = sessions({ signal: controller.signal })
    await add(session, 'one')
    const outcomes = Promise.allSettled([session.beginNested(() => session.execute(SLEEP)), session.commit()])
    await running()
    controller.abort()
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await session.close()
    expect(await stored()).toEqual([])
  })
})

describe('a connection of the engine', () => {
  test('connect() gives up waiting when its signal fires or its time is over', async () => {
    const { bind } = lonely().sessions
    await using _held = await bind.connect()
    const controller = new AbortController()
    const waiting = bind.connect({ signal: controller.signal })
    controller.abort()
    expect(await errorOf(waiting)).toBeInstanceOf(AbortedError)
    expect(await errorOf(bind.connect({ signal: AbortSignal.abort() }))).toBeInstanceOf(AbortedError)
    expect(await errorOf(bind.connect({ poolTimeoutMillis: 20 }))).toBeInstanceOf(PoolTimeoutError)
    expect(await errorOf(bind.begin(() => undefined, { poolTimeoutMillis: 0 }))).toBeInstanceOf(
      PoolTimeoutError,
    )
  })

  test('begin() ends its block when its signal fires', async () => {
    const { sessions, running } = lonely()
    const controller = new AbortController()
    const block = sessions.bind.begin((connection) => connection.execute(SLEEP), {
      signal: controller.signal,
    })
    await running()
    controller.abort()
    expect(await errorOf(block)).toBeInstanceOf(AbortedError)
    expect(sessions.bind.stats()).toMatchObject({ borrowed: 0, size: 1 })
  })
})

test('a statement cancelled by another session is a QueryCanceledError, no abort and no timeout', async () => {
  const { sessions, running } = lonely()
  await using session = sessions()
  const sleeping = session.execute(SLEEP)
  const { pid } = await running()
  await fixture.db.query('select pg_cancel_backend($1)', [pid])
  const failure = await errorOf(sleeping)
  expect(failure).toBeInstanceOf(QueryCanceledError)
  expect(failure).not.toBeInstanceOf(AbortedError)
  expect(isTimeout(failure)).toBe(false)
})

describe('a server that has fallen silent', () => {
  test.each([
    ['the signal of a statement', (signal: AbortSignal) => ({ statement: { signal }, block: {} })],
    ['the time of a statement', () => ({ statement: { timeoutMillis: 50 }, block: {} })],
    ['the signal of the block', (signal: AbortSignal) => ({ statement: {}, block: { signal } })],
  ])('%s ends the call soon, and drops the connection', async (_what, optionsFor) => {
    using proxy = await startProxy(fixture.db.url)
    const { sessions } = lonely({ url: proxy.url }, {}, createImpatientEngine)
    const controller = new AbortController()
    const { statement, block } = optionsFor(controller.signal)
    const silent = gate()
    const started = performance.now()
    const outcome = sessions.withSession(async (session) => {
      await session.execute('select 1')
      proxy.blackHole()
      silent.open()
      await session.execute(SLEEP, statement)
    }, block)
    await silent.opened
    controller.abort()
    await errorOf(outcome)
    // The statement would run for a minute.
    expect(performance.now() - started).toBeLessThan(20_000)
    expect(sessions.bind.stats().borrowed).toBe(0)
    proxy.pass()
    expect(await sessions.withSession((session) => session.scalar('select 1'))).toBe(1)
  })
})
