/** The statements of a flush and their order, for the awkward cases. */
import { expect, test } from 'vitest'
import { char, declarativeBase, integer, numeric, serial, sql, text, version } from '../../../../src/index.js'
import { linesOf, planOf, type Changes } from './planned.js'

const Base = declarativeBase()

/** Refers to itself, and has a unique value. */
class Node extends Base.entity('nodes', {
  id: integer().primaryKey(),
  parentId: integer('parent').references('nodes.id'),
  mark: integer().unique(),
}) {}

/** Two tables in a circle that can be let go of at one side. */
class Team extends Base.entity('teams', {
  id: integer().primaryKey(),
  captainId: integer('captain').references('members.id'),
  mark: integer().unique(),
}) {}
class Member extends Base.entity('members', {
  id: integer().primaryKey(),
  teamId: integer('team').notNull().references('teams.id'),
}) {}

/** Two tables in a circle of which one is checked at COMMIT. */
class Left extends Base.entity('lefts', {
  id: integer().primaryKey(),
  right: integer().notNull().references('rights.id', { deferred: true }),
}) {}
class Right extends Base.entity('rights', {
  id: integer().primaryKey(),
  left: integer().notNull().references('lefts.id'),
}) {}

/** Two foreign keys that share the tenant. */
class Order extends Base.entity('orders', { tenant: integer().primaryKey(), no: integer().primaryKey() }) {}
class Product extends Base.entity('products', {
  tenant: integer().primaryKey(),
  no: integer().primaryKey(),
}) {}
class Line extends Base.entity(
  'lines',
  { tenant: integer().primaryKey(), order: integer().primaryKey(), product: integer() },
  {
    foreignKeys: [
      { columns: ['tenant', 'order'], references: ['orders.tenant', 'orders.no'] },
      { columns: ['tenant', 'product'], references: ['products.tenant', 'products.no'] },
    ],
  },
) {}

/** Keys that are equal although they are spelled differently. */
class Rate extends Base.entity('rates', {
  id: numeric({ precision: 6, scale: 2 }).primaryKey(),
  code: char({ length: 4 }).unique(),
}) {}
class Use extends Base.entity('uses', {
  id: integer().primaryKey(),
  rate: numeric({ precision: 6, scale: 2 }).references('rates.id'),
}) {}

/** A key that PostgreSQL hands on. */
class Owner extends Base.entity('owners', { code: text().primaryKey() }) {}
class Pet extends Base.entity('pets', {
  owner: text().primaryKey().references('owners.code', { onUpdate: 'cascade' }),
  no: integer().primaryKey(),
  name: text(),
}) {}

/** Counts its changes. */
class Doc extends Base.entity('docs', {
  id: integer().primaryKey(),
  version: version(),
  next: integer().references('docs.id'),
  slot: integer().unique(),
}) {}

/** What PostgreSQL fills in. */
class Log extends Base.entity('logs', {
  id: serial().primaryKey(),
  title: text(),
  length: integer().generated(sql`length(title)`),
}) {}

/** Each refers to the one before, whose name comes later in the alphabet. */
class Zone extends Base.entity('zones', { id: integer().primaryKey(), name: integer() }) {}
class House extends Base.entity('houses', {
  id: integer().primaryKey(),
  zone: integer().references('zones.id'),
}) {}
class Attic extends Base.entity('attics', {
  id: integer().primaryKey(),
  house: integer().references('houses.id'),
}) {}

/** Unique by two columns, and by an index; the other index is not unique. */
class Seat extends Base.entity(
  'seats',
  { id: integer().primaryKey(), row: integer(), place: integer(), code: integer(), hint: integer() },
  { unique: [['row', 'place']], indexes: [{ columns: ['code'], unique: true }, { columns: ['hint'] }] },
) {}
const seat = (id: number, row: number, place: number, code: number, hint: number): Seat =>
  new Seat({ id, row, place, code, hint })

const node = (id: number, parentId: number | null = null, mark: number | null = null): Node =>
  new Node({ id, parentId, mark })
const team = (id: number, captainId: number | null = null, mark: number | null = null): Team =>
  new Team({ id, captainId, mark })
const line = (tenant: number, order: number, product: number | null): Line =>
  new Line({ tenant, order, product })

/** Nodes with one mark each. */
function marked(...marks: (number | null)[]): Node[] {
  return marks.map((mark, index) => node(index + 1, null, mark))
}

const TABLE: Readonly<Record<string, () => Changes & { readonly lines: readonly string[] }>> = {
  nothing: () => ({ stored: [node(1)], lines: [] }),
  'new rows: one statement, in the order of add, for any references between them': () => ({
    added: [node(3, 1), node(1, 2), node(2, 1)],
    lines: ['insert nodes 3(parent=1 mark=NULL) 1(parent=2 mark=NULL) 2(parent=1 mark=NULL)'],
  }),
  'tables: those first that others refer to, whatever was added first': () => ({
    added: [line(1, 1, 7), new Product({ tenant: 1, no: 7 }), new Order({ tenant: 1, no: 1 })],
    lines: ['insert orders 1/1', 'insert products 1/7', 'insert lines 1/1(product=7)'],
  }),
  'new rows in a circle of two tables: one goes in with NULL first': () => ({
    added: [team(1, 2), new Member({ id: 2, teamId: 1 })],
    lines: [
      'insert teams 1(captain=null mark=null)',
      'insert members 2(team=1)',
      'update teams 1(captain=2)',
    ],
  }),
  'a circle of which one foreign key is checked at COMMIT needs no NULL': () => ({
    added: [new Right({ id: 2, left: 1 }), new Left({ id: 1, right: 2 })],
    lines: ['insert lefts 1(right=2)', 'insert rights 2(left=1)'],
  }),
  'only the rows of the circle are stored twice': () => ({
    added: [team(2, null), team(1, 2), new Member({ id: 2, teamId: 1 }), new Member({ id: 3, teamId: 2 })],
    lines: [
      'insert teams 2(captain=NULL mark=NULL) 1(captain=NULL mark=NULL)',
      'insert members 2(team=1) 3(team=2)',
      'update teams 1(captain=2)',
    ],
  }),
  'a changed row leads to a new one: that comes first': () => {
    const child = node(1)
    return {
      added: [node(2)],
      stored: [child],
      change: () => (child.parentId = 2),
      lines: ['insert nodes 2(parent=null mark=null)', 'update nodes 1(parent=2)'],
    }
  },
  'rows are deleted against the order of tables, and those first that refer to others': () => {
    const stored = [new Order({ tenant: 1, no: 1 }), new Product({ tenant: 1, no: 7 }), line(1, 1, 7)]
    return {
      stored,
      deleted: stored,
      lines: [
        'lock orders for update {1} {1}',
        'lock products for update {1} {7}',
        'delete lines 1/1',
        'delete products 1/7',
        'delete orders 1/1',
      ],
    }
  },
  'a deleted circle of two tables: one lets go first': () => {
    const stored = [team(1, 2), new Member({ id: 2, teamId: 1 })]
    return {
      stored,
      deleted: stored,
      lines: [
        'lock members for update {2}',
        'update teams 1(captain=null)',
        'delete members 2',
        'delete teams 1',
      ],
    }
  },
  'a deleted circle of one table: one statement': () => {
    const stored = [node(1, 2), node(2, 1)]
    return { stored, deleted: stored, lines: ['lock nodes for update {1,2}', 'delete nodes 1 2'] }
  },
  "a new row takes a deleted row's place: the delete goes first": () => {
    const stored = marked(5)
    return {
      added: [node(2, null, 5)],
      stored,
      deleted: stored,
      lines: ['delete nodes 1', 'insert nodes 2(parent=null mark=5)'],
    }
  },
  "a new row takes a deleted row's key, to which rows may refer": () => {
    const stored = marked(5)
    return {
      added: [node(1)],
      stored,
      deleted: stored,
      lines: ['update nodes 1(parent=null mark=null)'],
    }
  },
  'a unique value that no row takes is given up last': () => {
    const stored = marked(5)
    return {
      added: [node(2, null, 6)],
      stored,
      deleted: stored,
      lines: ['insert nodes 2(parent=null mark=6)', 'delete nodes 1'],
    }
  },
  'a deleted row whose place is taken, and that others refer to: they let go first': () => {
    const [gone, child] = [node(1, null, 5), node(2, 1)]
    return {
      added: [node(3, null, 5)],
      stored: [gone, child],
      deleted: [gone],
      change: () => (child.parentId = null),
      lines: [
        'lock nodes for update {2,1}',
        'update nodes 2(parent=null)',
        'delete nodes 1',
        'insert nodes 3(parent=null mark=5)',
      ],
    }
  },
  'the same, where the child comes to the new row: it lets go, and is written again': () => {
    const [gone, child] = [node(1, null, 5), node(2, 1)]
    return {
      added: [node(3, null, 5)],
      stored: [gone, child],
      deleted: [gone],
      change: () => (child.parentId = 3),
      lines: [
        'lock nodes for update {2,1,2}',
        'update nodes 2(parent=null)',
        'delete nodes 1',
        'insert nodes 3(parent=null mark=5)',
        'update nodes 2(parent=3)',
      ],
    }
  },
  "a deleted row's place, with deleted rows that refer to it": () => {
    const [gone, child] = [node(1, null, 5), node(2, 1)]
    return {
      added: [node(3, null, 5)],
      stored: [gone, child],
      deleted: [gone, child],
      lines: ['lock nodes for update {1,2}', 'delete nodes 1 2', 'insert nodes 3(parent=null mark=5)'],
    }
  },
  'unique values that move along a chain: who lets go is written before who takes': () => {
    const [a, b, c] = marked(1, 2, 3) as [Node, Node, Node]
    return {
      stored: [a, b, c],
      change: () => ([a.mark, b.mark, c.mark] = [2, 3, 4]),
      lines: [
        'lock nodes for update {3,2,1}',
        'update nodes 3(mark=4)',
        'update nodes 2(mark=3)',
        'update nodes 1(mark=2)',
      ],
    }
  },
  'a new row takes what a changed row lets go of': () => {
    const [a] = marked(1) as [Node]
    return {
      added: [node(2, null, 1), node(3)],
      stored: [a],
      change: () => (a.mark = null),
      lines: ['update nodes 1(mark=null)', 'insert nodes 2(parent=NULL mark=1) 3(parent=NULL mark=NULL)'],
    }
  },
  'values that are swapped: one statement, and PostgreSQL has the last word': () => {
    const [a, b, c] = marked(1, 2, 3) as [Node, Node, Node]
    return {
      stored: [a, b, c],
      change: () => ([a.mark, b.mark, c.mark] = [2, 1, 4]),
      lines: ['lock nodes for update {1,2,3}', 'update nodes 1(mark=2) 2(mark=1) 3(mark=4) in a circle'],
    }
  },
  'a changed row takes the value of one that leads to it by way of a new row: it is written in halves':
    () => {
      const [a, b] = marked(1, 2) as [Node, Node]
      return {
        added: [node(3, null, 1)],
        stored: [a, b],
        change: () => ([a.mark, a.parentId] = [9, 3]),
        lines: [
          'update nodes 1(parent=null mark=9)',
          'insert nodes 3(parent=null mark=1)',
          'update nodes 1(parent=3)',
        ],
      }
    },
  'new rows in a circle, of which one takes the value of a changed row that leads to them: both circles are cut':
    () => {
      const old = team(1, null, 5)
      return {
        added: [new Member({ id: 3, teamId: 2 }), team(2, 3, 5)],
        stored: [old],
        change: () => ([old.captainId, old.mark] = [3, null]),
        lines: [
          'update teams 1(captain=null mark=null)',
          'insert teams 2(captain=null mark=5)',
          'insert members 3(team=2)',
          'update teams 1(captain=3)',
          'update teams 2(captain=3)',
        ],
      }
    },
  'the second half of a versioned row counts from the first': () => {
    const a = new Doc({ id: 1, version: 4, next: null, slot: 1 })
    return {
      added: [new Doc({ id: 2, version: 1, next: null, slot: 1 })],
      stored: [a],
      change: () => ([a.next, a.slot] = [2, 9]),
      lines: [
        'update docs 1/4(next=null slot=9)',
        'insert docs 2(version=1 next=null slot=1)',
        'update docs 1/5(next=2)',
      ],
    }
  },
  'keys that are equal in another spelling are one key: a place that is taken': () => {
    const gone = new Rate({ id: '1.00', code: 'ab' })
    return {
      added: [new Rate({ id: '1', code: 'cd' })],
      stored: [gone],
      deleted: [gone],
      lines: ['delete rates 1.00', 'insert rates 1(code=cd)'],
    }
  },
  'the same of a text of which blanks at the end do not count': () => {
    const gone = new Rate({ id: '1.00', code: 'ab  ' })
    return {
      added: [new Rate({ id: '2', code: 'ab' })],
      stored: [gone],
      deleted: [gone],
      lines: ['delete rates 1.00', 'insert rates 2(code=ab)'],
    }
  },
  'a foreign key in another spelling refers all the same': () => {
    const stored = [new Rate({ id: '1.00', code: 'ab' }), new Use({ id: 1, rate: '1' })]
    return {
      added: [new Rate({ id: '2.00', code: 'ab' })],
      stored,
      deleted: stored,
      lines: [
        'lock rates for update {1.00}',
        'delete uses 1',
        'delete rates 1.00',
        'insert rates 2.00(code=ab)',
      ],
    }
  },
  'rows that leave the same columns to PostgreSQL travel together, in the order of add': () => ({
    added: ['a', 'b', 7, 'c'].map((given) =>
      typeof given === 'number' ? new Log({ id: given, title: 'x' }) : new Log({ title: given }),
    ),
    lines: ['insert logs new(title=a) new(title=b)', 'insert logs 7(title=x)', 'insert logs new(title=c)'],
  }),
  'locks are taken in the order of references, whatever the names are': () => {
    const stored = [
      new Zone({ id: 1, name: 1 }),
      new House({ id: 2, zone: 1 }),
      new Attic({ id: 3, house: 2 }),
    ]
    return {
      stored,
      deleted: stored,
      lines: [
        'lock zones for update {1}',
        'lock houses for update {2}',
        'delete attics 3',
        'delete houses 2',
        'delete zones 1',
      ],
    }
  },
  'rows of which no key changes are locked more weakly': () => {
    const [a, b] = [new Zone({ id: 1, name: 1 }), new Zone({ id: 2, name: 2 })]
    return {
      stored: [a, b],
      change: () => ([a.name, b.name] = [8, 9]),
      lines: ['lock zones for no key update {1,2}', 'update zones 1(name=8) 2(name=9)'],
    }
  },
  'a deleted row that was changed is not changed first': () => {
    const gone = node(1)
    return { stored: [gone], deleted: [gone], change: () => (gone.mark = 3), lines: ['delete nodes 1'] }
  },
  'a versioned row that lets go of a deleted one, and is written again': () => {
    const [gone, child] = [
      new Doc({ id: 1, version: 1, next: null, slot: 5 }),
      new Doc({ id: 2, version: 4, next: 1, slot: null }),
    ]
    return {
      added: [new Doc({ id: 3, version: 1, next: null, slot: 5 })],
      stored: [gone, child],
      deleted: [gone],
      change: () => (child.next = 3),
      lines: [
        'lock docs for update {2,1,2}',
        'update docs 2/4(next=null)',
        'delete docs 1/1',
        'insert docs 3(version=1 next=null slot=5)',
        'update docs 2/5(next=3)',
      ],
    }
  },
  'a place of two columns, and one of a unique index, are places; that of another index is none': () => {
    const [a, b, c] = [seat(1, 1, 1, 1, 1), seat(2, 1, 2, 2, 2), seat(3, 1, 3, 3, 3)]
    return {
      added: [seat(4, 1, 1, 9, 1), seat(5, 2, 2, 2, 3)],
      stored: [a, b, c],
      deleted: [a, b, c],
      lines: [
        'lock seats for update {1,2,3}',
        'delete seats 1 2',
        'insert seats 4(row=1 place=1 code=9 hint=1) 5(row=2 place=2 code=2 hint=3)',
        'delete seats 3',
      ],
    }
  },
  'a key that PostgreSQL hands on: what follows is written under the new one': () => {
    const [owner, pet] = [new Owner({ code: 'a' }), new Pet({ owner: 'a', no: 1, name: 'x' })]
    return {
      stored: [owner, pet],
      change: () => ([owner.code, pet.name] = ['b', 'z']),
      lines: ['update owners a(code=b)', 'update pets b/1(name=z)'],
    }
  },
  'and is deleted under the new one': () => {
    const [owner, pet] = [new Owner({ code: 'a' }), new Pet({ owner: 'a', no: 1, name: 'x' })]
    return {
      stored: [owner, pet],
      deleted: [pet],
      change: () => (owner.code = 'b'),
      lines: ['update owners a(code=b)', 'delete pets b/1'],
    }
  },
}

test.each(Object.entries(TABLE))('%s', (_what, given) => {
  const { lines, ...changes } = given()
  expect(linesOf(planOf(changes))).toEqual(lines)
})

test('a plan changes nothing, so a flush that cannot be planned leaves all as it was', () => {
  const [a, b] = marked(1, 2) as [Node, Node]
  const added = node(3, null, 1)
  const plan = planOf({
    added: [added],
    stored: [a, b],
    deleted: [b],
    change: () => ([a.mark, a.parentId] = [9, 3]),
  })
  expect([a, b, added]).toEqual([node(1, 3, 9), node(2, null, 2), node(3, null, 1)])
  expect(plan.removals.map(({ state }) => [state.status, state.markedDeleted])).toEqual([
    ['persistent', true],
  ])
  expect(plan.insertions.map(({ state }) => state.status)).toEqual(['pending'])
  // Written twice: the object counts it twice.
  expect(plan.completed.map(({ state }) => state.instance)).toEqual([a])
})
