/** Within a session a row is one object, also after a rollback has brought rows back or taken them away. */
import { describe, expect, test } from 'vitest'
import { declarativeBase, deleteFrom, eq, integer, select, text, type Session } from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Seat extends Base.entity('seats', { id: integer().primaryKey(), guest: text().notNull() }) {}

const fixture = useEntities(Base)

async function seated() {
  await fixture.db.query("insert into seats values (1, 'Ann'), (2, 'Ben')")
  const session = fixture.factory()()
  const [ann, ben] = await session.scalars(select(Seat).orderBy(Seat.c.id))
  return { session, ann: ann as Seat, ben: ben as Seat }
}

/** The object that sits there according to the session, and whether the session tracks exactly that object. */
async function sits(session: Session, id: number, expected: Seat | null, ...others: Seat[]) {
  const found = await session.get(Seat, id)
  expect(found).toBe(expected)
  if (found !== null) expect([session.contains(found), statusOf(found)]).toEqual([true, 'persistent'])
  for (const other of others) expect(statusOf(other)).not.toBe('persistent')
  expect(await session.scalars(select(Seat).where(eq(Seat.c.id, id)))).toEqual(found === null ? [] : [found])
}

describe('after a rollback', () => {
  test('an object whose row was not found comes back with its row', async () => {
    const { session, ann } = await seated()
    await using _ = session
    await session.execute(deleteFrom(Seat))
    expect(await session.get(Seat, 1, { forUpdate: true })).toBeNull()
    expect(session.contains(ann)).toBe(false)
    await session.rollback()
    await sits(session, 1, ann)
    expect(ann.guest).toBe('Ann')
  })

  test('it comes back to the place that another object has taken since', async () => {
    const { session, ann } = await seated()
    await using _ = session
    await session.execute(deleteFrom(Seat))
    expect(await session.get(Seat, 1, { forUpdate: true })).toBeNull()
    const next = new Seat({ id: 1, guest: 'Cy' })
    session.add(next)
    await session.flush()
    await session.rollback()
    await sits(session, 1, ann, next)
    expect(statusOf(next)).toBe('transient')
  })

  test('what was loaded in the place of a deleted object, or of one that had moved, leaves it', async () => {
    const { session, ann, ben } = await seated()
    await using _ = session
    session.delete(ann)
    ben.id = 3
    await session.flush()
    await session.execute("insert into seats values (1, 'Cy'), (2, 'Di')")
    const [cy, di] = (await session.scalars(select(Seat).orderBy(Seat.c.id))) as [Seat, Seat]
    expect([cy.guest, di.guest]).toEqual(['Cy', 'Di'])
    await session.rollback()
    await sits(session, 1, ann, cy)
    await sits(session, 2, ben, di)
    await sits(session, 3, null)
    expect([cy, di].map(statusOf)).toEqual(['detached', 'detached'])
  })

  test('of a savepoint, and then of the transaction, each row is the object that had it before', async () => {
    const { session, ann } = await seated()
    await using _ = session
    session.delete(ann)
    await session.flush()
    let cy: Seat | undefined
    await errorOf(
      session.beginNested(async () => {
        await session.execute("insert into seats values (1, 'Cy')")
        cy = await session.getOne(Seat, 1)
        throw new RangeError('undone')
      }),
    )
    await sits(session, 1, null, ann)
    await session.rollback()
    await sits(session, 1, ann, cy as Seat)
  })

  test('of a savepoint, what was displaced in it is back, and what had left before stays away', async () => {
    const { session, ann, ben } = await seated()
    await using _ = session
    session.delete(ben)
    await session.flush()
    const cy = new Seat({ id: 1, guest: 'Cy' })
    await errorOf(
      session.beginNested(async () => {
        await session.execute(deleteFrom(Seat))
        session.add(cy)
        await session.flush()
        expect([session.contains(ann), session.contains(cy)]).toEqual([false, true])
        throw new RangeError('undone')
      }),
    )
    await sits(session, 1, ann, cy)
    await sits(session, 2, null, ben)
    await session.commit()
    expect(await fixture.db.query('select guest from seats')).toEqual([{ guest: 'Ann' }])
  })

  test('keys that went round in a circle are where they were', async () => {
    const { session, ann, ben } = await seated()
    await using _ = session
    for (const [seat, id] of [
      [ann, 3],
      [ben, 1],
      [ann, 2],
    ] as const) {
      seat.id = id
      await session.flush()
    }
    await sits(session, 1, ben)
    await session.rollback()
    await sits(session, 1, ann)
    await sits(session, 2, ben)
    expect([ann.guest, ben.guest]).toEqual(['Ann', 'Ben'])
  })

  test('what was expunged stays away, and its place is for what is loaded', async () => {
    const { session, ann } = await seated()
    await using _ = session
    ann.guest = 'Anna'
    await session.flush()
    session.expunge(ann)
    const other = await session.getOne(Seat, 1)
    await session.rollback()
    await sits(session, 1, other, ann)
    expect(other.guest).toBe('Ann')
  })
})
