/** New objects that were given to `add`, and belong to an object that is deleted before the flush. */
import { expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  serial,
  text,
  type WithRelations,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'

const Base = declarativeBase()
class Parent extends Base.entity('given_parents', { id: serial().primaryKey() }) {
  static readonly relations = { children: hasMany(() => Child, 'parentId', { cascade: ['add', 'delete'] }) }
}
class Child extends Base.entity('given_children', {
  id: serial().primaryKey(),
  name: text(),
  parentId: integer('parent_id').notNull().references('given_parents.id'),
}) {
  static readonly relations = {
    parent: belongsTo(() => Parent, 'parentId'),
    toys: hasMany(() => Toy, 'childId', { cascade: ['add', 'delete'] }),
  }
}
class Toy extends Base.entity('given_toys', {
  id: serial().primaryKey(),
  childId: integer('child_id').notNull().references('given_children.id'),
}) {}

const fixture = useEntities(Base)
const rows = () => fixture.db.query('select name, parent_id from given_children')

test.each([
  ['by its relation', true],
  ['by its relation', false],
  ['by its foreign key', true],
  ['by its foreign key', false],
  ['by the collection of the other parent', true],
] as const)(
  'a new child that moves to another parent %s is stored (looked at between: %s)',
  async (how, isLooking) => {
    await fixture.db.query(
      'insert into given_parents default values; insert into given_parents default values',
    )
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const one = await session.getOne(Parent, 1, { load: ['children'] })
      const two = await session.getOne(Parent, 2, { load: ['children'] })
      const child: WithRelations<typeof Child> = new Child({ name: 'c' })
      child.toys = [new Toy({})]
      one.children.push(child)
      session.add(child)
      session.delete(one)
      if (isLooking) expect([session.new, session.deleted]).toEqual([[], [one]])
      if (how === 'by its relation') child.parent = two
      else if (how === 'by its foreign key') child.parentId = two.id
      else two.children.push(child)
      expect(session.new).toEqual(expect.arrayContaining([child, ...child.toys]))
    })
    expect(await rows()).toEqual([{ name: 'c', parent_id: 2 }])
    expect(await fixture.db.query('select child_id from given_toys')).toEqual([{ child_id: 1 }])
    expect(await fixture.db.query('select id from given_parents')).toEqual([{ id: 2 }])
  },
)

test.each(['by add', 'by its parent'] as const)(
  'a new child that stays in the deleted parent is not stored (added %s)',
  async (how) => {
    await fixture.db.query('insert into given_parents default values')
    const { withSession } = fixture.factory()
    const child = new Child({ name: 'c', parentId: 0 })
    await withSession(async (session) => {
      const one = await session.getOne(Parent, 1, { load: ['children'] })
      one.children.push(child)
      session.add(how === 'by add' ? child : one)
      session.delete(one)
    })
    expect(statusOf(child)).toBe('transient')
    expect([await rows(), await fixture.db.query('select id from given_parents')]).toEqual([[], []])
  },
)
