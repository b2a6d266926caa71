import { expect, test } from 'vitest'
import {
  IllegalStateError,
  SessionClosedError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import { UniqueViolationError } from '../../src/database-errors.js'
import type { Session } from '../../src/session/session.js'
import { withSession } from '../../src/session/session-factory.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf, errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table notes (text text primary key)',
  `create table later (id int primary key, note text
     references notes deferrable initially deferred)`,
)

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

async function emptyFactory(...options: Parameters<typeof fixture.factory>) {
  await fixture.db.query('truncate notes, later')
  return fixture.factory(...options)
}

test('a session takes a connection at its first statement, and gives it back at commit, rollback and close', async () => {
  const sessions = await emptyFactory()
  const { bind } = sessions
  const session = sessions()
  expect(bind.stats().borrowed).toBe(0)
  for (const end of ['commit', 'rollback'] as const) {
    await session.execute('select 1')
    expect(bind.stats().borrowed).toBe(1)
    expect(session.inTransaction).toBe(true)
    await session[end]()
    expect(bind.stats().borrowed).toBe(0)
    expect(session.inTransaction).toBe(false)
  }
  await session.execute('select 1')
  await session.close()
  expect(bind.stats().borrowed).toBe(0)
})

test('commit as you go: each commit stores, each rollback undoes, and the session goes on', async () => {
  const sessions = await emptyFactory()
  await using session = sessions()
  await add(session, 'one')
  await session.commit()
  await add(session, 'two')
  await session.rollback()
  await add(session, 'three')
  await session.commit()
  await add(session, 'four')
  expect(await stored()).toEqual(['one', 'three'])
})

test('close that is called again waits for the same end; a hook of that end waits for nothing', async () => {
  const sessions = await emptyFactory()
  const session = sessions()
  await add(session, 'one')
  let inHook = 0
  session.afterRollback(async () => {
    await session.close()
    inHook++
  })
  void session.close()
  await session.close()
  expect(inHook).toBe(1)
  expect(sessions.bind.stats().borrowed).toBe(0)
  expect(await stored()).toEqual([])
})

test('close undoes what was not committed, and is final', async () => {
  const sessions = await emptyFactory()
  const session = sessions()
  await add(session, 'one')
  await session.close()
  await session.close()
  expect(session.closed).toBe(true)
  expect(await stored()).toEqual([])
  for (const use of [
    () => add(session, 'two'),
    () => session.scalar('select 1'),
    () => session.commit(),
    () => session.rollback(),
    () => session.begin(() => undefined),
    () => session.executeScript('select 1'),
    () => session.beginNested(() => session.execute('select 1')),
    () => session.stream('select 1')[Symbol.asyncIterator]().next(),
    () => session.copyTo('copy notes to stdout'),
  ]) {
    expect(await errorOf(use())).toBeInstanceOf(SessionClosedError)
  }
  expect(sessions.bind.stats().borrowed).toBe(0)
})

test('await using closes the session, also when the block throws', async () => {
  const sessions = await emptyFactory()
  let escaped: Session | undefined
  await expect(
    (async () => {
      await using session = sessions()
      escaped = session
      await add(session, 'one')
      throw new Error('enough')
    })(),
  ).rejects.toThrow('enough')
  expect(escaped?.closed).toBe(true)
  expect(sessions.bind.stats().borrowed).toBe(0)
  expect(await stored()).toEqual([])
})

test('commit and rollback without a transaction do nothing', async () => {
  const sessions = await emptyFactory()
  await using session = sessions()
  await session.commit()
  await session.rollback()
  expect(sessions.bind.stats().size).toBe(0)
})

test('withSession commits what its block did and gives its value', async () => {
  const sessions = await emptyFactory()
  const { withSession: bound } = sessions
  expect(await bound(async (session) => (await add(session, 'one')).rowCount)).toBe(1)
  expect(await withSession(sessions, () => 'at once')).toBe('at once')
  expect(await stored()).toEqual(['one'])
  expect(sessions.bind.stats().borrowed).toBe(0)
})

test('withSession rolls back when its block throws, and throws the very same thing', async () => {
  const { withSession: run, bind } = await emptyFactory()
  const reason = new Error('enough')
  const failure = await errorOf(
    run(async (session) => {
      await add(session, 'one')
      throw reason
    }),
  )
  expect(failure).toBe(reason)
  // Also something that is no error, and synchronously.
  await expect(
    run(() => {
      throw 'a string' as unknown as Error
    }),
  ).rejects.toBe('a string')
  expect(await stored()).toEqual([])
  expect(bind.stats().borrowed).toBe(0)
})

test('the first error is thrown, also when the rollback cannot succeed', async () => {
  const { withSession: run } = await emptyFactory()
  await expect(
    run(async (session) => {
      await terminate(fixture.db, (await session.scalar<number>('select pg_backend_pid()')) ?? 0)
      throw new Error('the first one')
    }),
  ).rejects.toThrow('the first one')
})

test('a session is closed after its block, and says so when it is used', async () => {
  const { withSession: run } = await emptyFactory()
  for (const options of [{}, { readOnly: true }, { commit: false }, { autocommit: true }]) {
    let escaped: Session | undefined
    await run(async (session) => {
      escaped = session
      await session.execute('select 1')
    }, options)
    const failure = await errorOf((escaped as Session).execute('select 1'))
    expect(failure).toBeInstanceOf(SessionClosedError)
    expect(failure.message).toContain('the factory')
  }
})

test('commit: false rolls back also when the block returns', async () => {
  const { withSession: run } = await emptyFactory()
  const count = await run(
    async (session) => {
      await add(session, 'one')
      return session.scalar<string>('select count(*) from notes')
    },
    { commit: false },
  )
  expect(count).toBe('1')
  await run((session) => add(session, 'two'), { commit: false })
  expect(await stored()).toEqual([])
})

test('a block may commit by itself; what comes after is committed at its end', async () => {
  const { withSession: run } = await emptyFactory()
  await run(async (session) => {
    await add(session, 'one')
    await session.commit()
    await add(session, 'two')
  })
  await errorOf(
    run(async (session) => {
      await add(session, 'three')
      await session.commit()
      await add(session, 'four')
      throw new Error('enough')
    }),
  )
  expect(await stored()).toEqual(['one', 'three', 'two'])
})

test('a block that returns while a statement runs is rolled back, and the error names the statement', async () => {
  const { withSession: run } = await emptyFactory()
  const forgotten: Promise<unknown>[] = []
  const failure = await errorOf(
    run(async (session) => {
      await session.execute('select 1')
      forgotten.push(add(session, 'forgotten'))
      return 'too early'
    }),
  )
  expect(failure).toBeInstanceOf(UnawaitedStatementError)
  expect(failure.message).toContain('insert into notes values ($1)')
  await Promise.allSettled(forgotten)
  expect(await stored()).toEqual([])
})

test('a block that returns while a nested block of it runs is rolled back at once', async () => {
  const { withSession: run } = await emptyFactory()
  const never = gate()
  const forgotten: Promise<unknown>[] = []
  const failure = await errorOf(
    run(async (session) => {
      await add(session, 'one')
      forgotten.push(session.beginNested(() => never.opened))
    }),
  )
  expect(failure).toBeInstanceOf(UnawaitedStatementError)
  expect(await stored()).toEqual([])
  never.open()
  expect(await errorOf(forgotten[0] as Promise<unknown>)).toBeInstanceOf(IllegalStateError)
})

test('a block that throws does not wait for un-awaited nested blocks', async () => {
  const { withSession: run } = await emptyFactory()
  const never = gate()
  const forgotten: Promise<unknown>[] = []
  const failure = await errorOf(
    run(async (session) => {
      forgotten.push(
        session.beginNested(async () => {
          await never.opened
          await add(session, 'late')
        }),
      )
      await Promise.resolve()
      throw new Error('enough')
    }),
  )
  expect(failure.message).toBe('enough')
  never.open()
  await expect(forgotten[0]).rejects.toBeInstanceOf(Error)
  expect(await stored()).toEqual([])
})

test('a failure that the block swallowed makes its commit fail, with that failure as the cause', async () => {
  const { withSession: run } = await emptyFactory()
  const failure = await errorOf(
    run(async (session) => {
      await add(session, 'one')
      await add(session, 'one').catch(() => undefined)
    }),
  )
  expect(failure).toBeInstanceOf(TransactionAbortedError)
  expect(failure.cause).toBeInstanceOf(UniqueViolationError)
  expect(await stored()).toEqual([])
})

test('after a failure each statement and commit fails with the first cause, until rollback', async () => {
  const sessions = await emptyFactory()
  await using session = sessions()
  await add(session, 'one')
  const first = await errorOf(add(session, 'one'))
  for (const attempt of [
    () => add(session, 'two'),
    () => session.commit(),
    () => session.execute('select 1'),
  ]) {
    const failure = await errorOf(attempt())
    expect(failure).toBeInstanceOf(TransactionAbortedError)
    expect(failure.cause).toBe(first)
  }
  expect(session.inTransaction).toBe(true)
  await session.rollback()
  await add(session, 'three')
  await session.commit()
  expect(await stored()).toEqual(['three'])
})

test('a deferred constraint that fails at COMMIT fails the block, and nothing is stored', async () => {
  const { withSession: run } = await emptyFactory()
  const failure = await errorOf(
    run(async (session) => {
      await add(session, 'one')
      await session.execute("insert into later values (1, 'missing')")
    }),
  )
  expect(failure['sqlState']).toBe('23503')
  // Also where COMMIT travels with the only statement.
  const riding = await errorOf(run((session) => session.execute("insert into later values (1, 'missing')")))
  expect(riding['sqlState']).toBe('23503')
  expect(await stored()).toEqual([])
  expect(await fixture.db.query('select * from later')).toEqual([])
})

test('a session whose commit failed can be used again after rollback', async () => {
  const sessions = await emptyFactory()
  await using session = sessions()
  await session.execute("insert into later values (1, 'missing')")
  expect((await errorOf(session.commit()))['sqlState']).toBe('23503')
  await expect(add(session, 'one')).rejects.toBeInstanceOf(TransactionAbortedError)
  await session.rollback()
  await add(session, 'two')
  await session.commit()
  expect(await stored()).toEqual(['two'])
})

test('in autocommit mode every statement is stored by itself, and takes its connection for itself', async () => {
  const sessions = await emptyFactory({}, { autocommit: true })
  await using session = sessions()
  expect(session.autocommit).toBe(true)
  await add(session, 'one')
  expect(session.inTransaction).toBe(false)
  expect(sessions.bind.stats().borrowed).toBe(0)
  await errorOf(add(session, 'one'))
  await add(session, 'two')
  await session.rollback()
  expect(await stored()).toEqual(['one', 'two'])
})

test('begin() gives an autocommit session a transaction for one block', async () => {
  const sessions = await emptyFactory({}, { autocommit: true })
  await using session = sessions()
  const failure = await errorOf(
    session.begin(async () => {
      await add(session, 'one')
      expect(session.inTransaction).toBe(true)
      throw new Error('enough')
    }),
  )
  expect(failure.message).toBe('enough')
  expect(await session.begin(() => add(session, 'two'))).toMatchObject({ rowCount: 1 })
  await add(session, 'three')
  expect(session.inTransaction).toBe(false)
  expect(await stored()).toEqual(['three', 'two'])
})

test('begin() is refused while a transaction is open, and takes nothing but a function', async () => {
  const sessions = await emptyFactory()
  await using session = sessions()
  for (const block of [session.begin('work' as never), session.beginNested('work' as never)]) {
    await expect(block).rejects.toMatchObject({ code: 'INVALID_OPTION' })
  }
  await session.begin(() => add(session, 'one'))
  await add(session, 'two')
  await expect(session.begin(() => undefined)).rejects.toBeInstanceOf(IllegalStateError)
  await session.commit()
  expect(await stored()).toEqual(['one', 'two'])
})

test('a connection that died while the session held none is not noticed', async () => {
  const sessions = await emptyFactory({ poolSize: 1, maxOverflow: 0, prePingSkipMillis: 0 })
  await using session = sessions()
  const pid = (await session.scalar<number>('select pg_backend_pid()')) ?? 0
  await session.commit()
  await terminate(fixture.db, pid)
  await add(session, 'one')
  await session.commit()
  expect(await stored()).toEqual(['one'])
})

test('a connection that dies within a transaction fails everything in it, until rollback', async () => {
  const sessions = await emptyFactory()
  await using session = sessions()
  await add(session, 'one')
  await terminate(fixture.db, (await session.scalar<number>('select pg_backend_pid()')) ?? 0)
  for (const attempt of [() => add(session, 'two'), () => session.commit()]) {
    expect((await errorOf(attempt()))['code']).toBe('CONNECTION_LOST')
  }
  await session.rollback()
  await add(session, 'three')
  await session.commit()
  expect(await stored()).toEqual(['three'])
})

test('a session that was forgotten gives its connection back when it is collected, and is reported', async () => {
  const sessions = await emptyFactory({ captureStacks: true, idleTimeoutMillis: 50 })
  const { bind } = sessions
  const leaks: { stage: string; stack: string | undefined }[] = []
  bind.on('leak', ({ stage, stack }) => void leaks.push({ stage, stack }))
  await (async () => {
    await sessions().execute('select 1')
  })()
  expect(bind.stats().borrowed).toBe(1)
  await waitUntil(() => {
    globalThis.gc?.()
    return bind.stats().borrowed === 0
  })
  expect(leaks).toMatchObject([{ stage: 'reclaimed' }])
  expect(leaks[0]?.stack).toContain('session-lifetime.test.ts')
})

test('info belongs to the session; that of the factory is copied into it', async () => {
  const sessions = await emptyFactory({}, { info: { app: 'songs', request: 0 } })
  await using first = sessions({ info: { request: 1 } })
  await using second = sessions()
  first.info['user'] = 'me'
  expect(first.info).toEqual({ app: 'songs', request: 1, user: 'me' })
  expect(second.info).toEqual({ app: 'songs', request: 0 })
})

test('a session of the class that the factory was given has its methods', async () => {
  await fixture.db.query('truncate notes, later')
  const { Session: Base } = await import('../../src/session/session.js')
  const { createSessionFactory } = await import('../../src/session/session-factory.js')
  class NoteSession extends Base {
    addNote(text: string) {
      return this.execute('insert into notes values ($1)', [text])
    }
  }
  const sessions = createSessionFactory({ bind: fixture.engine(), sessionClass: NoteSession })
  await sessions.withSession((session) => session.addNote('one'))
  await using session = sessions()
  expect(session).toBeInstanceOf(NoteSession)
  expect(await stored()).toEqual(['one'])
})

test('no backend is left in a transaction, whatever became of the block', async () => {
  const name = 'lifetime-endings'
  const { withSession: run } = await emptyFactory({
    connectArgs: { serverSettings: { application_name: name } },
  })
  await Promise.allSettled([
    run((session) => add(session, 'one')),
    run(async (session) => {
      await add(session, 'two')
      throw new Error('enough')
    }),
    run((session) => session.execute('not sql')),
    run((session) => session.execute('select 1'), { readOnly: true }),
    run(
      async (session) => {
        await session.execute('select 1')
        await session.execute('select 2')
      },
      { readOnly: true },
    ),
  ])
  await waitUntil(async () => (await backendsOf(fixture.db, name)).every(({ state }) => state === 'idle'))
  expect(await stored()).toEqual(['one'])
})
