/** Compares keys, constraints and indexes of an entity with those of the database. Their names are not compared. */
import type { CatalogConstraint, CatalogIndex, CatalogTable } from '../introspect/catalog-model.js'
import { ident, type Differences } from './difference.js'
import { live, lossy, mentions, type Proposal } from './proposal.js'

/** What the comparison of constraints needs to know besides. */
interface ConstraintContext {
  /** Names that the schema has already. */
  readonly names: ReadonlySet<string>
  /** Columns that are changed by comments only. */
  readonly anew: ReadonlySet<string>
  /** Drops the foreign keys that need a key, and creates them, around a change of the key. */
  aroundKey(table: CatalogTable, columns: readonly string[]): readonly Proposal[]
}

/** @param wanted The table as PostgreSQL understands the entity. */
export function compareConstraints(
  where: string,
  wanted: CatalogTable,
  found: CatalogTable,
  context: ConstraintContext,
  differences: Differences,
): void {
  for (const kind of ['primary key', 'unique', 'check', 'exclusion'] as const)
    compareKind(kind, where, wanted, found, context, differences)
  compareIndexes(where, wanted, found, context, differences)
}

const TEXTS = {
  'primary key': 'primary key',
  unique: 'unique constraint',
  check: 'check',
  exclusion: 'exclusion constraint',
} as const

function compareKind(
  kind: keyof typeof TEXTS,
  where: string,
  wanted: CatalogTable,
  found: CatalogTable,
  context: ConstraintContext,
  differences: Differences,
): void {
  const alter = `alter table ${ident(found.schema, found.name)}`
  const text = TEXTS[kind]
  const step = kind === 'primary key' || kind === 'unique' ? 'key' : 'constraint'
  const breaks = kind === 'primary key' ? 'writing' : 'nothing'
  const left = unmatched(kind, found, wanted)
  const proposed = (one: CatalogConstraint): typeof live =>
    [...context.anew].some((column) => one.columns.includes(column) || mentions(one.definition, column))
      ? lossy
      : live
  for (const one of unmatched(kind, wanted, found)) {
    const at = left.findIndex((other) => isSuccessor(one, other))
    const [before] = at < 0 ? [] : left.splice(at, 1)
    if (before === undefined) {
      // PostgreSQL finds another name where this one is taken.
      const name = context.names.has(one.name) || step === 'key' ? '' : `constraint ${ident(one.name)} `
      differences.add(where, 'missing', breaks, `${text} ${shown(one)} is not in the database`, [
        proposed(one)(step, `${alter} add ${name}${one.definition}`),
      ])
    } else {
      differences.add(
        where,
        'different',
        breaks,
        `${text} ${before.name}: the database has ${before.definition}, the entity ${one.definition}`,
        [
          ...(step === 'key' ? context.aroundKey(found, before.columns) : []),
          proposed(one)('drop constraint', `${alter} drop constraint ${ident(before.name)}`),
          proposed(one)(step, `${alter} add constraint ${ident(before.name)} ${one.definition}`),
        ],
      )
    }
  }
  for (const one of left) {
    // A key for the session alone stands in no table.
    if (kind === 'primary key' && wanted.constraints.every((other) => other.kind !== kind)) {
      differences.add(where, 'extra', 'nothing', `${text} ${shown(one)} is no constraint for the entity`)
      continue
    }
    differences.add(where, 'extra', 'nothing', `${text} ${shown(one)} (${one.name}) is not in the entity`, [
      lossy('drop constraint', `${alter} drop constraint ${ident(one.name)}`),
    ])
  }
}

/** The constraints of one table that the other table does not have. */
function unmatched(kind: keyof typeof TEXTS, table: CatalogTable, other: CatalogTable): CatalogConstraint[] {
  const there = other.constraints.filter((one) => one.kind === kind).map(signature)
  return table.constraints.filter((one) => {
    if (one.kind !== kind) return false
    const at = there.indexOf(signature(one))
    // Twice the same is once enough.
    return at < 0 && !(kind === 'unique' && isPlainKey(one) && hasUniqueIndex(other, one.columns))
  })
}

/** Whether a constraint takes the place of another one, which has to go first. */
function isSuccessor(one: CatalogConstraint, other: CatalogConstraint): boolean {
  if (one.kind === 'primary key' || one.name === other.name) return true
  return one.kind === 'unique' && [...one.columns].sort().join('\0') === [...other.columns].sort().join('\0')
}

/** The columns of a key, the text of the others. */
function shown(one: CatalogConstraint): string {
  return one.kind === 'check'
    ? (one.expression ?? '')
    : one.kind === 'exclusion' || one.period
      ? one.definition
      : `(${one.columns.join(', ')})`
}

function signature(one: CatalogConstraint): string {
  if (one.kind === 'check') return one.special ? one.definition : (one.expression ?? '')
  if (one.kind === 'exclusion' || one.special) return one.definition
  return `${[...one.columns].sort().join('\0')} ${one.deferrable} ${one.deferred}`
}

function isPlainKey({ special, deferrable }: CatalogConstraint): boolean {
  return !special && !deferrable
}

function hasUniqueIndex({ indexes }: CatalogTable, columns: readonly string[]): boolean {
  return indexes.some((index) => isUniqueOver(index, columns))
}

function isUniqueOver({ unique, where, parts, plain }: CatalogIndex, columns: readonly string[]): boolean {
  return (
    unique &&
    plain &&
    where === null &&
    parts.length === columns.length &&
    parts.every(({ column }) => column !== null && columns.includes(column))
  )
}

function compareIndexes(
  where: string,
  wanted: CatalogTable,
  found: CatalogTable,
  context: ConstraintContext,
  differences: Differences,
): void {
  const table = ident(found.schema, found.name)
  const sign = ({ unique, definition }: CatalogIndex): string => `${unique ? 'unique ' : ''}${definition}`
  const left = [...found.indexes]
  const missing = wanted.indexes.filter((index) => {
    const at = left.findIndex((other) => sign(other) === sign(index))
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  for (const index of missing) {
    const unique = index.unique ? 'unique ' : ''
    const at = left.findIndex(({ name }) => name === index.name)
    const [before] = at < 0 ? [] : left.splice(at, 1)
    const propose = [...context.anew].some((column) => mentions(index.definition, column)) ? lossy : live
    const create = (name: string): Proposal =>
      propose('constraint', `create ${unique}index ${name}on ${table} ${index.definition}`)
    if (before === undefined) {
      differences.add(
        where,
        'missing',
        'nothing',
        `${unique}index ${index.definition} is not in the database`,
        [create(context.names.has(index.name) ? '' : `${ident(index.name)} `)],
      )
    } else {
      differences.add(
        where,
        'different',
        before.unique ? 'writing' : 'nothing',
        `index ${index.name}: the database has ${sign(before)}, the entity ${sign(index)}`,
        [
          propose('drop constraint', `drop index ${ident(found.schema, before.name)}`),
          create(`${ident(index.name)} `),
        ],
      )
    }
  }
  for (const index of left) {
    const breaks = index.unique ? 'writing' : 'nothing'
    const message = `${index.unique ? 'unique ' : ''}index ${index.name} ${index.definition} is not in the entity`
    // Without it the unique constraint is missing for which it stands.
    const stood = wanted.constraints.find(
      (one) =>
        one.kind === 'unique' &&
        isPlainKey(one) &&
        isUniqueOver(index, one.columns) &&
        found.constraints.every((other) => other.kind !== 'unique' || signature(other) !== signature(one)),
    )
    differences.add(where, 'extra', breaks, message, [
      lossy('drop constraint', `drop index ${ident(found.schema, index.name)}`),
      ...(stood === undefined
        ? []
        : [
            ...context.aroundKey(found, stood.columns).map((one) => ({ ...one, isLossy: true })),
            lossy('key', `alter table ${table} add ${stood.definition}`),
          ]),
    ])
  }
}
