/** A flush in autocommit mode is a transaction of its own: all of it is stored or nothing, whatever is called meanwhile. */
import { describe, expect, test } from 'vitest'
import { AbortedError, IllegalStateError, select, type Session, type SessionEvent } from '../../src/index.js'
import { Artist, Song, statusOf, Tag, useEntities } from './entities-support.js'
import { errorOf, gate } from './session-support.js'

const fixture = useEntities()
const tags = () =>
  fixture.db
    .query<{ name: string }>('select name from tags order by name')
    .then((rows) => rows.map(({ name }) => name))

/** So many microtasks a flush goes on before something is called. */
const DELAYS = Array.from({ length: 24 }, (_, index) => index)

async function microtasks(count: number): Promise<void> {
  for (let index = 0; index < count; index++) await Promise.resolve()
}

/** A factory whose hook queries. */
function querying(event: SessionEvent = 'beforeFlush') {
  const factory = fixture.factory({}, { autocommit: true, autoflush: false })
  factory.on(event, (session) => session.execute('select 2'))
  return factory
}

/** A factory whose hook waits until it is told to go on, and then does something. */
function waiting(autocommit: boolean, hook: (session: Session) => unknown) {
  const factory = fixture.factory({}, { autocommit, autoflush: false })
  const [reached, goOn] = [gate(), gate()]
  const stop = factory.on('beforeFlush', async (session) => {
    reached.open()
    await goOn.opened
    await hook(session)
  })
  return { factory, reached, goOn, stop }
}

describe.each(['rollback', 'commit', 'close', 'flush', 'execute'] as const)('%s() beside a flush', (what) => {
  const call = (session: Session): Promise<unknown> =>
    what === 'execute' ? session.execute('select 1') : session[what]()

  test('that fails, whenever it is called, leaves nothing half stored', async () => {
    await fixture.db.query(`insert into artists (name) values ('taken')`)
    const factory = querying()
    for (const delay of DELAYS) {
      await using session = factory()
      const [good, bad] = [new Tag({ name: `tag ${delay}` }), new Artist({ name: 'taken' })]
      session.addAll([good, bad])
      const flushing = errorOf(session.flush())
      await microtasks(delay)
      await Promise.allSettled([call(session)])
      await flushing
      if (!session.closed) await session.rollback()
      expect([delay, await tags(), statusOf(good), statusOf(bad)]).toEqual([
        delay,
        [],
        'transient',
        'transient',
      ])
    }
  })

  test('that succeeds, whenever it is called, is told as it is', async () => {
    const factory = querying()
    for (const delay of DELAYS) {
      await using session = factory()
      const [tag, artist] = [new Tag({ name: 'tag' }), new Artist({ name: `artist ${delay}` })]
      session.addAll([tag, artist])
      const flushing = session.flush().then(
        () => true,
        () => false,
      )
      await microtasks(delay)
      await Promise.allSettled([call(session)])
      const isStored = await flushing
      const artists = await fixture.db.query('select 1 from artists')
      expect([delay, await tags(), artists.length]).toEqual([
        delay,
        isStored ? ['tag'] : [],
        isStored ? 1 : 0,
      ])
      const status = isStored ? (session.closed ? 'detached' : 'persistent') : 'transient'
      expect([delay, statusOf(tag), statusOf(artist)]).toEqual([delay, status, status])
      await fixture.db.query('truncate tags, artists cascade')
    }
  })
})

test('a commit that has waited for one flush does not end the transaction of the next', async () => {
  await fixture.db.query(`insert into artists (name) values ('taken')`)
  const factory = querying('afterFlush')
  for (const delay of DELAYS) {
    await using session = factory()
    session.add(new Tag({ name: `first ${delay}` }))
    const first = session.flush()
    const committing = session.commit()
    await microtasks(delay)
    session.addAll([new Tag({ name: `second ${delay}` }), new Artist({ name: 'taken' })])
    const second = errorOf(session.flush())
    // The second flush, or the commit that took its objects along, fails as a whole.
    await Promise.allSettled([first, committing, second])
    await session.rollback()
    const stored = await tags()
    expect([delay, stored.filter((name) => name.startsWith('second'))]).toEqual([delay, []])
    await fixture.db.query('truncate tags cascade')
  }
})

describe.each([true, false])(
  'behind a rollback, beside the hook of a flush (autocommit: %s)',
  (autocommit) => {
    test('what is added, changed, referred to and deleted belongs to the next transaction', async () => {
      await fixture.db.query(`insert into songs (title, plays) values ('one', 0), ('two', 0)`)
      const { factory, reached, goOn, stop } = waiting(autocommit, () => undefined)
      await using session = factory()
      const [one, two] = (await session.execute(select(Song))).scalars() as [Song, Song]
      session.add(new Tag({ name: 'lost' }))
      const flushing = errorOf(session.flush())
      await reached.opened
      await session.rollback()
      session.add(new Tag({ name: 'next' }))
      session.delete(one)
      two.title = 'changed'
      goOn.open()
      // Something is under way while the flush ends.
      const [error] = await Promise.all([flushing, session.execute('select 3')])
      expect(error).toBeInstanceOf(AbortedError)
      stop()
      await session.commit()
      expect(await tags()).toEqual(['next'])
      expect(await fixture.db.query('select title from songs')).toEqual([{ title: 'changed' }])
      expect(statusOf(one)).toBe('detached')
    })

    test.each([
      ['a statement', (session: Session) => session.execute(`insert into tags values ('late')`)],
      ['add()', (session: Session) => session.add(new Tag({ name: 'late' }))],
      ['flush()', (session: Session) => session.flush()],
    ])('%s of the hook is refused: its flush is over', async (_, act) => {
      const errors: unknown[] = []
      const { factory, reached, goOn, stop } = waiting(autocommit, async (session) => {
        errors.push(await errorOf((async () => act(session))()))
      })
      await using session = factory()
      session.add(new Tag({ name: 'lost' }))
      const flushing = errorOf(session.flush())
      await reached.opened
      await session.rollback()
      goOn.open()
      expect(await flushing).toBeInstanceOf(AbortedError)
      expect(errors).toEqual([expect.any(AbortedError)])
      stop()
      await session.commit()
      expect(await tags()).toEqual([])
    })

    test('of the hook itself, its statements go on', async () => {
      const { factory, reached, goOn, stop } = waiting(autocommit, async (session) => {
        await session.rollback()
        await session.execute(`insert into tags values ('by hook')`)
      })
      await using session = factory()
      session.add(new Tag({ name: 'lost' }))
      const flushing = errorOf(session.flush())
      await reached.opened
      goOn.open()
      expect(await flushing).toBeInstanceOf(AbortedError)
      stop()
      await session.commit()
      expect(await tags()).toEqual(['by hook'])
    })
  },
)

describe('beside the block of begin()', () => {
  test.each(['flush', 'commit'] as const)('a flush that waits does not hold up %s() in it', async (what) => {
    await using session = fixture.factory({}, { autocommit: true, autoflush: false })()
    const [one, two] = [new Tag({ name: 'one' }), new Tag({ name: 'two' })]
    const goOn = gate()
    session.add(one)
    const block = session.begin(async () => {
      await goOn.opened
      session.add(two)
      await session[what]()
      await session.execute('select 1')
    })
    const flushing = session.flush()
    goOn.open()
    await Promise.all([block, flushing])
    expect(await tags()).toEqual(['one', 'two'])
  })

  test('a flush that waits does not make begin() in it wait for ever', async () => {
    await using session = fixture.factory({}, { autocommit: true, autoflush: false })()
    session.add(new Tag({ name: 'one' }))
    const block = session.begin(() => errorOf(session.begin(() => undefined)))
    await Promise.all([session.flush(), expect(block).resolves.toBeInstanceOf(IllegalStateError)])
    expect(await tags()).toEqual(['one'])
  })

  test('a rollback that waits does not undo it', async () => {
    const factory = fixture.factory({}, { autocommit: true })
    const [reached, goOn] = [gate(), gate()]
    factory.on('beforeCommit', async () => {
      reached.open()
      await goOn.opened
    })
    await using session = factory()
    const block = session.begin(() => session.add(new Tag({ name: 'kept' })))
    await reached.opened
    const rollback = session.rollback()
    goOn.open()
    await Promise.all([block, rollback])
    expect(await tags()).toEqual(['kept'])
  })
})

test('beside the flush, beginNested() is refused as ever, and not taken into its transaction', async () => {
  const { factory, reached, goOn } = waiting(true, () => undefined)
  await using session = factory()
  session.add(new Tag({ name: 'one' }))
  const flushing = session.flush()
  await reached.opened
  expect(await errorOf(session.beginNested(() => undefined))).toMatchObject({ code: 'INVALID_OPTION' })
  goOn.open()
  await flushing
  expect(await tags()).toEqual(['one'])
})
