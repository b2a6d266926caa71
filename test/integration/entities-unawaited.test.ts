/** What a block has forgotten to await: reported once, truly, and by nothing that would end the process. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  NoResultError,
  select,
  TransactionAbortedError,
  UnawaitedStatementError,
  UniqueViolationError,
  type Session,
} from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { Artist, Song, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities()
const titles = () =>
  fixture.db
    .query<{ title: string }>('select title from songs order by id')
    .then((rows) => rows.map(({ title }) => title))
const INSERT = `insert into songs (title, plays) values ('by hand', 0)`

/** The rejections that stay unhandled while `work` runs. Everywhere else the guard of the fixture finds them. */
async function unheardWhile(work: (unheard: readonly unknown[]) => Promise<void>): Promise<unknown[]> {
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  const unheard: unknown[] = []
  process.on('unhandledRejection', (reason) => void unheard.push(reason))
  try {
    await work(unheard)
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const listener of listeners) process.on('unhandledRejection', listener)
  }
  return unheard
}

const sameName = (session: Session): void =>
  session.addAll([new Artist({ name: 'twice' }), new Artist({ name: 'twice' })])

/** What fails, and must have been awaited. */
const FORGOTTEN: Record<string, (session: Session) => Promise<unknown>> = {
  'getOne of what is not there': (session) => session.getOne(Song, 404),
  'get with a failing relation': (session) => session.get(Artist, 1, { load: ['albums'] }),
  'get that PostgreSQL refuses': (session) => session.get(Song, 2 ** 40),
  'a failing flush': (session) => {
    sameName(session)
    return session.flush()
  },
  'a query behind a failing flush': (session) => {
    sameName(session)
    return session.scalars(select(Song))
  },
  'a query with relations': (session) => session.scalars(select(Artist).load('albums')),
  merge: (session) => session.merge(new Song({ id: 404, title: 'x' })),
  'a script': (session) => session.executeScript('select 1; select 1 / 0'),
  'an empty nested block': (session) => session.beginNested(() => undefined),
  'a nested block with a query': (session) => session.beginNested(() => session.execute('select 1')),
  'a nested block that throws': (session) =>
    session.beginNested(async () => {
      await session.execute('select 1')
      throw new RangeError('inside')
    }),
  noAutoflush: (session) => session.noAutoflush(() => session.getOne(Song, 404)),
}

describe('a forgotten await', () => {
  test.each(Object.keys(FORGOTTEN))('in front of %s is reported, and ends no process', async (name) => {
    await fixture.db.query(`insert into artists (name) values ('Joni')`)
    const block = fixture.factory().withSession(async (session) => {
      await session.execute(INSERT)
      void FORGOTTEN[name]?.(session)
    })
    expect(await errorOf(block)).toBeInstanceOf(UnawaitedStatementError)
    expect(await titles()).toEqual([])
  })

  test.each(Object.keys(FORGOTTEN))('in front of %s does not hide an error thrown', async (name) => {
    await fixture.db.query(`insert into artists (name) values ('Joni')`)
    const block = fixture.factory().withSession((session) => {
      void FORGOTTEN[name]?.(session)
      throw new RangeError('first')
    })
    expect(await errorOf(block)).toBeInstanceOf(RangeError)
  })

  test('in front of a statement that waits for a nested block is reported, and ends no process', async () => {
    const block = fixture.factory().withSession((session) => {
      void session.beginNested(() => session.execute('select 1'))
      void session.execute('select 2')
    })
    expect(await errorOf(block)).toBeInstanceOf(UnawaitedStatementError)
  })

  test('in front of a flush that has failed since then is reported by commit', async () => {
    const block = fixture.factory().withSession(async (session) => {
      await session.execute('select 1')
      sameName(session)
      void session.flush()
      // The server has answered before that query, so its answer is read in this turn of the event loop at the latest.
      const aborted = `select from pg_stat_activity where state = 'idle in transaction (aborted)' and datname = current_database()`
      await waitUntil(async () => (await fixture.db.query(aborted)).length === 1)
      await setImmediate()
    })
    const error = await errorOf(block)
    expect([error instanceof TransactionAbortedError, error.cause instanceof UniqueViolationError]).toEqual([
      true,
      true,
    ])
  })

  test('inside a nested block is reported by that, and ends no process', async () => {
    const reported = await fixture.factory().withSession(async (session) => {
      await session.execute(INSERT)
      const error = await errorOf(session.beginNested(() => void session.getOne(Song, 404)))
      await session.execute('select 1')
      return error
    })
    expect(reported).toBeInstanceOf(UnawaitedStatementError)
    expect(await titles()).toEqual(['by hand'])
  })
})

test.each<[string, (session: Session) => Promise<unknown>]>([
  ['getOne', (session) => session.getOne(Song, 404)],
  ['a nested block', (session) => session.beginNested(() => session.getOne(Song, 404))],
])('a failure that nothing else tells of is heard: %s', async (_name, forgotten) => {
  let promise: Promise<unknown> | undefined
  const unheard = await unheardWhile(async (heard) => {
    await fixture.factory().withSession(async (session) => {
      promise = forgotten(session)
      await waitUntil(() => heard.length > 0)
    })
  })
  expect(unheard).toEqual([await errorOf(promise as Promise<unknown>)])
  expect(unheard[0]).toBeInstanceOf(NoResultError)
})

describe('a commit that a block does not await', () => {
  test.each<[string, (session: Session) => void]>([
    ['new objects', (session) => session.add(new Song({ title: 'by hand' }))],
    ['statements', (session) => void session.execute(INSERT)],
  ])('stores %s, and the block waits for it', async (_name, work) => {
    const factory = fixture.factory()
    await factory.withSession((session) => {
      work(session)
      void session.commit()
    })
    expect(await titles()).toEqual(['by hand'])
  })

  test.each(['beforeCommit', 'beforeFlush', 'afterFlush', 'afterCommit'] as const)(
    'has its %s hooks run before the block is over',
    async (event) => {
      const factory = fixture.factory()
      const seen: string[] = []
      factory.on(event, async (session) => {
        seen.push(event)
        if (event !== 'afterCommit') await session.execute('select 1')
      })
      await factory.withSession((session) => {
        session.add(new Song({ title: 'stored' }))
        void session.commit()
      })
      expect([await titles(), seen[0]]).toEqual([['stored'], event])
    },
  )

  test('fails the block if it fails', async () => {
    const block = fixture.factory().withSession((session) => {
      sameName(session)
      void session.commit()
    })
    expect(await errorOf(block)).toBeInstanceOf(UniqueViolationError)
  })

  test('does not cover later changes', async () => {
    const block = fixture.factory().withSession(async (session) => {
      await session.execute('select 1')
      session.add(new Song({ title: 'stored' }))
      void session.commit()
      void session.execute('select pg_sleep(0.1)')
    })
    const error = await errorOf(block)
    expect(error).toBeInstanceOf(UnawaitedStatementError)
    expect(error.message).toContain('its transaction was rolled back')
    expect(await titles()).toEqual(['stored'])
  })
})

test('a rollback that a block does not await undoes what came before it', async () => {
  const factory = fixture.factory()
  const seen: string[] = []
  factory.on('afterRollback', () => void seen.push('rolled back'))
  await factory.withSession(async (session) => {
    await session.execute(INSERT)
    session.add(new Song({ title: 'undone' }))
    void session.rollback()
  })
  expect([await titles(), seen]).toEqual([[], ['rolled back']])
})
