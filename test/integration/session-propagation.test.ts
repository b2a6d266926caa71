import { expect, test } from 'vitest'
import {
  IllegalStateError,
  SessionClosedError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

async function emptyFactory(...options: Parameters<typeof fixture.factory>): Promise<SessionFactory> {
  await fixture.db.query('truncate notes')
  return fixture.factory(...options)
}

const backend = (session: Session) => session.scalar<number>('select pg_backend_pid()')

test('required joins the session around it: one connection, one transaction', async () => {
  const { withSession } = await emptyFactory()
  await withSession(async (outer) => {
    const pid = await backend(outer)
    const value = await withSession(
      async (inner) => {
        expect(inner).toBe(outer)
        expect(await backend(inner)).toBe(pid)
        await add(inner, 'inner')
        return 'value'
      },
      { propagation: 'required' },
    )
    expect(value).toBe('value')
    expect(outer.inTransaction).toBe(true)
    expect(await stored()).toEqual([])
  })
  expect(await stored()).toEqual(['inner'])
})

test('a joined block that throws dooms the transaction, also where its error is swallowed', async () => {
  const { withSession } = await emptyFactory()
  const reason = new Error('enough')
  const failure = await errorOf(
    withSession(async (outer) => {
      await add(outer, 'outer')
      await withSession(
        () => {
          throw reason
        },
        { propagation: 'required' },
      ).catch(() => undefined)
    }),
  )
  expect(failure).toBeInstanceOf(TransactionAbortedError)
  expect(failure.cause).toBe(reason)
  expect(await stored()).toEqual([])
})

test('a failed transaction is not committed if COMMIT is not awaited', async () => {
  const { withSession } = await emptyFactory()
  const failure = await errorOf(
    withSession(
      async (outer) => {
        await outer.execute('select 1')
        await withSession(() => Promise.reject(new Error('enough')), { propagation: 'required' }).catch(
          () => undefined,
        )
      },
      { readOnly: true },
    ),
  )
  expect(failure).toBeInstanceOf(TransactionAbortedError)
})

test.each(['required', 'mandatory'] as const)(
  'a block that has joined (%s) and is not awaited fails the block around it, and stores nothing',
  async (propagation) => {
    const { withSession } = await emptyFactory()
    const going = gate()
    let floating: Promise<unknown> | undefined
    const failure = await errorOf(
      withSession(async (outer) => {
        await add(outer, 'outer')
        floating = withSession(
          async (inner) => {
            await going.opened
            await add(inner, 'inner')
          },
          { propagation },
        )
      }),
    )
    expect(failure).toBeInstanceOf(UnawaitedStatementError)
    expect(failure.message).toContain('a block that had joined it was still running')
    going.open()
    expect(await errorOf(floating as Promise<unknown>)).toBeInstanceOf(SessionClosedError)
    expect(await stored()).toEqual([])
  },
)

test('COMMIT is not sent while a joined block runs, and a failure of that block is handled', async () => {
  const { withSession } = await emptyFactory()
  const going = gate()
  const failure = await errorOf(
    withSession((outer) => {
      void withSession(() => going.opened.then(() => Promise.reject(new Error('late'))), {
        propagation: 'required',
      })
      return add(outer, 'outer')
    }),
  )
  expect(failure).toBeInstanceOf(UnawaitedStatementError)
  going.open()
  await going.opened
  expect(await stored()).toEqual([])
})

test('after a rollback the session is doomed no more', async () => {
  const { withSession } = await emptyFactory()
  await withSession(async (outer) => {
    await withSession(() => Promise.reject(new Error('enough')), { propagation: 'required' }).catch(
      () => undefined,
    )
    await outer.rollback()
    await add(outer, 'after')
  })
  expect(await stored()).toEqual(['after'])
})

test('nested runs in a savepoint of the session around it', async () => {
  const { withSession } = await emptyFactory()
  await withSession(async (outer) => {
    await add(outer, 'outer')
    await withSession((inner) => add(inner, 'kept'), { propagation: 'nested' })
    await withSession(
      async (inner) => {
        expect(inner).toBe(outer)
        await add(inner, 'undone')
        throw new Error('enough')
      },
      { propagation: 'nested' },
    ).catch(() => undefined)
  })
  expect(await stored()).toEqual(['kept', 'outer'])
})

test('requiresNew takes a session of its own, which is committed by itself', async () => {
  const { withSession } = await emptyFactory()
  await withSession(async (outer) => {
    const pid = await backend(outer)
    await withSession(
      async (inner) => {
        expect(inner).not.toBe(outer)
        expect(await backend(inner)).not.toBe(pid)
        await add(inner, 'inner')
      },
      { propagation: 'requiresNew' },
    )
    await add(outer, 'outer')
    throw new Error('enough')
  }).catch(() => undefined)
  expect(await stored()).toEqual(['inner'])
})

test('mandatory joins, and is refused where there is nothing to join', async () => {
  const { withSession } = await emptyFactory()
  const failure = await errorOf(withSession(() => undefined, { propagation: 'mandatory' }))
  expect(failure).toBeInstanceOf(IllegalStateError)
  expect(failure.message).toContain('mandatory')
  await withSession((outer) =>
    withSession((inner) => expect(inner).toBe(outer), { propagation: 'mandatory' }),
  )
})

test.each(['required', 'nested', 'requiresNew'] as const)(
  '%s opens a session where there is none',
  async (propagation) => {
    const { withSession } = await emptyFactory()
    await withSession((session) => add(session, 'one'), { propagation })
    expect(await stored()).toEqual(['one'])
  },
)

test('by default a block inside a block takes its own session, and the first one is warned about', async () => {
  const { withSession } = await emptyFactory()
  const warnings: (Error & { code?: string })[] = []
  const listen = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listen)
  try {
    for (let time = 0; time < 2; time++) {
      await withSession(async (outer) => {
        await withSession((inner) => expect(inner).not.toBe(outer))
        await withSession(() => undefined, {})
        await withSession(() => undefined, { propagation: 'requiresNew' })
      })
    }
    await new Promise(setImmediate)
  } finally {
    process.off('warning', listen)
  }
  expect(warnings.map(({ code }) => code)).toEqual(['LIFEGUARD_NESTED_SESSION'])
  expect(warnings[0]?.message).toContain('propagation')
})

test('current() is the session of the innermost block, wherever its code goes', async () => {
  const sessions = await emptyFactory()
  const { withSession, current } = sessions
  expect(current()).toBeUndefined()
  await withSession(async (outer) => {
    expect(current()).toBe(outer)
    await new Promise<void>((resolve) => setTimeout(() => (expect(current()).toBe(outer), resolve()), 0))
    await outer.execute('select 1')
    expect(current()).toBe(outer)
    await withSession((inner) => expect(current()).toBe(inner), { propagation: 'requiresNew' })
    expect(current()).toBe(outer)
    // A session of another factory is none of ours.
    await fixture.factory().withSession(() => expect(current()).toBe(outer))
  })
  expect(current()).toBeUndefined()
})

test('blocks that run at the same time do not see each other', async () => {
  const { withSession, current } = await emptyFactory()
  const both = gate()
  let entered = 0
  await Promise.all(
    ['a', 'b'].map((name) =>
      withSession(async (session) => {
        if (++entered === 2) both.open()
        await both.opened
        expect(current()).toBe(session)
        await add(session, name)
      }),
    ),
  )
  expect(await stored()).toEqual(['a', 'b'])
})

test('code that outlives its block joins nothing: it opens a session, or is refused', async () => {
  const { withSession } = await emptyFactory()
  const ended = gate()
  let late: Promise<unknown>[] = []
  await withSession((session) => {
    late = [
      ended.opened.then(() =>
        withSession((own) => expect(own).not.toBe(session), { propagation: 'required' }),
      ),
      ended.opened.then(() => errorOf(withSession(() => undefined, { propagation: 'mandatory' }))),
    ]
  })
  ended.open()
  const [, refusal] = await Promise.all(late)
  expect(refusal).toBeInstanceOf(IllegalStateError)
})

test('a pool that runs dry because blocks wait for themselves says so, and names their lines', async () => {
  const { withSession } = await emptyFactory({
    poolSize: 1,
    maxOverflow: 0,
    poolTimeoutMillis: 0,
    captureStacks: true,
  })
  const failure = await errorOf(
    withSession(async (outer) => {
      await outer.execute('select 4711')
      await withSession((inner) => inner.execute('select 1'), { propagation: 'requiresNew' })
    }),
  )
  expect(failure).toBeInstanceOf(PoolTimeoutError)
  expect(failure.message).toContain('holds 1 of them itself')
  expect(failure.message).toContain('select 4711')
  expect(failure.message).toContain('session-propagation.test.ts')
})

test('the line that took a connection is shown with no fewer calls around it than Node shows of an error', async () => {
  const { withSession } = await emptyFactory({
    poolSize: 1,
    maxOverflow: 0,
    poolTimeoutMillis: 0,
    captureStacks: true,
  })
  const query = (session: Session, depth: number): Promise<unknown> =>
    depth === 0 ? session.scalar('select 1') : query(session, depth - 1)
  const failure = await errorOf(
    withSession(async (outer) => {
      await query(outer, 100)
      await withSession(backend, { propagation: 'requiresNew' })
    }),
  )
  expect(failure.message.match(/at query /g)?.length).toBeGreaterThanOrEqual(Error.stackTraceLimit)
})

test('commit: false is refused for a block without a session of its own', async () => {
  const { withSession } = await emptyFactory()
  for (const propagation of ['required', 'mandatory', 'nested'] as const) {
    const failure = await errorOf(
      withSession((outer) => withSession(() => add(outer, 'inner'), { propagation, commit: false })),
    )
    expect(failure).toMatchObject({ code: 'INVALID_OPTION', option: 'commit' })
  }
  expect(await stored()).toEqual([])
})
