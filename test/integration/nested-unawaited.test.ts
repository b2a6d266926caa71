/** A nested block that returns while something inside of it still runs is refused, whatever that is; what follows it is not harmed. */
import { describe, expect, test } from 'vitest'
import { AbortedError, UnawaitedStatementError } from '../../src/errors.js'
import type { Session } from '../../src/session/session.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

/** The caller has forgotten the promise, and hears of its failure elsewhere. */
function forget(promise: Promise<unknown>): void {
  promise.catch(() => undefined)
}

const slowly = (session: Session) => async (): Promise<void> => {
  await session.execute('select pg_sleep(0.05)')
  await add(session, 'of the block inside')
}

const FORGOTTEN: readonly (readonly [what: string, leave: (session: Session) => void | Promise<void>])[] = [
  ['a statement', (session) => forget(add(session, 'forgotten'))],
  ['a script', (session) => forget(session.executeScript("insert into notes values ('forgotten')"))],
  ['a block', (session) => forget(session.beginNested(slowly(session)))],
  [
    'a block that has not sent anything',
    (session) => forget(session.beginNested(() => new Promise(() => {}))),
  ],
  [
    'two blocks',
    (session) => {
      forget(session.beginNested(slowly(session)))
      forget(session.beginNested(slowly(session)))
    },
  ],
  [
    'a block, and a statement that waits for its end',
    (session) => {
      forget(session.beginNested(slowly(session)))
      forget(add(session, 'forgotten'))
    },
  ],
  [
    'a statement in a savepoint',
    async (session) => {
      await session.beginNested()
      forget(add(session, 'forgotten'))
    },
  ],
  [
    'a block in a block',
    (session) => session.beginNested(() => forget(session.beginNested(slowly(session)))),
  ],
]

describe('a nested block that forgets', () => {
  test.each(FORGOTTEN)('%s is rolled back and says so, and the transaction goes on', async (_, leave) => {
    await fixture.db.query('truncate notes')
    const { withSession } = fixture.factory()
    const failure = await withSession(async (session) => {
      await add(session, 'before')
      const error = await errorOf(session.beginNested(() => leave(session)))
      await add(session, 'after')
      return error
    })
    expect(failure).toBeInstanceOf(UnawaitedStatementError)
    expect(failure.message).toMatch(/^A nested block returned while .* \(an await is missing\)/)
    expect(await stored()).toEqual(['after', 'before'])
  })
})

test('blocks that are awaited together are not forgotten', async () => {
  await fixture.db.query('truncate notes')
  const { withSession } = fixture.factory()
  await withSession((session) =>
    session.beginNested(async () => {
      await Promise.all([
        session.beginNested(() => add(session, 'a')),
        session.beginNested(() => session.beginNested(() => add(session, 'b'))),
        add(session, 'c'),
      ])
    }),
  )
  expect(await stored()).toEqual(['a', 'b', 'c'])
})

test('a savepoint inside is released after the statements that it was left with', async () => {
  await fixture.db.query('truncate notes')
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    const outer = await session.beginNested()
    await session.beginNested()
    const adding = add(session, 'a')
    await outer.commit()
    await adding
    await add(session, 'b')
  })
  expect(await stored()).toEqual(['a', 'b'])
})

test('a block whose only statement was taken back before it was sent leaves the transaction as it was', async () => {
  await fixture.db.query('truncate notes')
  const { withSession } = fixture.factory()
  const taken = await withSession(async (session) => {
    const error = await session.beginNested(() => {
      const controller = new AbortController()
      const adding = session.execute("insert into notes values ('a')", { signal: controller.signal })
      controller.abort()
      return errorOf(adding)
    })
    await add(session, 'b')
    return error
  })
  expect(taken).toBeInstanceOf(AbortedError)
  expect(await stored()).toEqual(['b'])
})

describe('the error of a missing await names the line of each statement', () => {
  const LINES = /insert into notes values \('a'\) \(issued at .*nested-unawaited\.test\.ts:\d+:\d+\)?\)$/

  test.each<[string, (session: Session) => unknown]>([
    ['in a block', (session) => forget(session.execute("insert into notes values ('a')"))],
    [
      'in a nested block',
      (session) => session.beginNested(() => forget(session.execute("insert into notes values ('a')"))),
    ],
    [
      'after a statement that was awaited',
      async (session) => {
        await session.execute('select 1')
        forget(session.execute("insert into notes values ('a')"))
      },
    ],
  ])('%s', async (_where, work) => {
    const { withSession } = fixture.factory()
    const failure = await errorOf(withSession(async (session) => void (await work(session))))
    expect(failure).toBeInstanceOf(UnawaitedStatementError)
    expect(failure.message).toMatch(LINES)
  })

  test('of two statements, each has its own', async () => {
    const { withSession } = fixture.factory()
    const failure = await errorOf(
      withSession((session) => {
        forget(session.execute('select 1'))
        forget(session.execute('select 2'))
      }),
    )
    const [one, other] = [...failure.message.matchAll(/test\.ts:(\d+):/g)].map(([, line]) => Number(line))
    expect(other).toBe(Number(one) + 1)
  })

  test('not without captureStacks, as in production', async () => {
    const { withSession } = fixture.factory({ captureStacks: false })
    const failure = await errorOf(
      withSession((session) => forget(session.execute("insert into notes values ('a')"))),
    )
    expect(failure.message).toMatch(/insert into notes values \('a'\)$/)
  })
})
