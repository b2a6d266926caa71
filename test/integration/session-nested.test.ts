import { expect, test } from 'vitest'
import {
  IllegalStateError,
  SessionClosedError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import { UniqueViolationError } from '../../src/database-errors.js'
import type { Session } from '../../src/session/session.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

/** A session on an empty table. */
async function open(): Promise<Session> {
  await fixture.db.query('truncate notes')
  return fixture.factory()()
}

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

test('a nested block that returns keeps its work, and gives its value', async () => {
  await using session = await open()
  await add(session, 'outer')
  expect(await session.beginNested(async () => (await add(session, 'inner')).rowCount)).toBe(1)
  await session.commit()
  expect(await stored()).toEqual(['inner', 'outer'])
})

test('a nested block that throws undoes its own work only, and its error is thrown on', async () => {
  await using session = await open()
  await add(session, 'outer')
  const reason = new Error('changed my mind')
  const failure = await errorOf(
    session.beginNested(async () => {
      await add(session, 'inner')
      throw reason
    }),
  )
  expect(failure).toBe(reason)
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after', 'outer'])
})

test('a statement that fails inside a nested block leaves the transaction around it usable', async () => {
  await using session = await open()
  await add(session, 'outer')
  const failure = await errorOf(session.beginNested(() => add(session, 'outer')))
  expect(failure).toBeInstanceOf(UniqueViolationError)
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after', 'outer'])
})

test('a callback that throws synchronously is a block that throws', async () => {
  await using session = await open()
  await expect(
    session.beginNested(() => {
      throw new Error('at once')
    }),
  ).rejects.toThrow('at once')
  expect(session.inTransaction).toBe(false)
})

test('a failure that was swallowed inside the block undoes the block and is reported', async () => {
  await using session = await open()
  await add(session, 'outer')
  const failure = await errorOf(
    session.beginNested(async () => {
      await add(session, 'inner')
      await add(session, 'outer').catch(() => undefined)
    }),
  )
  expect(failure).toBeInstanceOf(TransactionAbortedError)
  expect(failure.cause).toBeInstanceOf(UniqueViolationError)
  await session.commit()
  expect(await stored()).toEqual(['outer'])
})

test('blocks inside blocks: the inner one is rolled back without the outer one', async () => {
  await using session = await open()
  await session.beginNested(async () => {
    await add(session, 'one')
    await session
      .beginNested(async () => {
        await add(session, 'two')
        await session.beginNested(() => add(session, 'three'))
        await add(session, 'one')
      })
      .catch(() => undefined)
    await add(session, 'four')
  })
  await session.commit()
  expect(await stored()).toEqual(['four', 'one'])
})

test('undoing the outer block undoes inner blocks that had returned', async () => {
  await using session = await open()
  await add(session, 'outer')
  await session
    .beginNested(async () => {
      await session.beginNested(() => add(session, 'inner'))
      throw new Error('undo')
    })
    .catch(() => undefined)
  await session.commit()
  expect(await stored()).toEqual(['outer'])
})

test('blocks started side by side run one after the other: undoing one does not undo another', async () => {
  await using session = await open()
  const outcomes = await Promise.allSettled(
    ['a', 'b', 'c', 'd', 'e'].map((name, index) =>
      session.beginNested(async () => {
        await add(session, `${name}1`)
        await add(session, `${name}2`)
        if (index % 2 === 1) throw new Error(`undo ${name}`)
        return name
      }),
    ),
  )
  expect(outcomes.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  await session.commit()
  expect(await stored()).toEqual(['a1', 'a2', 'c1', 'c2', 'e1', 'e2'])
})

test('blocks side by side inside a block, each with blocks side by side, stay apart', async () => {
  await using session = await open()
  await session.beginNested(() =>
    Promise.allSettled(
      ['a', 'b'].map((outer) =>
        session.beginNested(async () => {
          await Promise.allSettled(
            [1, 2, 3].map((inner) =>
              session.beginNested(async () => {
                await add(session, `${outer}${inner}`)
                if (inner === 2) throw new Error('undo')
              }),
            ),
          )
          if (outer === 'a') throw new Error('undo')
        }),
      ),
    ),
  )
  await session.commit()
  expect(await stored()).toEqual(['b1', 'b3'])
})

test('commit waits for blocks that were started before it', async () => {
  await using session = await open()
  const [first, second] = await Promise.allSettled([
    session.beginNested(() => add(session, 'a')),
    session.beginNested(async () => {
      await add(session, 'b1')
      await add(session, 'b2')
    }),
    session.commit(),
  ])
  expect([first.status, second.status]).toEqual(['fulfilled', 'fulfilled'])
  expect(session.inTransaction).toBe(false)
  expect(await stored()).toEqual(['a', 'b1', 'b2'])
})

test('close waits for a block that was started before it', async () => {
  const session = await open()
  const [block] = await Promise.allSettled([
    session.beginNested(async () => {
      await add(session, 'a')
      return 'done'
    }),
    session.close(),
  ])
  // What the block asks for after the close is refused; either way nothing is stored and nothing hangs.
  expect(block.status === 'fulfilled' || block.reason instanceof SessionClosedError).toBe(true)
  expect(await stored()).toEqual([])
})

test('a statement issued after a commit does not overtake it', async () => {
  await using session = await open()
  const outcomes = await Promise.allSettled([
    session.beginNested(() => add(session, 'inside')),
    session.commit(),
    session.execute('select 1 / 0'),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(await stored()).toEqual(['inside'])
})

test('a block whose last deed was an inner block that failed keeps the rest of its work', async () => {
  await using session = await open()
  await session.beginNested(async () => {
    await add(session, 'one')
    await session.beginNested(() => add(session, 'one')).catch(() => undefined)
  })
  await session.commit()
  expect(await stored()).toEqual(['one'])
})

test('an empty block after an unanswered rollback has not failed', async () => {
  await using session = await open()
  const outcomes = await Promise.allSettled([
    session.execute('select 1 / 0'),
    session.rollback(),
    session.beginNested(() => 'nothing'),
    add(session, 'after'),
    session.commit(),
  ])
  expect(outcomes.slice(1).map(({ status }) => status)).toEqual(Array<string>(4).fill('fulfilled'))
  expect(await stored()).toEqual(['after'])
})

test('close rolls back a block, and a commit that waits for it stores no part of it', async () => {
  const session = await open()
  const [entered, never] = [gate(), gate()]
  const block = session.beginNested(async () => {
    await add(session, 'half')
    entered.open()
    await never.opened
  })
  await entered.opened
  const committing = session.commit()
  const closing = session.close()
  expect((await errorOf(committing))['code']).toBe('ILLEGAL_STATE')
  await closing
  never.open()
  await expect(block).rejects.toBeInstanceOf(IllegalStateError)
  expect(await stored()).toEqual([])
})

test('an empty block sends nothing', async () => {
  await fixture.db.query('truncate notes')
  using proxy = await startProxy(fixture.db.url)
  await using session = fixture.factory({ url: proxy.url })()
  await add(session, 'outer')
  proxy.reset()
  await session.beginNested(() => undefined)
  await (await session.beginNested()).commit()
  await (await session.beginNested()).rollback()
  expect(proxy.connections.flatMap((connection) => connection.names('client'))).toEqual([])
  await session.commit()
  expect(await stored()).toEqual(['outer'])
})

test('a statement from outside of an open block waits until the block has ended', async () => {
  await using session = await open()
  const [entered, leave] = [gate(), gate()]
  const order: string[] = []
  const block = session.beginNested(async () => {
    await add(session, 'inside')
    entered.open()
    await leave.opened
    order.push('block')
    throw new Error('undo')
  })
  await entered.opened
  const outside = add(session, 'outside').then(() => order.push('outside'))
  leave.open()
  await Promise.allSettled([block, outside])
  expect(order).toEqual(['block', 'outside'])
  await session.commit()
  expect(await stored()).toEqual(['outside'])
})

test('a statement from a block that has ended is refused', async () => {
  await using session = await open()
  const late = gate()
  let statement: Promise<unknown> | undefined
  await session.beginNested(async () => {
    await add(session, 'inside')
    statement = late.opened.then(() => add(session, 'late'))
  })
  late.open()
  const failure = await errorOf(statement as Promise<unknown>)
  expect(failure).toBeInstanceOf(IllegalStateError)
  expect(failure.message).toContain('nested block continued after its end')
  await session.commit()
  expect(await stored()).toEqual(['inside'])
})

test('a block that returns while its statements run is rolled back, and the error names them', async () => {
  await using session = await open()
  await add(session, 'outer')
  let forgotten: Promise<unknown> | undefined
  const failure = await errorOf(
    session.beginNested(() => {
      forgotten = add(session, 'forgotten')
      return 'too early'
    }),
  )
  expect(failure).toBeInstanceOf(UnawaitedStatementError)
  expect(failure).toHaveProperty('statements', ['insert into notes values ($1)'])
  await forgotten
  await session.commit()
  expect(await stored()).toEqual(['outer'])
})

test('commit and rollback of the session are refused inside a nested block', async () => {
  await using session = await open()
  for (const end of ['commit', 'rollback'] as const) {
    const failure = await errorOf(session.beginNested(() => session[end]()))
    expect(failure).toBeInstanceOf(IllegalStateError)
    expect(failure.message).toContain(`${end}()`)
  }
})

test('un-awaited failing statements, in blocks that all throw at once, leave the session usable', async () => {
  await using session = await open()
  await add(session, 'outer')
  await session
    .beginNested(() =>
      session.beginNested(() => {
        void add(session, 'outer').catch(() => undefined)
        throw new Error('undo both')
      }),
    )
    .catch(() => undefined)
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after', 'outer'])
})

test('a rollback right after such blocks leaves no transaction open', async () => {
  await using session = await open()
  const block = session.beginNested(() => {
    void session.execute('not sql').catch(() => undefined)
    throw new Error('undo')
  })
  await Promise.allSettled([block, session.rollback()])
  await session.rollback()
  expect(session.inTransaction).toBe(false)
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after'])
})

test('a savepoint handle: commit keeps, rollback undoes, and dispose rolls back what was not committed', async () => {
  await using session = await open()
  const kept = await session.beginNested()
  await add(session, 'kept')
  await kept.commit()
  const undone = await session.beginNested()
  await add(session, 'undone')
  await undone.rollback()
  await undone.rollback()
  {
    await using _forgotten = await session.beginNested()
    await add(session, 'forgotten')
  }
  await session.commit()
  expect(await stored()).toEqual(['kept'])
})

test('a savepoint handle recovers from a failed statement', async () => {
  await using session = await open()
  await add(session, 'outer')
  const savepoint = await session.beginNested()
  await add(session, 'inner')
  await add(session, 'outer').catch(() => undefined)
  await expect(add(session, 'more')).rejects.toBeInstanceOf(TransactionAbortedError)
  await savepoint.rollback()
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after', 'outer'])
})

test('committing a savepoint handle whose statement had failed rolls it back and says so', async () => {
  await using session = await open()
  await add(session, 'outer')
  const savepoint = await session.beginNested()
  await add(session, 'outer').catch(() => undefined)
  await expect(savepoint.commit()).rejects.toBeInstanceOf(TransactionAbortedError)
  await session.commit()
  expect(await stored()).toEqual(['outer'])
})

test('a savepoint handle that has ended, by itself or with its transaction, cannot be committed', async () => {
  await using session = await open()
  const first = await session.beginNested()
  await first.commit()
  expect(await errorOf(first.commit())).toMatchObject({
    code: 'ILLEGAL_STATE',
    message: 'Cannot commit the savepoint: it was committed already',
  })
  const undone = await session.beginNested()
  await undone.rollback()
  expect(await errorOf(undone.commit())).toHaveProperty(
    'message',
    'Cannot commit the savepoint: it was rolled back already',
  )

  const second = await session.beginNested()
  await add(session, 'second')
  await session.commit()
  expect(await errorOf(second.commit())).toMatchObject({
    code: 'ILLEGAL_STATE',
    message: 'Cannot commit the savepoint: its transaction, or a savepoint around it, has ended',
  })
  await second.rollback()
  expect(await stored()).toEqual(['second'])
})

test('ending an outer handle ends the handles inside it', async () => {
  await using session = await open()
  const outer = await session.beginNested()
  await add(session, 'outer')
  const inner = await session.beginNested()
  await add(session, 'inner')
  await outer.rollback()
  await expect(inner.commit()).rejects.toBeInstanceOf(IllegalStateError)
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after'])
})

test('a nested block begins the transaction where there is none', async () => {
  await using session = await open()
  await session.beginNested(() => add(session, 'inner'))
  expect(session.inTransaction).toBe(true)
  await session.rollback()
  expect(await stored()).toEqual([])
})

test('nested blocks work on a connection, too', async () => {
  await fixture.db.query('truncate notes')
  await fixture.engine().begin(async (connection) => {
    await connection.execute("insert into notes values ('outer')")
    await connection
      .beginNested(() => connection.execute("insert into notes values ('outer')"))
      .catch(() => undefined)
    await connection.beginNested(() => connection.execute("insert into notes values ('inner')"))
  })
  expect(await stored()).toEqual(['inner', 'outer'])
})

test('a connection that dies inside a block: the block, the transaction and nothing else fail', async () => {
  await using session = await open()
  await add(session, 'outer')
  const failure = await errorOf(
    session.beginNested(async () => {
      const pid = await session.scalar<number>('select pg_backend_pid()')
      await terminate(fixture.db, pid ?? undefined)
      await add(session, 'inner')
    }),
  )
  expect(failure['code']).toBe('CONNECTION_LOST')
  await expect(add(session, 'more')).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  await session.rollback()
  await add(session, 'after')
  await session.commit()
  expect(await stored()).toEqual(['after'])
})
