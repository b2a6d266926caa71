/** Mistakes with relations, cascades and keys: each is told, or is none. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  integer,
  InvalidValueError,
  MappingError,
  serial,
  text,
  type WithRelations,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Box extends Base.entity('boxes', { id: serial().primaryKey(), name: text() }) {
  static readonly relations = { things: hasMany(() => Thing, 'boxId') }
}
class Thing extends Base.entity('things', {
  id: serial().primaryKey(),
  boxId: integer('box_id').references('boxes.id'),
}) {
  static readonly relations = { box: belongsTo(() => Box, 'boxId', { cascade: [] }) }
}
class Pair extends Base.entity('pairs', { a: integer().primaryKey(), b: integer().primaryKey() }) {}

const fixture = useEntities(Base)

describe('the length of a collection', () => {
  const stored = async () => {
    const session = fixture.factory()()
    const box = build(Box, { things: [new Thing({}), new Thing({}), new Thing({})] })
    session.add(box)
    await session.commit()
    return { session, box }
  }

  test('that is made shorter takes members out', async () => {
    const { session, box } = await stored()
    ;(box.things as Thing[]).length = 1
    await session.commit()
    expect(await fixture.db.query('select id from things where box_id is not null')).toEqual([{ id: 1 }])
    ;(box.things as Thing[]).length = 0
    await session.commit()
    expect(await fixture.db.query('select id from things where box_id is not null')).toEqual([])
  })

  test('that is made longer is refused: it holds undefined', async () => {
    const { session, box } = await stored()
    ;(box.things as Thing[]).length = 5
    const error = await errorOf(session.flush())
    expect(error).toBeInstanceOf(InvalidValueError)
    expect(error.message).toContain('Box.things holds undefined; it takes an array of objects')
    ;(box.things as Thing[]).length = 3
    await session.commit()
    expect(await fixture.db.query('select id from things where box_id is not null')).toHaveLength(3)
  })
})

describe('what a relation without the add cascade holds', () => {
  const pair = () => {
    const thing: WithRelations<typeof Thing> = new Thing({})
    const box = new Box({})
    thing.box = box
    return { thing, box }
  }

  test('may be added in any order, together or one by one', async () => {
    for (const add of ['child first', 'parent first', 'one by one']) {
      await using session = fixture.factory()()
      const { thing, box } = pair()
      if (add === 'one by one') {
        session.add(thing)
        session.add(box)
      } else session.addAll(add === 'child first' ? [thing, box] : [box, thing])
      await session.commit()
      expect(thing.boxId).toBe(box.id)
    }
  })

  test('is missed at the flush if it was not added, before anything is sent', async () => {
    await using session = fixture.factory()()
    const { thing, box } = pair()
    session.add(thing)
    expect((await errorOf(session.flush())).message).toContain(
      'holds a Box that was not added to the session',
    )
    session.add(box)
    await session.commit()
    expect(thing.boxId).toBe(box.id)
  })
})

describe('declarations', () => {
  test.each<[string, unknown, RegExp]>([
    [
      'a word that is none',
      ['add', 'remove'],
      /the cascade remove; it takes a list of 'add', 'delete' and 'delete-orphan'/,
    ],
    ['a word with a mistake', ['ad'], /did you mean 'add'/],
    ['a word alone', 'delete', /takes a list/],
    ['undefined in the list', [undefined], /the cascade undefined/],
  ])('of a cascade are checked: %s', async (_, cascade, message) => {
    const Other = declarativeBase()
    class Part extends Other.entity('parts', { id: serial().primaryKey(), ownerId: integer('owner_id') }) {}
    class Owner extends Other.entity('owners', { id: serial().primaryKey() }) {
      static readonly relations = { parts: hasMany(() => Part, 'ownerId', { cascade: cascade as never }) }
    }
    await using session = fixture.factory()()
    const adding = Promise.resolve().then(() => session.add(build(Owner, { parts: [] })))
    const error = await errorOf(adding)
    expect(error).toBeInstanceOf(MappingError)
    expect(error.message).toMatch(message)
  })
})

test('a key is refused that has other parts', async () => {
  await using session = fixture.factory()()
  const error = await errorOf(session.get(Pair, { a: 1, b: 2, c: 3 } as never))
  expect(error).toBeInstanceOf(MappingError)
  expect(error.message).toContain("The key of pairs has no 'c', only a and b")
})

test('an object whose deletion was flushed is not contained', async () => {
  await using session = fixture.factory()()
  const box = new Box({})
  session.add(box)
  await session.flush()
  session.delete(box)
  expect(session.contains(box)).toBe(true)
  await session.flush()
  expect(session.contains(box)).toBe(false)
  await session.rollback()
  expect(session.contains(box)).toBe(false)
})
