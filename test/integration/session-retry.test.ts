import { expect, test } from 'vitest'
import {
  AbortedError,
  CommitOutcomeUnknownError,
  ConnectionLostError,
  HookError,
  TransactionAbortedError,
} from '../../src/errors.js'
import {
  DeadlockError,
  isRetryable,
  SerializationFailureError,
  UniqueViolationError,
} from '../../src/database-errors.js'
import type { Session } from '../../src/session/session.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table accounts (id int primary key, balance int not null)',
  'insert into accounts values (1, 100), (2, 100)',
)

const AT_ONCE = (): number => 0

const reset = () => fixture.db.query('update accounts set balance = 100')

async function balances(): Promise<number[]> {
  const rows = await fixture.db.query<{ balance: number }>('select balance from accounts order by id')
  return rows.map(({ balance }) => balance)
}

const add = (session: Session, id: number, amount: number) =>
  session.execute('update accounts set balance = balance + $2 where id = $1', [id, amount])

/** Two blocks that read both accounts and then write one each: under serializable, one of them must fail. */
async function skew(
  run: (work: (session: Session) => Promise<void>) => Promise<void>,
): Promise<PromiseSettledResult<void>[]> {
  const both = gate()
  let reads = 0
  const withdraw = (id: number) =>
    run(async (session) => {
      const sum = await session.scalar<string>('select sum(balance) from accounts')
      if (++reads === 2) both.open()
      await both.opened
      if (Number(sum) >= 200) await add(session, id, -200)
    })
  return Promise.allSettled([withdraw(1), withdraw(2)])
}

/** Two blocks that lock the accounts in opposite order. */
async function deadlock(
  run: (work: (session: Session) => Promise<void>) => Promise<void>,
): Promise<PromiseSettledResult<void>[]> {
  const both = gate()
  let locked = 0
  const transfer = (from: number, to: number) =>
    run(async (session) => {
      await add(session, from, -10)
      if (++locked === 2) both.open()
      await both.opened
      await add(session, to, 10)
    })
  return Promise.allSettled([transfer(1, 2), transfer(2, 1)])
}

test('two serializable blocks that read what the other writes: one fails, and without retry its caller is told', async () => {
  await reset()
  const { withSession } = fixture.factory({}, { isolationLevel: 'SERIALIZABLE' })
  const outcomes = await skew((work) => withSession(work))
  const reasons = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as Error] : [],
  )
  expect(reasons).toHaveLength(1)
  expect(reasons[0]).toBeInstanceOf(SerializationFailureError)
  expect(isRetryable(reasons[0])).toBe(true)
  expect((await balances()).sort((one, other) => one - other)).toEqual([-100, 100])
})

test('with retry both succeed, and the second sees what the first has done', async () => {
  await reset()
  const { withSession } = fixture.factory({}, { isolationLevel: 'SERIALIZABLE' })
  let runs = 0
  const sessions = new Set<Session>()
  const outcomes = await skew((work) =>
    withSession(
      (session) => {
        runs++
        sessions.add(session)
        return work(session)
      },
      { retry: { attempts: 3, backoff: AT_ONCE } },
    ),
  )
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
  expect(runs).toBe(3)
  expect(sessions.size).toBe(3)
  expect([...sessions].every(({ closed }) => closed)).toBe(true)
  // Only one of them may withdraw: the other has read the new sum.
  expect((await balances()).sort((one, other) => one - other)).toEqual([-100, 100])
})

test('a deadlock: one fails with DeadlockError without retry, both succeed with it', async () => {
  await reset()
  const sessions = fixture.factory({ connectArgs: { serverSettings: { deadlock_timeout: '20ms' } } })
  const outcomes = await deadlock((work) => sessions.withSession(work))
  const reasons = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  )
  expect(reasons).toHaveLength(1)
  expect(reasons[0]).toBeInstanceOf(DeadlockError)

  await reset()
  const retried = await deadlock((work) => sessions.withSession(work, { retry: { attempts: 5 } }))
  expect(retried.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
  expect(await balances()).toEqual([100, 100])
})

test('a connection that is lost before COMMIT is retried on another one', async () => {
  await reset()
  const { withSession } = fixture.factory()
  const backends: unknown[] = []
  await withSession(
    async (session) => {
      const pid = await session.scalar<number>('select pg_backend_pid()')
      backends.push(pid)
      await add(session, 1, 1)
      if (backends.length === 1) await terminate(fixture.db, pid ?? 0)
      await add(session, 1, 1)
    },
    { retry: { attempts: 2, backoff: AT_ONCE } },
  )
  expect(new Set(backends).size).toBe(2)
  expect(await balances()).toEqual([102, 100])
})

test('a failure that the block swallowed is retried if it may be', async () => {
  await reset()
  const { withSession } = fixture.factory()
  let runs = 0
  const failure = await errorOf(
    withSession(
      async (session) => {
        runs++
        await session
          .execute("do $$ begin raise exception 'x' using errcode = '40001'; end $$")
          .catch(() => undefined)
      },
      { retry: { attempts: 3, backoff: AT_ONCE } },
    ),
  )
  expect(failure).toBeInstanceOf(TransactionAbortedError)
  expect(isRetryable(failure)).toBe(true)
  expect(runs).toBe(3)
})

test('the last error is thrown when the attempts are used up; the first run counts', async () => {
  const { withSession } = fixture.factory()
  let runs = 0
  const failure = await errorOf(
    withSession(
      (session) => {
        runs++
        return session.execute(`do $$ begin raise exception 'run ${runs}' using errcode = '40001'; end $$`)
      },
      { retry: { attempts: 4, backoff: AT_ONCE } },
    ),
  )
  expect(runs).toBe(4)
  expect(failure).toBeInstanceOf(SerializationFailureError)
  expect(failure.message).toBe('run 4')
})

test.each([
  ['a constraint', 'insert into accounts values (1, 0)', UniqueViolationError],
  ['an error of the block itself', undefined, Error],
])('%s is not retried', async (_what, statement, Class) => {
  const { withSession } = fixture.factory()
  let runs = 0
  const failure = await errorOf(
    withSession(
      async (session) => {
        runs++
        if (statement === undefined) throw new Error('my own')
        await session.execute(statement)
      },
      { retry: { attempts: 3, backoff: AT_ONCE } },
    ),
  )
  expect(failure).toBeInstanceOf(Class)
  expect(runs).toBe(1)
})

test('a commit whose outcome is unknown is not retried', async () => {
  await reset()
  using proxy = await startProxy(fixture.db.url)
  const { withSession } = fixture.factory({ url: proxy.url })
  let runs = 0
  const failure = await errorOf(
    withSession(
      async (session) => {
        runs++
        await add(session, 1, 1)
        void proxy.cutAt({
          from: 'server',
          when: 'before',
          message: ({ name, text }) => name === 'CommandComplete' && text === 'COMMIT',
        })
      },
      { retry: { attempts: 3, backoff: AT_ONCE } },
    ),
  )
  expect(failure).toBeInstanceOf(CommitOutcomeUnknownError)
  expect(isRetryable(failure)).toBe(false)
  expect(runs).toBe(1)
  expect(await balances()).toEqual([101, 100])
})

/** A block of one statement, whose answers are cut off before COMMIT's (or its own, in autocommit) the first time. */
async function cutOnce(text: string, autocommit: boolean): Promise<{ runs: number; outcome: unknown }> {
  using proxy = await startProxy(fixture.db.url)
  const sessions = fixture.factory({ url: proxy.url, poolSize: 1, maxOverflow: 0 }, { autocommit })
  await sessions.withSession((session) => session.execute('select'))
  const cut = proxy.cutAt({
    from: 'server',
    when: 'before',
    message: ({ name, text: tag }) =>
      name === 'CommandComplete' && tag === (autocommit ? 'SELECT 1' : 'COMMIT'),
  })
  let runs = 0
  const work = sessions.withSession((session) => (runs++, session.scalar(text)), {
    retry: { attempts: 2, backoff: AT_ONCE },
  })
  const outcome = await work.catch((error: unknown) => error)
  await cut
  return { runs, outcome }
}

test.each([
  { text: 'select 7', autocommit: false },
  { text: 'select sum(7) from accounts where id in (1)', autocommit: false },
  { text: 'select 7', autocommit: true },
])(
  'a read that can have stored nothing is retried, whatever became of COMMIT: %o',
  async ({ text, autocommit }) => {
    const { runs, outcome } = await cutOnce(text, autocommit)
    expect(Number(outcome)).toBe(7)
    expect(runs).toBe(2)
  },
)

test.each([
  { text: 'select txid_current()', autocommit: false },
  {
    text: 'with one as (insert into accounts values (3, 0) returning id) select id from one',
    autocommit: false,
  },
  { text: 'select balance from accounts where id = 1 for update', autocommit: false },
  { text: 'select txid_current()', autocommit: true },
])(
  'a read that calls a function, or locks, may have stored something, and is not: %o',
  async ({ text, autocommit }) => {
    const { runs, outcome } = await cutOnce(text, autocommit)
    expect(outcome).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(isRetryable(outcome)).toBe(false)
    expect(runs).toBe(1)
    await fixture.db.query('delete from accounts where id = 3')
  },
)

test('a hook that fails after the commit is not retried', async () => {
  await reset()
  const { withSession } = fixture.factory()
  const failure = await errorOf(
    withSession(
      (session) => {
        session.afterCommit(() => Promise.reject(new ConnectionLostError('of another server')))
        return add(session, 1, 1)
      },
      { retry: { attempts: 3, backoff: AT_ONCE } },
    ),
  )
  expect(failure).toBeInstanceOf(HookError)
  expect(await balances()).toEqual([101, 100])
})

const STORES: readonly (readonly [
  what: string,
  autocommit: boolean,
  store: (session: Session) => Promise<unknown>,
])[] = [
  ['has committed midway', false, (session) => add(session, 1, 1).then(() => session.commit())],
  ['stands alone and has written', true, (session) => add(session, 1, 1)],
  [
    'stands alone and has run a script',
    true,
    (session) => session.executeScript('update accounts set balance = balance + 1 where id = 1'),
  ],
  [
    'stands alone and has called a function',
    true,
    (session) => session.execute('select pg_notify($1, $2)', ['c', 'x']),
  ],
]

test.each(STORES)(
  'a block that %s is not run again: it would store that twice',
  async (_, autocommit, store) => {
    await reset()
    const { withSession } = fixture.factory()
    let runs = 0
    const failure = await errorOf(
      withSession(
        async (session) => {
          runs++
          await store(session)
          await session.execute("do $$ begin raise exception 'x' using errcode = '40001'; end $$")
        },
        { autocommit, retry: { attempts: 3, backoff: AT_ONCE } },
      ),
    )
    expect(failure).toBeInstanceOf(SerializationFailureError)
    expect(runs).toBe(1)
  },
)

test('a block that stands alone and has only read is run again', async () => {
  const { withSession } = fixture.factory()
  let runs = 0
  const value = await withSession(
    async (session) => {
      const read = await session.scalar<number>('select balance from accounts where id = 1')
      const fails = "do $$ begin raise exception 'x' using errcode = '40001'; end $$"
      if (++runs < 3) await session.execute(fails)
      return read
    },
    { autocommit: true, retry: { attempts: 3, backoff: AT_ONCE } },
  )
  expect([value, runs]).toEqual([100, 3])
})

test('the backoff is asked with the number of the attempt that failed', async () => {
  const { withSession } = fixture.factory()
  const asked: number[] = []
  await errorOf(
    withSession(
      (session) => session.execute("do $$ begin raise exception 'x' using errcode = '40P01'; end $$"),
      {
        retry: {
          attempts: 4,
          backoff: (attempt) => {
            asked.push(attempt)
            return 0
          },
        },
      },
    ),
  )
  expect(asked).toEqual([1, 2, 3])
})

test('an abort ends the wait for the next attempt', async () => {
  const { withSession } = fixture.factory()
  const controller = new AbortController()
  let runs = 0
  const failure = await errorOf(
    withSession(
      (session) => {
        runs++
        return session.execute("do $$ begin raise exception 'x' using errcode = '40001'; end $$")
      },
      {
        signal: controller.signal,
        retry: {
          attempts: 3,
          backoff: () => {
            setImmediate(() => controller.abort(new Error('no time')))
            return 60_000
          },
        },
      },
    ),
  )
  expect(failure).toBeInstanceOf(AbortedError)
  expect(failure.cause).toMatchObject({ message: 'no time' })
  expect(runs).toBe(1)
})
