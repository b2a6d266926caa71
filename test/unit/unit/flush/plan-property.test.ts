/** Whatever changes at once: the statements of a flush, run one after the other, never break a key, and end where they should. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { declarativeBase, integer } from '../../../../src/index.js'
import { planOf, rowsOf, tableOf, type Step } from './planned.js'

const Base = declarativeBase()
class Node extends Base.entity('nodes', {
  id: integer().primaryKey(),
  parent: integer().references('nodes.id'),
  team: integer().references('teams.id'),
  mark: integer().unique(),
}) {}
class Team extends Base.entity('teams', {
  id: integer().primaryKey(),
  captain: integer().references('members.id'),
  mark: integer().unique(),
}) {}
class Member extends Base.entity('members', {
  id: integer().primaryKey(),
  team: integer().notNull().references('teams.id'),
  mark: integer().unique(),
}) {}

type Row = Record<string, number | null>
type Rows = Record<string, Map<number, Row>>

const REFERENCES = [
  ['nodes', 'parent', 'nodes'],
  ['nodes', 'team', 'teams'],
  ['teams', 'captain', 'members'],
  ['members', 'team', 'teams'],
] as const

/** A database that checks foreign keys after each statement, and a unique key when each row is written, in the worst order. */
class Database {
  readonly rows: Rows

  constructor(rows: Rows) {
    this.rows = rows
  }

  run(step: Step): void {
    if (step.kind === 'lock') return
    const { name } = tableOf(step)
    const table = this.rows[name] as Map<number, Row>
    const written = rowsOf(step)
    const before = new Map(table)
    for (const { key, values } of written) {
      const id = Number(key[0])
      const isThere = before.has(id)
      expect(isThere, `${step.kind} of ${name} ${id}`).toBe(step.kind !== 'insert')
      if (step.kind === 'delete') table.delete(id)
      else table.set(id, { ...before.get(id), id, ...numbers(values) })
    }
    for (const { key } of step.kind === 'delete' ? [] : written) {
      const id = Number(key[0])
      const mark = table.get(id)?.['mark']
      if (mark === null || mark === undefined || before.get(id)?.['mark'] === mark) continue
      for (const [other, row] of before)
        expect(row['mark'] === mark && other !== id, `${name} ${mark} is taken`).toBe(false)
    }
    for (const [from, column, to] of REFERENCES) {
      for (const row of this.rows[from]?.values() ?? []) {
        const target = row[column]
        expect(target === null || this.rows[to]?.has(target as number), `${from}.${column} ${target}`).toBe(
          true,
        )
      }
    }
  }
}

function numbers(values: Readonly<Record<string, string>>): Row {
  return Object.fromEntries(
    Object.entries(values).map(([name, text]) => [name, /null/i.test(text) ? null : Number(text)]),
  )
}

/** What the rows are before and afterwards: so many of each table, by draws that are brought into range. */
const draws = fc.record({
  kinds: fc.array(fc.constantFrom('stays', 'stays', 'goes', 'comes'), { minLength: 9, maxLength: 9 }),
  before: fc.array(fc.nat(11), { minLength: 27, maxLength: 27 }),
  after: fc.array(fc.nat(11), { minLength: 27, maxLength: 27 }),
})

type Fate = 'stays' | 'goes' | 'comes'
const NAMES = ['nodes', 'teams', 'members'] as const

/** @returns rows that break no key. */
function rowsFrom(
  present: readonly (readonly number[])[],
  numbersDrawn: readonly number[],
  marks: readonly number[],
): Rows {
  const [nodes = [], teams = [], members = []] = present
  const draw = (index: number, among: readonly number[]): number | null => {
    const drawn = numbersDrawn[index] ?? 0
    return among.length === 0 || drawn % 3 === 0 ? null : (among[drawn % among.length] ?? null)
  }
  const used = new Set<string>()
  const mark = (table: string, index: number): number | null => {
    const drawn = (marks[index] ?? 0) % 5
    if (drawn === 0 || used.has(`${table} ${drawn}`)) return null
    used.add(`${table} ${drawn}`)
    return drawn
  }
  const own = teams.length === 0 ? [] : members
  return {
    nodes: new Map(
      nodes.map((id) => [
        id,
        { id, parent: draw(id, nodes), team: draw(id + 3, teams), mark: mark('nodes', id + 9) },
      ]),
    ),
    teams: new Map(
      teams.map((id) => [id, { id, captain: draw(id + 12, own), mark: mark('teams', id + 15) }]),
    ),
    members: new Map(
      own.map((id) => [
        id,
        {
          id,
          team: teams[(numbersDrawn[id + 18] ?? 0) % teams.length] as number,
          mark: mark('members', id + 21),
        },
      ]),
    ),
  }
}

const CLASSES = { nodes: Node, teams: Team, members: Member }

test('a flush of anything breaks no key on its way, and ends as the objects are', () => {
  let circles = 0
  fc.assert(
    fc.property(draws, ({ kinds, before: first, after: second }) => {
      const idsOf = (...fates: readonly Fate[]): number[][] =>
        NAMES.map((_, table) => [0, 1, 2].filter((id) => fates.includes(kinds[table * 3 + id] as Fate)))
      const before = rowsFrom(idsOf('stays', 'goes'), first, second)
      const after = rowsFrom(idsOf('stays', 'comes'), second, first)
      // It cannot let go of its team before it has another one: there PostgreSQL has the last word.
      const isStuck = ([id, row]: readonly [number, Row]): boolean =>
        after['members']?.has(id) === true && after['teams']?.has(row['team'] as number) !== true
      if ([...(before['members'] ?? [])].some(isStuck)) return
      const objects = new Map<string, Record<string, unknown>>()
      const [stored, deleted, added]: [object[], object[], object[]] = [[], [], []]
      for (const name of NAMES) {
        for (const [id, row] of before[name] ?? []) {
          const object = new CLASSES[name](row as never)
          objects.set(`${name} ${id}`, object as never)
          stored.push(object)
          if (after[name]?.has(id) !== true) deleted.push(object)
        }
        for (const [id, row] of after[name] ?? []) {
          if (before[name]?.has(id) !== true) added.push(new CLASSES[name](row as never))
        }
      }
      const plan = planOf({
        added,
        stored,
        deleted,
        change: () => {
          for (const name of NAMES) {
            for (const [id, row] of after[name] ?? []) Object.assign(objects.get(`${name} ${id}`) ?? {}, row)
          }
        },
      })
      // Rows that take values from each other in a circle: PostgreSQL has the last word.
      if (plan.steps.some(({ circular }) => circular)) {
        circles++
        return
      }
      const database = new Database(before)
      for (const step of plan.steps) database.run(step)
      for (const name of NAMES) {
        const sorted = (rows: Rows): Row[] =>
          [...(rows[name]?.values() ?? [])].sort((a, b) => Number(a['id']) - Number(b['id']))
        expect(sorted(database.rows)).toEqual(sorted(after))
      }
    }),
    { numRuns: 250 },
  )
  expect(circles).toBeLessThan(60)
})
