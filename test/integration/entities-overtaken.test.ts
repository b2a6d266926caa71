/** What a hook, or a call beside it, may do to the transaction that is waiting for it: never a commit that stores nothing. */
import { describe, expect, test } from 'vitest'
import {
  AbortedError,
  IllegalStateError,
  TransactionAbortedError,
  type Session,
  type SessionEvent,
} from '../../src/index.js'
import { Artist, Song, statusOf, useEntities } from './entities-support.js'
import { errorOf, gate } from './session-support.js'

const fixture = useEntities()
const titles = () =>
  fixture.db
    .query<{ title: string }>('select title from songs order by id')
    .then((rows) => rows.map(({ title }) => title))
const BEFORE = ['beforeCommit', 'beforeFlush', 'afterFlush'] as const
const ENDS = ['rollback', 'close'] as const
const CASES = BEFORE.flatMap((event) => ENDS.map((end) => [event, end] as const))

/** A factory whose hook waits until it is told to go on. */
function waiting(event: SessionEvent, options = {}) {
  const factory = fixture.factory({}, options)
  const [reached, goOn] = [gate(), gate()]
  const stop = factory.on(event, async () => {
    reached.open()
    await goOn.opened
  })
  return { factory, reached, goOn, stop }
}

describe('a commit that is overtaken', () => {
  test.each(CASES)('while its %s hooks run, by %s(), says that nothing is stored', async (event, end) => {
    const { factory, reached, goOn } = waiting(event)
    await using session = factory()
    const song = new Song({ title: 'lost' })
    session.add(song)
    const committing = errorOf(session.commit())
    await reached.opened
    const ending = session[end]()
    goOn.open()
    const error = await committing
    await ending
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(error.message).toContain('nothing of it was stored')
    expect([await titles(), statusOf(song)]).toEqual([[], 'transient'])
  })

  test.each(CASES)('in its %s hook, by %s(), fails the block', async (event, end) => {
    const factory = fixture.factory()
    factory.on(event, (session) => session[end]())
    const committed = factory.withSession((session) => session.add(new Song({ title: 'vetoed' })))
    expect(await errorOf(committed)).toBeInstanceOf(TransactionAbortedError)
    expect(await titles()).toEqual([])
  })

  test('works again after the rollback', async () => {
    const { factory, reached, goOn, stop } = waiting('beforeFlush')
    await using session = factory()
    session.add(new Song({ title: 'lost' }))
    const committing = errorOf(session.commit())
    await reached.opened
    await session.rollback()
    session.add(new Song({ title: 'next' }))
    goOn.open()
    await committing
    stop()
    await session.commit()
    expect(await titles()).toEqual(['next'])
  })

  test('while it reads what it has to know first says so, too', async () => {
    await using session = fixture.factory()()
    const song = new Song({ title: 'one' })
    session.add(song)
    await session.commit()
    session.expire(song)
    song.plays = 5
    const committing = errorOf(session.commit())
    await session.rollback()
    expect(await committing).toBeInstanceOf(TransactionAbortedError)
    await session.refresh(song)
    expect(song.plays).toBe(0)
  })

  test('by a rollback that a nested block refuses is not overtaken', async () => {
    const { factory, reached, goOn } = waiting('beforeFlush')
    await using session = factory()
    await session.execute('select 1')
    await session.beginNested(async () => {
      session.add(new Song({ title: 'kept' }))
      const flushing = session.flush()
      await reached.opened
      expect(await errorOf(session.rollback())).toBeInstanceOf(IllegalStateError)
      goOn.open()
      await flushing
    })
    await session.commit()
    expect(await titles()).toEqual(['kept'])
  })
})

describe('a flush that is overtaken', () => {
  test.each(['beforeFlush', 'afterFlush'] as const)('while its %s hooks run fails', async (event) => {
    const { factory, reached, goOn } = waiting(event)
    await using session = factory()
    session.add(new Song({ title: 'lost' }))
    const flushing = errorOf(session.flush())
    await reached.opened
    await session.rollback()
    goOn.open()
    expect(await flushing).toBeInstanceOf(AbortedError)
    await session.commit()
    expect(await titles()).toEqual([])
  })
})

describe.each([false, true])('in a hook of a flush (autocommit: %s)', (autocommit) => {
  const flushing = async (event: SessionEvent, hook: (session: Session) => unknown) => {
    const factory = fixture.factory({}, { autocommit })
    let runs = 0
    factory.on(event, (session) => {
      runs++
      return hook(session)
    })
    await using session = factory()
    session.add(new Song({ title: 'one' }))
    await session.flush()
    if (!autocommit) await session.commit()
    return runs
  }

  test.each(['beforeFlush', 'afterFlush'] as const)('(%s) flush() sends what is there', async (event) => {
    const runs = await flushing(event, async (session) => {
      if (session.new.every((one) => one instanceof Song)) session.add(new Artist({ name: 'by hook' }))
      await session.flush()
      expect(session.new).toEqual([])
    }).catch(() => 'failed')
    expect(runs).toBe(1)
    expect(await titles()).toEqual(['one'])
    expect(await fixture.db.query('select name from artists')).toEqual([{ name: 'by hook' }])
  })

  test.each(['beforeFlush', 'afterFlush'] as const)('(%s) a savepoint keeps its own work', async (event) => {
    await flushing(event, async (session) => {
      await session.beginNested(() => session.add(new Artist({ name: 'audit' })))
      const undone = session.beginNested(() => {
        session.add(new Artist({ name: 'undone' }))
        throw new RangeError('undone')
      })
      expect(await errorOf(undone)).toBeInstanceOf(RangeError)
    })
    expect(await titles()).toEqual(['one'])
    expect(await fixture.db.query('select name from artists')).toEqual([{ name: 'audit' }])
  })

  test.each(['commit', 'begin'] as const)('%s() is refused, and says what to do', async (what) => {
    for (const event of ['beforeFlush', 'afterFlush'] as const) {
      const error = await errorOf(flushing(event, (session) => session[what](() => undefined)))
      expect(error).toBeInstanceOf(IllegalStateError)
      expect(error.message).toContain(`${what}() was called in a hook of a flush`)
    }
    expect(await titles()).toEqual([])
  })
})

test('commit() and begin() are refused in a beforeCommit hook, and work after it', async () => {
  const factory = fixture.factory()
  const later = gate<Promise<void>>()
  const release = gate()
  const stop = factory.on('beforeCommit', async (session) => {
    later.open(release.opened.then(() => session.commit()))
    for (const what of ['commit', 'begin'] as const) {
      const error = await errorOf(session[what](() => undefined))
      expect(error).toBeInstanceOf(IllegalStateError)
      expect(error.message).toContain('in a beforeCommit hook')
    }
  })
  await using session = factory()
  session.add(new Song({ title: 'one' }))
  await session.commit()
  stop()
  session.add(new Song({ title: 'two' }))
  release.open()
  // A promise of a promise is awaited as a whole.
  await later.opened
  expect(await titles()).toEqual(['one', 'two'])
})
