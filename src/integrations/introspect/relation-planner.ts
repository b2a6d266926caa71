/**
 * Plans relations in both directions, with names that a person would choose. A name depends only on the foreign key and the names of
 * its two tables, so another foreign key does not change it.
 */
import {
  columnNamed,
  constraintsOf,
  labelOf,
  sameColumns,
  uniqueSets,
  type EntityPlan,
  type ForeignKeyPlan,
  type RelationPlan,
} from './entity-plan.js'
import type { Findings } from './findings.js'
import { RESERVED_PROPERTIES } from './reserved-names.js'
import { camel, plural, singular, wordsOf } from './words.js'

export function planRelations(
  plans: readonly EntityPlan[],
  names: Readonly<Record<string, string>>,
  findings: Findings,
): void {
  const links = new Set(plans.filter(isLink))
  for (const plan of plans) {
    for (const key of plan.foreignKeys) {
      const id = `${labelOf(plan.table)}.${key.constraint.name}`
      if (key.target.key.columns.length > 0) {
        const name = names[id] ?? camel(relationWords(key))
        add(plan, name, { kind: 'belongsTo', target: key.target, keys: propertiesOf(plan, key) }, findings)
      }
      if (links.has(plan) || plan.key.columns.length === 0) continue
      const one = isOneToOne(plan, key)
      const name = names[`${id}<`] ?? camel(inverseWords(plan, key, one))
      add(
        key.target,
        name,
        { kind: one ? 'hasOne' : 'hasMany', target: plan, keys: propertiesOf(plan, key) },
        findings,
      )
    }
  }
  for (const link of links) planLink(link, names, findings)
}

/** All columns are parts of two foreign keys and of the key: the table only says which rows belong together. */
function isLink(plan: EntityPlan): boolean {
  const { table, key, foreignKeys } = plan
  const [first, second, third] = foreignKeys
  if (first === undefined || second === undefined || third !== undefined || !key.isConstraint) return false
  if (first.target.key.columns.length === 0 || second.target.key.columns.length === 0) return false
  if (constraintsOf(table, 'foreign key').length !== 2 || table.kind !== 'table') return false
  const columns = [...first.constraint.columns, ...second.constraint.columns]
  return (
    sameColumns(columns, key.columns) &&
    sameColumns(
      columns,
      table.columns.map(({ name }) => name),
    )
  )
}

function planLink(link: EntityPlan, names: Readonly<Record<string, string>>, findings: Findings): void {
  const [first, second] = link.foreignKeys as readonly [ForeignKeyPlan, ForeignKeyPlan]
  for (const [own, other] of [
    [first, second],
    [second, first],
  ] as const) {
    const isAmbiguous = own.target === other.target
    const words = isAmbiguous
      ? [...plural(tableWords(other.target)), 'by', ...stemWords(other)]
      : isNamedAfterBoth(link, own.target, other.target)
        ? plural(tableWords(other.target))
        : [...plural(tableWords(other.target)), 'through', ...wordsOf(link.table.name)]
    const name = names[`${labelOf(link.table)}.${other.constraint.name}<`] ?? camel(words)
    const relation: RelationPlan = {
      kind: 'manyToMany',
      target: other.target,
      keys: [],
      through: link,
      ...(isAmbiguous && { own: propertiesOf(link, own), other: propertiesOf(link, other) }),
    }
    add(own.target, name, relation, findings)
  }
}

/** `song_tags` and `tags_songs`, of songs and tags. */
function isNamedAfterBoth(link: EntityPlan, some: EntityPlan, others: EntityPlan): boolean {
  const plain = (words: readonly string[]): string => words.map((word) => singular([word]).join('')).join(' ')
  const [a, b] = [plain(wordsOf(some.table.name)), plain(wordsOf(others.table.name))]
  return [`${a} ${b}`, `${b} ${a}`].includes(plain(wordsOf(link.table.name)))
}

function tableWords({ table }: EntityPlan): string[] {
  const words = singular(wordsOf(table.name))
  return words.join('') === '' ? ['row'] : words
}

/** What the column says besides that it holds a key: `author` of `author_id`. */
function stemWords({ constraint, target }: ForeignKeyPlan): string[] {
  const [column, ...others] = constraint.columns
  const words = wordsOf(column ?? '')
  if (others.length > 0) return tableWords(target)
  const stem = words.length > 1 && ENDINGS.has(words.at(-1) as string) ? words.slice(0, -1) : words
  return stem
}

const ENDINGS = new Set(['id', 'fk', 'uuid', 'ref', 'key', 'code', 'no'])

/** A column without an ending cannot share its name with the relation, so the relation is called after the table. */
function relationWords(key: ForeignKeyPlan): string[] {
  const { constraint, target } = key
  const stem = stemWords(key)
  const [column] = constraint.columns
  if (constraint.columns.length > 1 || stem.length < wordsOf(column ?? '').length) return stem
  const table = tableWords(target)
  if (column === constraint.target?.columns[0]) return table
  return stem.join(' ') === table.join(' ') ? [...table, 'row'] : [...stem, ...table]
}

/** Short where the foreign key is called after its table: `songs`. Otherwise it says which one: `songsByAuthor`. */
function inverseWords(holder: EntityPlan, key: ForeignKeyPlan, one: boolean): string[] {
  const own = one ? tableWords(holder) : plural(tableWords(holder))
  const stem = stemWords(key)
  const target = tableWords(key.target)
  const relation = relationWords(key).join(' ')
  if (holder === key.target && stem[0] === 'parent') return one ? ['child'] : ['children']
  if (holder !== key.target && (stem.join(' ') === target.join(' ') || relation === target.join(' ')))
    return own
  return [...own, 'by', ...stem]
}

function propertiesOf(plan: EntityPlan, { constraint }: ForeignKeyPlan): string[] {
  return constraint.columns.map((name) => plan.properties.get(name) as string)
}

/** Told by uniqueness; a column that is NULL for many rows is unique all the same. */
function isOneToOne(plan: EntityPlan, { constraint }: ForeignKeyPlan): boolean {
  return uniqueSets(plan.table).some(
    (columns) =>
      sameColumns(columns, constraint.columns) &&
      columns.every((name) => columnNamed(plan.table, name) !== undefined),
  )
}

function add(plan: EntityPlan, wanted: string, relation: RelationPlan, findings: Findings): void {
  const taken = new Set([...plan.properties.values(), ...plan.relations.keys(), ...RESERVED_PROPERTIES])
  const legal = /^[\p{ID_Start}_$]/u.test(wanted) ? wanted : `_${wanted}`
  let name = legal
  if (taken.has(name)) name = `${legal}Relation`
  for (let count = 2; taken.has(name); count++) name = `${legal}Relation${count}`
  if (name !== wanted)
    findings.add('renamed', labelOf(plan.table), `its relation ${wanted} is called ${name}`)
  plan.relations.set(name, relation)
}
