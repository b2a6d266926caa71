/** `begin()` owns its transaction from the moment when it is entered until its end was answered, whatever is beside it. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Executor } from '../../src/execution/executor.js'
import { IllegalStateError, SessionClosedError, UnawaitedStatementError } from '../../src/errors.js'
import { declarativeBase } from '../../src/schema/base.js'
import { text } from '../../src/schema/column-types.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Mark extends Base.entity('marks', { mark: text().primaryKey() }) {}

const fixture = useDatabase('create table marks (mark text primary key)')

beforeEach(async () => {
  await fixture.db.query('truncate marks')
})

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks order by mark')
  return rows.map(({ mark }) => mark)
}

type Beginning = Executor &
  AsyncDisposable & {
    begin<Value>(work: () => Value | Promise<Value>): Promise<Value>
    commit(): Promise<void>
    rollback(): Promise<void>
    close(): Promise<void>
  }

const add = (executor: Executor, mark: string) => executor.execute('insert into marks values ($1)', [mark])

/** Whatever has `begin()`, in both modes. */
const KINDS: readonly (readonly [string, boolean, () => Promise<Beginning>])[] = [
  ['a session', false, async () => fixture.factory({ poolSize: 1, maxOverflow: 0 })()],
  [
    'a session in autocommit mode',
    true,
    async () => fixture.factory({ poolSize: 1, maxOverflow: 0 }, { autocommit: true })(),
  ],
  ['a connection', false, () => fixture.engine().connect()],
  ['a connection in autocommit mode', true, () => fixture.engine().connect({ autocommit: true })],
]

describe.each(KINDS)('begin() of %s', (_name, autocommit, open) => {
  test('is refused inside another one that has sent nothing yet, and takes nothing of it along', async () => {
    await using executor = await open()
    let inner: Error | undefined
    const outcome = await errorOf(
      executor.begin(async () => {
        inner = await errorOf(executor.begin(() => add(executor, 'inner')))
        await add(executor, 'outer')
        throw new Error('not enough money')
      }),
    )
    expect(outcome.message).toBe('not enough money')
    expect(inner).toBeInstanceOf(IllegalStateError)
    expect(inner?.message).toContain('beginNested()')
    expect(await marks()).toEqual([])
  })

  test('is refused inside of another one that has sent something, and inside of a nested block of it', async () => {
    await using executor = await open()
    await executor.begin(async () => {
      await add(executor, 'outer')
      expect(await errorOf(executor.begin(() => undefined))).toBeInstanceOf(IllegalStateError)
      await executor.beginNested(async () => {
        expect(await errorOf(executor.begin(() => undefined))).toBeInstanceOf(IllegalStateError)
      })
    })
    expect(await marks()).toEqual(['outer'])
  })

  test('waits for a concurrent begin(): the other block rolls back its own work only', async () => {
    await using executor = await open()
    const order: string[] = []
    const isRunning = gate()
    const mayEnd = gate()
    const [first, second] = [
      executor.begin(async () => {
        order.push('first')
        isRunning.open()
        await mayEnd.opened
        await add(executor, 'of the one that throws')
        throw new Error('undo')
      }),
      executor.begin(async () => {
        order.push('second')
        await add(executor, 'of the other')
      }),
    ]
    await isRunning.opened
    mayEnd.open()
    expect((await errorOf(first)).message).toBe('undo')
    await second
    expect(order).toEqual(['first', 'second'])
    expect(await marks()).toEqual(['of the other'])
  })

  test('has a statement beside it wait until it has ended', async () => {
    await using executor = await open()
    const mayEnd = gate()
    const block = executor.begin(async () => {
      await add(executor, 'inside')
      await mayEnd.opened
      throw new Error('undo')
    })
    const beside = add(executor, 'beside')
    mayEnd.open()
    expect((await errorOf(block)).message).toBe('undo')
    expect(await beside).toMatchObject({ rowCount: 1 })
    if (!autocommit) await executor.commit()
    expect(await marks()).toEqual(['beside'])
  })

  test('has a commit() and a rollback() beside it wait until it has ended', async () => {
    await using executor = await open()
    for (const end of ['commit', 'rollback'] as const) {
      const mayEnd = gate()
      const block = executor.begin(async () => {
        await add(executor, `before ${end}`)
        await mayEnd.opened
        await add(executor, `after ${end}`)
      })
      const ending = executor[end]()
      mayEnd.open()
      await Promise.all([block, ending])
    }
    expect(await marks()).toEqual(['after commit', 'after rollback', 'before commit', 'before rollback'])
  })

  test('begins another transaction after commit() inside it, which is rolled back with it', async () => {
    await using executor = await open()
    await errorOf(
      executor.begin(async () => {
        await add(executor, 'committed')
        await executor.commit()
        await add(executor, 'later')
        throw new Error('undo')
      }),
    )
    expect(await marks()).toEqual(['committed'])
    await executor.begin(async () => {
      await add(executor, 'undone')
      await executor.rollback()
      await add(executor, 'kept')
    })
    expect(await marks()).toEqual(['committed', 'kept'])
    await add(executor, 'alone')
    await executor.rollback()
    expect(await marks()).toEqual(autocommit ? ['alone', 'committed', 'kept'] : ['committed', 'kept'])
  })

  test('that still runs when it is closed is rolled back, and its later statements are refused', async () => {
    const executor = await open()
    const mayGoOn = gate()
    const block = executor.begin(async () => {
      await add(executor, 'half')
      await mayGoOn.opened
      await add(executor, 'other half')
    })
    await waitUntil(() => executor.inTransaction)
    await executor.close()
    mayGoOn.open()
    await errorOf(block)
    expect(await marks()).toEqual([])
  })

  test('that does nothing any more when it is closed says that its transaction was rolled back', async () => {
    const executor = await open()
    const mayGoOn = gate()
    const block = executor.begin(async () => {
      await add(executor, 'half')
      await mayGoOn.opened
    })
    await waitUntil(() => executor.inTransaction)
    await executor.close()
    mayGoOn.open()
    const error = await errorOf(block)
    expect(error).toBeInstanceOf(IllegalStateError)
    expect(error.message).toContain('rolled back while its block ran')
    expect(await marks()).toEqual([])
  })

  test('is no deadlock for statements and blocks that it awaits, side by side', async () => {
    await using executor = await open()
    await executor.begin(() =>
      Promise.all([
        add(executor, 'one'),
        executor.beginNested(() => add(executor, 'two')),
        (async () => {
          await add(executor, 'three')
          await executor.beginNested(() => add(executor, 'four'))
        })(),
      ]),
    )
    expect(await marks()).toHaveLength(4)
  })
})

describe('begin() in autocommit mode', () => {
  const session = (): Beginning => fixture.factory({}, { autocommit: true })()

  test('waits for a statement that was given before: that stands alone', async () => {
    await using executor = session()
    const [before, block] = await Promise.allSettled([
      add(executor, 'before'),
      executor.begin(async () => {
        await add(executor, 'inside')
        throw new Error('undo')
      }),
    ])
    expect([before.status, block.status]).toEqual(['fulfilled', 'rejected'])
    expect(await marks()).toEqual(['before'])
  })

  test('is noticed by the block around it that does not await it', async () => {
    const { withSession } = fixture.factory({}, { autocommit: true })
    const mayGoOn = gate()
    let inner: Promise<unknown> | undefined
    const error = await errorOf(
      withSession(async (executor) => {
        inner = executor.begin(async () => {
          await add(executor, 'half')
          await mayGoOn.opened
          await add(executor, 'other half')
        })
        await waitUntil(() => executor.inTransaction)
      }),
    )
    expect(error).toBeInstanceOf(UnawaitedStatementError)
    mayGoOn.open()
    expect(await errorOf(inner as Promise<unknown>)).toBeInstanceOf(SessionClosedError)
    expect(await marks()).toEqual([])
  })

  test('is noticed where it waits for its turn still, or has not begun anything', async () => {
    const { withSession } = fixture.factory({}, { autocommit: true })
    for (const before of ['nothing', 'a statement']) {
      let inner: Promise<unknown> | undefined
      const error = await errorOf(
        withSession((executor) => {
          if (before === 'a statement') void add(executor, before)
          inner = executor.begin(() => add(executor, 'inner'))
          inner.catch(() => undefined)
        }),
      )
      expect(error).toBeInstanceOf(UnawaitedStatementError)
      await errorOf(inner as Promise<unknown>)
    }
    expect(await marks()).toEqual(['a statement'])
  })

  test('undoes objects with itself, and those beside it are refused until it has ended', async () => {
    await using executor = fixture.factory({}, { autocommit: true })()
    const mayEnd = gate()
    const block = executor.begin(async () => {
      executor.add(new Mark({ mark: 'inside' }))
      await mayEnd.opened
      throw new Error('undo')
    })
    expect(() => executor.add(new Mark({ mark: 'beside' }))).toThrow(IllegalStateError)
    mayEnd.open()
    await errorOf(block)
    executor.add(new Mark({ mark: 'after' }))
    await executor.flush()
    expect(await marks()).toEqual(['after'])
  })

  test.each([false, true])(
    'has a flush beside it wait, as a transaction of its own (undone: %s)',
    async (undone) => {
      await using executor = fixture.factory({}, { autocommit: true, autoflush: false })()
      const mayEnd = gate()
      const [one, two] = [new Mark({ mark: 'one' }), new Mark({ mark: 'two' })]
      if (undone) executor.addAll([one, two])
      const block = executor.begin(async () => {
        await mayEnd.opened
        if (undone) throw new Error('undo')
        executor.addAll([one, two])
        await executor.flush()
        one.mark = 'changed'
      })
      const flush = executor.flush()
      mayEnd.open()
      const outcomes = await Promise.allSettled([block, flush])
      // What was pending was undone with the block: that is said.
      expect(outcomes.map(({ status }) => status)).toEqual(
        undone ? ['rejected', 'rejected'] : ['fulfilled', 'fulfilled'],
      )
      if (undone) expect(outcomes[1]).toMatchObject({ reason: { code: 'ABORTED' } })
      expect(await marks()).toEqual(undone ? [] : ['changed', 'two'])
    },
  )

  test('keeps a stream beside it out', async () => {
    await using executor = session()
    const mayEnd = gate()
    const block = executor.begin(() => mayEnd.opened)
    const error = await errorOf(executor.stream('select 1')[Symbol.asyncIterator]().next())
    expect(error).toBeInstanceOf(IllegalStateError)
    mayEnd.open()
    await block
  })
})

describe('a block that is a transaction itself', () => {
  test('refuses begin() from its first moment on', async () => {
    const engine = fixture.engine()
    const { withSession } = createSessionFactory({ bind: engine })
    const inSession = withSession(async (session) => {
      await session.begin(() => add(session, 'inner'))
    })
    const inEngine = engine.begin(async (connection) => {
      await connection.begin(() => add(connection, 'inner'))
    })
    const byHand = engine.begin(async (connection) => {
      await connection.begin()
    })
    for (const block of [inSession, inEngine, byHand]) {
      const error = await errorOf(block)
      expect(error).toBeInstanceOf(IllegalStateError)
      expect(error.message).toContain('beginNested()')
    }
    expect(await marks()).toEqual([])
  })
})

describe('a transaction that is ended by hand', () => {
  test.each([false, true])(
    'refuses another begin() from its first moment on (autocommit: %s)',
    async (autocommit) => {
      await using connection = await fixture.engine().connect({ autocommit })
      const transaction = await connection.begin()
      expect(await errorOf(connection.begin())).toBeInstanceOf(IllegalStateError)
      expect(await errorOf(connection.begin(() => undefined))).toBeInstanceOf(IllegalStateError)
      await add(connection, 'undone')
      await transaction.rollback()
      const next = await connection.begin()
      await add(connection, 'kept')
      await next.commit()
      expect(await marks()).toEqual(['kept'])
    },
  )

  test('is not mistaken for the next one: its handle ends nothing but it', async () => {
    await using connection = await fixture.engine().connect()
    {
      await using _transaction = await connection.begin()
      await add(connection, 'first')
      await connection.commit()
      await add(connection, 'next')
    }
    await connection.commit()
    expect(await marks()).toEqual(['first', 'next'])
  })
})
