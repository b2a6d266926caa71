/** What goes wrong in real handlers, one mistake per test: nothing is stored that was rolled back, and each caller is told the truth. */
import { describe, expect, test } from 'vitest'
import { UniqueViolationError, isRetryable } from '../../src/database-errors.js'
import type { Engine } from '../../src/engine/engine.js'
import type { Executor } from '../../src/execution/executor.js'
import {
  ConnectionClosedError,
  ConnectionLostError,
  IllegalStateError,
  SessionClosedError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table marks (mark text)', 'create table taken (id int primary key)')

/** A way to run a block in a transaction. */
type Block = <Value>(engine: Engine, work: (executor: Executor) => Promise<Value> | Value) => Promise<Value>

const BLOCKS: readonly (readonly [string, Block])[] = [
  ['withSession', (engine, work) => createSessionFactory({ bind: engine }).withSession(work)],
  ['engine.begin', (engine, work) => engine.begin(work)],
  [
    'session.begin in autocommit mode',
    async (engine, work) => {
      await using session = createSessionFactory({ bind: engine, autocommit: true })()
      return await session.begin(() => work(session))
    },
  ],
]

const MARK = 'insert into marks values ($1)'
const REFUSED = 'insert into taken values (1), (1)'

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks order by mark')
  return rows.map(({ mark }) => mark)
}

/** An engine on empty tables. */
async function freshEngine(options: Parameters<typeof fixture.engine>[0] = {}): Promise<Engine> {
  await fixture.db.query('truncate marks, taken')
  return fixture.engine(options)
}

/** Nothing is lent, no transaction is open on the server, and the next one works. */
async function expectClean(engine: Engine): Promise<void> {
  await waitUntil(() => engine.stats().borrowed === 0)
  await waitUntil(async () => {
    const open = `select from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`
    return (await fixture.db.query(open)).length === 0
  })
  await engine.begin((connection) => connection.execute(MARK, ['next']))
  expect(await marks()).toContain('next')
}

describe.each(BLOCKS)('%s', (name, block) => {
  test('an error that was swallowed is thrown when the block returns', async () => {
    const engine = await freshEngine()
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['before'])
        await executor.execute(REFUSED).catch(() => undefined)
      }),
    )
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(error.cause).toBeInstanceOf(UniqueViolationError)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('a statement after an error that was swallowed fails with the first error as its cause', async () => {
    const engine = await freshEngine()
    let second: unknown
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(REFUSED).catch(() => undefined)
        await executor.execute(MARK, ['after']).catch((caught: unknown) => {
          second = caught
          throw caught
        })
      }),
    )
    expect(error).toBe(second)
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(error.cause).toBeInstanceOf(UniqueViolationError)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('an un-awaited statement fails the block, and the error names it', async () => {
    const engine = await freshEngine()
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['before'])
        void executor.execute(MARK, ['floating'])
      }),
    )
    expect(error).toBeInstanceOf(UnawaitedStatementError)
    expect(error['statements']).toEqual([MARK])
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('an un-awaited failing statement fails the block, without an unhandled rejection', async () => {
    const engine = await freshEngine()
    const error = await errorOf(
      block(engine, (executor) => {
        void executor.execute(REFUSED)
        return 1
      }),
    )
    expect(error).toBeInstanceOf(UnawaitedStatementError)
    expect(error['statements']).toEqual([REFUSED])
    await expectClean(engine)
  })

  test('an un-awaited statement fails the block also if it has failed already', async () => {
    const engine = await freshEngine()
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['before'])
        void executor.execute(REFUSED)
        await waitUntil(async () => {
          const failed = await fixture.db.query(
            "select 1 from pg_stat_activity where state = 'idle in transaction (aborted)' and datname = current_database()",
          )
          return failed.length > 0
        })
        // The server has answered before that query, so its answer is read in this turn of the event loop at the latest.
        await new Promise((resolve) => setImmediate(resolve))
      }),
    )
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(error.cause).toBeInstanceOf(UniqueViolationError)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('an un-awaited nested block fails the block', async () => {
    const engine = await freshEngine()
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['before'])
        executor.beginNested(() => executor.execute(MARK, ['floating'])).catch(() => undefined)
      }),
    )
    expect(error).toBeInstanceOf(UnawaitedStatementError)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('a backend that is killed between two statements takes its work along; the process lives', async () => {
    const engine = await freshEngine()
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['before'])
        await terminate(fixture.db, (await executor.scalar<number>('select pg_backend_pid()')) ?? 0)
        await executor.execute(MARK, ['after'])
      }),
    )
    expect(error).toBeInstanceOf(ConnectionLostError)
    expect(isRetryable(error)).toBe(true)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('a backend that is killed while a statement runs fails it, and what comes after', async () => {
    const engine = await freshEngine()
    const errors: unknown[] = []
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['before'])
        await executor.execute('select pg_terminate_backend(pg_backend_pid())').catch((caught: unknown) => {
          errors.push(caught)
        })
        await executor.execute(MARK, ['after']).catch((caught: unknown) => errors.push(caught))
      }),
    )
    for (const each of [...errors, error]) {
      expect(each).toBeInstanceOf(ConnectionLostError)
      expect((each as Error).cause).toMatchObject({ sqlState: '57P01' })
    }
    expect(errors).toHaveLength(2)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('a branch of Promise.all that goes on after the rollback is refused', async () => {
    const engine = await freshEngine()
    const ended = gate()
    let late: Promise<unknown> | undefined
    const failure = await errorOf(
      block(engine, (executor) => {
        late = ended.opened.then(() => executor.execute(MARK, ['late']))
        return Promise.all([executor.execute(REFUSED), late])
      }),
    )
    expect(failure).toBeInstanceOf(UniqueViolationError)
    ended.open()
    expect(await errorOf(late as Promise<unknown>)).toBeInstanceOf(
      name === 'engine.begin' ? ConnectionClosedError : SessionClosedError,
    )
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('a branch of Promise.all that goes on while ROLLBACK is under way is refused', async () => {
    using proxy = await startProxy(fixture.db.url)
    const engine = await freshEngine({ url: proxy.url })
    const holding = proxy.holdAt({
      from: 'client',
      when: 'before',
      message: ({ name: type, text }) => type === 'Parse' && text === 'ROLLBACK',
    })
    let late: Promise<unknown> | undefined
    const failing = errorOf(
      block(engine, (executor) => {
        late = holding.then((held) => executor.execute(MARK, ['late']).finally(() => held.resume()))
        return Promise.all([executor.execute(REFUSED), late])
      }),
    )
    expect(await failing).toBeInstanceOf(UniqueViolationError)
    expect(await errorOf(late as Promise<unknown>)).toBeInstanceOf(IllegalStateError)
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })

  test('of two concurrent savepoints the one that throws undoes its own work only', async () => {
    const engine = await freshEngine()
    const [a, b] = await block(engine, (executor) =>
      Promise.allSettled([
        executor.beginNested(async () => {
          await executor.execute(MARK, ['a1'])
          await executor.execute(MARK, ['a2'])
          throw new Error('a changed its mind')
        }),
        executor.beginNested(async () => {
          await executor.execute(MARK, ['b1'])
          await executor.execute(MARK, ['b2'])
        }),
      ]),
    )
    expect(a).toMatchObject({ status: 'rejected', reason: { message: 'a changed its mind' } })
    expect(b).toMatchObject({ status: 'fulfilled' })
    expect(await marks()).toEqual(['b1', 'b2'])
    await expectClean(engine)
  })

  test('use after the end is refused', async () => {
    const engine = await freshEngine()
    let kept: Executor | undefined
    await block(engine, (executor) => {
      kept = executor
      return executor.execute(MARK, ['stored'])
    })
    expect(await errorOf((kept as Executor).execute(MARK, ['late']))).toBeInstanceOf(
      name === 'engine.begin' ? ConnectionClosedError : SessionClosedError,
    )
    expect(await marks()).toEqual(['stored'])
    await expectClean(engine)
  })

  test('another session inside the block has a transaction of its own', async () => {
    const engine = await freshEngine()
    const { withSession } = createSessionFactory({ bind: engine })
    const reason = new Error('the outer one changed its mind')
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['outer'])
        await withSession((session) => session.execute(MARK, ['inner']))
        throw reason
      }),
    )
    expect(error).toBe(reason)
    expect(await marks()).toEqual(['inner'])
    await expectClean(engine)
  })

  test('another session inside the block, in a pool of one connection, fails in time and says why', async () => {
    const engine = await freshEngine({ poolSize: 1, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: engine })
    const error = await errorOf(
      block(engine, async (executor) => {
        await executor.execute(MARK, ['outer'])
        await withSession((session) => session.execute(MARK, ['inner']), { poolTimeoutMillis: 50 })
      }),
    )
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error.message).toContain('hazards.test.ts')
    expect(await marks()).toEqual([])
    await expectClean(engine)
  })
})

test('a session of a factory inside another one is warned about once, with the remedies', async () => {
  const engine = await freshEngine()
  const { withSession } = createSessionFactory({ bind: engine })
  const warnings: Error[] = []
  const listener = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listener)
  const nested = () => withSession((outer) => outer.execute('select').then(() => withSession(() => 1)))
  expect(await Promise.all([nested(), nested()])).toEqual([1, 1])
  await waitUntil(() => warnings.length > 0)
  process.off('warning', listener)
  expect(warnings).toMatchObject([{ code: 'LIFEGUARD_NESTED_SESSION' }])
  expect(warnings[0]?.message).toContain("propagation: 'required'")
})

test('a transaction handle that has ended cannot be committed, and rolls back without effect', async () => {
  const engine = await freshEngine()
  await using connection = await engine.connect()
  const transaction = await connection.begin()
  await connection.execute(MARK, ['stored'])
  await transaction.commit()
  await transaction.rollback()
  expect(await errorOf(transaction.commit())).toBeInstanceOf(IllegalStateError)
  expect(await marks()).toEqual(['stored'])
})

test('beginning a transaction inside a transaction is refused', async () => {
  const engine = await freshEngine()
  await using connection = await engine.connect()
  await connection.execute(MARK, ['first'])
  expect(await errorOf(connection.begin())).toBeInstanceOf(IllegalStateError)
  await connection.commit()
  expect(await marks()).toEqual(['first'])
})

const LASTING: readonly (readonly [string, (engine: Engine) => Promise<Lasting>])[] = [
  [
    'a session in autocommit mode',
    async (engine) => createSessionFactory({ bind: engine, autocommit: true })(),
  ],
  ['a connection in autocommit mode', (engine) => engine.connect({ autocommit: true })],
]
type Lasting = Executor & AsyncDisposable & { begin<Value>(work: () => Promise<Value>): Promise<Value> }

describe.each(LASTING)('%s that outlives its block', (_name, open) => {
  test('refuses a branch of the block that goes on after the rollback, and stands alone again', async () => {
    const engine = await freshEngine()
    await using executor = await open(engine)
    const ended = gate()
    let late: Promise<unknown> | undefined
    const failure = await errorOf(
      executor.begin(() => {
        late = ended.opened.then(() => executor.execute(MARK, ['late']))
        return Promise.all([executor.execute(REFUSED), late])
      }),
    )
    expect(failure).toBeInstanceOf(UniqueViolationError)
    ended.open()
    expect(await errorOf(late as Promise<unknown>)).toBeInstanceOf(IllegalStateError)
    await executor.execute(MARK, ['alone'])
    expect(await marks()).toEqual(['alone'])
    await executor.begin(() => executor.execute(MARK, ['in a block']))
    expect(await marks()).toEqual(['alone', 'in a block'])
  })

  test('stores statements issued from outside while a block commits or rolls back, and reports the block correctly', async () => {
    using proxy = await startProxy(fixture.db.url)
    const engine = await freshEngine({ url: proxy.url })
    await using executor = await open(engine)
    for (const end of ['COMMIT', 'ROLLBACK']) {
      const holding = proxy.holdAt({ from: 'client', when: 'before', message: ({ text }) => text === end })
      const other = holding.then((held) => {
        const inserting = executor.execute(MARK, [`while ${end}`])
        held.resume()
        return inserting
      })
      const block = executor.begin(async () => {
        await executor.execute(MARK, [`before ${end}`])
        if (end === 'ROLLBACK') throw new Error('changed my mind')
      })
      if (end === 'COMMIT') await block
      else expect((await errorOf(block)).message).toBe('changed my mind')
      await other
    }
    expect(await marks()).toEqual(['before COMMIT', 'while COMMIT', 'while ROLLBACK'])
  })

  test('stands alone again after a block that did nothing', async () => {
    const engine = await freshEngine()
    await using executor = await open(engine)
    expect(await executor.begin(async () => 1)).toBe(1)
    await executor.execute(MARK, ['alone'])
    expect(await marks()).toEqual(['alone'])
  })
})
