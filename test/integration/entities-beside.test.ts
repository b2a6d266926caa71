/** Nested blocks, and what else goes on in their session at the same time. */
import { describe, expect, test } from 'vitest'
import { ExpiredAttributeError, IllegalStateError, select } from '../../src/index.js'
import { Song, statusOf, useEntities } from './entities-support.js'
import { errorOf, gate } from './session-support.js'

const fixture = useEntities()
const titles = () =>
  fixture.db
    .query<{ title: string }>('select title from songs order by id')
    .then((rows) => rows.map(({ title }) => title))

describe('beside a nested block that is rolled back', () => {
  test('an un-awaited query returns no rolled-back rows', async () => {
    await fixture.db.query(`insert into songs (title, plays) values ('stored', 0)`)
    await using session = fixture.factory()()
    const song = (await session.execute(select(Song))).scalars()[0] as Song
    let reading: Promise<unknown> | undefined
    await errorOf(
      session.beginNested(async () => {
        song.title = 'undone'
        await session.flush()
        reading = session.execute(select(Song))
        throw new Error('undo')
      }),
    )
    // The block has cancelled it, unless it was answered before.
    await Promise.allSettled([reading])
    expect(() => song.title).toThrow(ExpiredAttributeError)
    await session.refresh(song)
    expect(song.title).toBe('stored')
  })

  test('a get that finds no row leaves alone what was stored since then', async () => {
    await using session = fixture.factory()()
    const song = new Song({ id: 7, title: 'stored' })
    const [inside, goOn] = [gate(), gate()]
    const nested = errorOf(
      session.beginNested(async () => {
        session.add(song)
        await session.flush()
        inside.open()
        await goOn.opened
        throw new Error('undo')
      }),
    )
    await inside.opened
    const getting = session.get(Song, 7, { forUpdate: true })
    goOn.open()
    await nested
    session.add(song)
    await session.flush()
    expect(await getting).toBeNull()
    expect(statusOf(song)).toBe('persistent')
  })
})

test('a flush of a nested block that has ended is refused, and takes nothing for stored', async () => {
  await using session = fixture.factory()()
  const [ended, flushed] = [gate(), gate()]
  let late: Promise<unknown> = Promise.resolve()
  await session.beginNested(() => {
    late = ended.opened.then(() => errorOf(session.flush())).finally(() => flushed.open())
  })
  const song = new Song({ title: 'kept' })
  session.add(song)
  ended.open()
  expect(await late).toBeInstanceOf(IllegalStateError)
  expect(statusOf(song)).toBe('pending')
  await session.commit()
  expect(await titles()).toEqual(['kept'])
})

test('a flush of a block that has ended is refused, and takes nothing for stored', async () => {
  await using session = fixture.factory()()
  const ended = gate()
  let late: Promise<unknown> = Promise.resolve()
  await session.begin(() => {
    late = ended.opened.then(() => errorOf(session.flush()))
  })
  const song = new Song({ title: 'kept' })
  session.add(song)
  ended.open()
  expect(await late).toBeInstanceOf(IllegalStateError)
  expect(statusOf(song)).toBe('pending')
  await session.commit()
  expect(await titles()).toEqual(['kept'])
})

test('a refresh after an insert that is rolled back is refused', async () => {
  await using session = fixture.factory()()
  const song = new Song({ title: 'new' })
  session.add(song)
  const flushing = session.flush()
  await Promise.resolve()
  const refreshing = errorOf(session.refresh(song))
  await session.rollback()
  await flushing
  expect(await refreshing).toBeInstanceOf(IllegalStateError)
  expect([song.title, statusOf(song)]).toEqual(['new', 'transient'])
})

test('outside of an open nested block nothing is added, deleted or merged: the rollback of the block would undo it in silence', async () => {
  await fixture.db.query(`insert into songs (title, plays) values ('one', 0)`)
  await using session = fixture.factory()()
  const song = (await session.execute(select(Song))).scalars()[0] as Song
  const [inside, goOn] = [gate(), gate()]
  const nested = session.beginNested(async () => {
    inside.open()
    await goOn.opened
    session.add(new Song({ title: 'inside' }))
  })
  await inside.opened
  const refusals = [
    () => session.add(new Song({ title: 'outside' })),
    () => session.delete(song),
    () => session.merge(new Song({ title: 'outside' })),
  ]
  for (const refused of refusals) {
    const error = await errorOf((async () => refused())())
    expect(error).toBeInstanceOf(IllegalStateError)
    expect(error.message).toContain('outside of an open nested block')
  }
  goOn.open()
  await nested
  session.add(new Song({ title: 'after' }))
  await session.commit()
  expect(await titles()).toEqual(['one', 'inside', 'after'])
})
