/** Keys that PostgreSQL hands on (ON UPDATE CASCADE, SET NULL): what it changes about the rows of loaded objects. */
import { expect, test } from 'vitest'
import { declarativeBase, integer, text } from '../../../../src/index.js'
import { planOf } from './planned.js'

const Base = declarativeBase()
class First extends Base.entity('firsts', { code: text().primaryKey() }) {}
class Second extends Base.entity('seconds', {
  code: text().primaryKey().references('firsts.code', { onUpdate: 'cascade' }),
}) {}
class Third extends Base.entity('thirds', {
  id: integer().primaryKey(),
  code: text().references('seconds.code', { onUpdate: 'cascade' }),
}) {}
class Loose extends Base.entity('looses', {
  id: integer().primaryKey(),
  code: text().references('firsts.code', { onUpdate: 'set null' }),
}) {}
class Strict extends Base.entity('stricts', {
  id: integer().primaryKey(),
  code: text().references('firsts.code'),
}) {}
class Ring extends Base.entity('rings', {
  code: text().primaryKey().references('rings.code', { onUpdate: 'cascade' }),
}) {}

/** What the rows of objects get, by object. */
function propagated(stored: readonly object[], change: () => void): Record<string, unknown>[] {
  const plan = planOf({ stored, change })
  const found = new Map([...plan.propagated].map(([state, values]) => [state.instance as object, values]))
  return stored.map((instance) =>
    Object.fromEntries([...(found.get(instance) ?? [])].map(([column, value]) => [column.property, value])),
  )
}

const CASES: Readonly<
  Record<string, readonly [stored: () => object[], expected: Record<string, unknown>[]]>
> = {
  'along a chain': [
    () => [new First({ code: 'a' }), new Second({ code: 'a' }), new Third({ id: 1, code: 'a' })],
    [{}, { code: 'b' }, { code: 'b' }],
  ],
  'only to rows with the key': [
    () => [new First({ code: 'a' }), new Second({ code: 'x' }), new Third({ id: 1, code: null })],
    [{}, {}, {}],
  ],
  'NULL, where it says so': [
    () => [new First({ code: 'a' }), new Loose({ id: 1, code: 'a' })],
    [{}, { code: null }],
  ],
  'not without a rule': [() => [new First({ code: 'a' }), new Strict({ id: 1, code: 'a' })], [{}, {}]],
  'to what is frozen: never': [
    () => [new First({ code: 'a' }), Object.freeze(new Second({ code: 'a' }))],
    [{}, {}],
  ],
  'to itself, once': [() => [new Ring({ code: 'a' })], [{ code: 'b' }]],
}

test.each(Object.entries(CASES))('is handed on %s', (_what, [stored, expected]) => {
  const objects = stored()
  const [first] = objects as [{ code: string }]
  expect(propagated(objects, () => (first.code = 'b'))).toEqual(expected)
})

test('nothing is handed on unless the key changes', () => {
  const objects = [new First({ code: 'a' }), new Second({ code: 'a' })]
  expect(propagated(objects, () => undefined)).toEqual([{}, {}])
})
