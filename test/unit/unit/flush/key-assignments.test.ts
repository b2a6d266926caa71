/** The foreign keys that relations give, where they share columns, are handed on, or are let go of. */
import { expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  InvalidValueError,
  integer,
  MappingError,
} from '../../../../src/index.js'
import type { KeyAssignment } from '../../../../src/unit/flush/contract.js'
import { KeyAssignments } from '../../../../src/unit/flush/key-assignments.js'
import { stateOf, type InstanceState } from '../../../../src/unit/instance-state.js'
import { pending, persistent } from '../states.js'

const Base = declarativeBase()
class Order extends Base.entity('orders', { tenant: integer().primaryKey(), no: integer().primaryKey() }) {}
class Product extends Base.entity('products', {
  tenant: integer().primaryKey(),
  no: integer().primaryKey(),
}) {}
class Line extends Base.entity(
  'lines',
  { tenant: integer().primaryKey(), order: integer('order_no').primaryKey(), product: integer('product_no') },
  {
    foreignKeys: [
      { columns: ['tenant', 'order'], references: ['orders.tenant', 'orders.no'] },
      { columns: ['tenant', 'product'], references: ['products.tenant', 'products.no'] },
    ],
  },
) {
  static readonly relations = {
    itsOrder: belongsTo(() => Order, ['tenant', 'order']),
    itsProduct: belongsTo(() => Product, ['tenant', 'product']),
  }
}
class Share extends Base.entity(
  'shares',
  { tenant: integer().primaryKey(), order: integer('order_no').primaryKey(), no: integer().primaryKey() },
  { foreignKeys: [{ columns: ['tenant', 'order'], references: ['lines.tenant', 'lines.order_no'] }] },
) {
  static readonly relations = { line: belongsTo(() => Line, ['tenant', 'order']) }
}

const line = (): InstanceState => persistent(new Line({ tenant: 1, order: 1, product: 7 }))
const order = (tenant: number, no: number): InstanceState => persistent(new Order({ tenant, no }))
const product = (tenant: number, no: number): InstanceState => persistent(new Product({ tenant, no }))

function assignment(
  holder: InstanceState,
  name: string,
  target: InstanceState | undefined,
  source: KeyAssignment['source'] = 'relation',
): KeyAssignment {
  const relation = holder.meta.relations.get(name)
  if (relation === undefined) throw new Error(`no relation ${name}`)
  const { ownColumns: columns, targetColumns } = relation
  return { holder, columns, target, targetColumns, source, of: holder.meta, relation }
}

type Given = readonly [name: string, target: InstanceState | undefined, source?: KeyAssignment['source']]

function keysOf(assignments: readonly KeyAssignment[], holder: InstanceState): Record<string, unknown> {
  const keys = new KeyAssignments()
  for (const one of assignments) keys.add(one)
  const values = keys.resolve().get(holder) ?? new Map()
  return Object.fromEntries([...values].map(([column, value]) => [column.property, value]))
}

test.each<[what: string, given: Given[], keys: Record<string, unknown>]>([
  ['one target', [['itsOrder', order(1, 2)]], { tenant: 1, order: 2 }],
  [
    'two that agree',
    [
      ['itsOrder', order(2, 2)],
      ['itsProduct', product(2, 8)],
    ],
    { tenant: 2, order: 2, product: 8 },
  ],
  [
    'the later one of two',
    [
      ['itsOrder', order(1, 2)],
      ['itsOrder', order(1, 3)],
    ],
    { tenant: 1, order: 3 },
  ],
  ['one that is let go of: what is shared stays', [['itsProduct', undefined]], { product: null }],
  ['the same for its deletion', [['itsProduct', undefined, 'deletion']], { product: null }],
  ['a key that takes no NULL, for a deletion', [['itsOrder', undefined, 'deletion']], {}],
  [
    'one that is let go of beside one that moves the shared column',
    [
      ['itsProduct', undefined],
      ['itsOrder', order(2, 2)],
    ],
    { product: null, tenant: 2, order: 2 },
  ],
])('%s', (_what, given, keys) => {
  const holder = line()
  expect(
    keysOf(
      given.map(([name, target, source]) => assignment(holder, name, target, source)),
      holder,
    ),
  ).toEqual(keys)
  // Nothing is changed by it.
  expect(holder.instance).toMatchObject({ tenant: 1, order: 1, product: 7 })
})

test.each<
  [what: string, given: Given[], error: typeof InvalidValueError | typeof MappingError, message: RegExp]
>([
  [
    'two targets of two tenants',
    [
      ['itsOrder', order(1, 2)],
      ['itsProduct', product(2, 8)],
    ],
    InvalidValueError,
    /Line\.itsOrder.*Line\.itsProduct.*lines\.tenant: 1 and 2/,
  ],
  [
    'a tenant that moves under a relation that was not changed',
    [['itsOrder', order(2, 2)]],
    InvalidValueError,
    /Line\.itsOrder.*Line\.itsProduct.*lines\.tenant: 2 and 1/,
  ],
  ['a key that takes no NULL', [['itsOrder', undefined]], MappingError, /Line.*lines\.tenant/],
])('%s: refused', (_what, given, error, message) => {
  const holder = line()
  const resolve = (): unknown =>
    keysOf(
      given.map(([name, target, source]) => assignment(holder, name, target, source)),
      holder,
    )
  expect(resolve).toThrow(error)
  expect(resolve).toThrow(message)
})

test.each([false, true])(
  'a key is handed on in the order of dependency, not in that of add (reversed: %s)',
  (isReversed) => {
    const [holder, share] = [line(), pending(new Share({ tenant: 0, order: 0, no: 1 }))]
    const all = [assignment(holder, 'itsOrder', order(1, 5)), assignment(share, 'line', holder)]
    expect(keysOf(isReversed ? all.reverse() : all, share)).toEqual({ tenant: 1, order: 5 })
  },
)

test('assignments are found by their holder and by their target', () => {
  const keys = new KeyAssignments()
  const [holder, target] = [line(), order(1, 2)]
  const one = assignment(holder, 'itsOrder', target)
  const { columns, targetColumns } = one
  expect([keys.has(one), keys.holders.has(holder)]).toEqual([false, false])
  keys.add(one)
  expect([keys.has(one), keys.holders.has(holder)]).toEqual([true, true])
  expect(keys.find(holder, columns, targetColumns)).toBe(one)
  expect([...keys.ledTo(target, columns, targetColumns)]).toEqual([holder])
  expect([...keys.ledTo(order(1, 2), columns, targetColumns)]).toEqual([])
  const [tenant, no, itsProduct] = holder.meta.table.columns
  expect(
    [tenant, no, itsProduct].map((column) => column !== undefined && keys.isAssigned(holder, column)),
  ).toEqual([true, true, false])
  expect([...keys.sources()]).toEqual([[target, targetColumns]])
  expect(stateOf(target.instance)).toBe(target)
})
