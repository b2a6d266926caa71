/** Decides which tables, views and types become entities, and names the entities and their properties. */
import type { Catalog, CatalogConstraint, CatalogTable } from './catalog-model.js'
import {
  constraintsOf,
  columnNamed,
  isRaw,
  labelOf,
  uniqueSets,
  type EntityPlan,
  type ForeignKeyPlan,
} from './entity-plan.js'
import type { Findings } from './findings.js'
import { planRelations } from './relation-planner.js'
import { RESERVED_CLASSES, RESERVED_PROPERTIES } from './reserved-names.js'
import { camel, pascal, singular, wordsOf } from './words.js'

/** What a person decides otherwise. */
export interface NameOverrides {
  /**
   * Names by object: `'schema.table'` the class, `'schema.table.column'` the property, `'schema.table.foreign_key'` (the name of
   * the constraint) the relation, `'schema.table.foreign_key<'` the relation back.
   */
  readonly names?: Readonly<Record<string, string>> | undefined
  /** Columns that tell the rows of a view or a table without a key apart, by `'schema.table'`. */
  readonly keys?: Readonly<Record<string, readonly string[]>> | undefined
}

export function planEntities(catalog: Catalog, overrides: NameOverrides, findings: Findings): EntityPlan[] {
  const classNames = nameClasses(catalog, overrides, findings)
  const plans: (EntityPlan & { foreignKeys: ForeignKeyPlan[] })[] = catalog.tables
    .filter((table) => hasColumns(table, findings))
    .map((table) => ({
      table,
      className: classNames.get(table) as string,
      properties: nameProperties(table, overrides, findings),
      key: keyOf(table, overrides, findings),
      foreignKeys: [],
      relations: new Map(),
    }))
  const byName = new Map(plans.map((plan) => [labelOf(plan.table), plan]))
  for (const plan of plans) {
    // Names of constraints have no part in the order: PostgreSQL gives others where the entities are created elsewhere.
    const place = ({ columns, target }: CatalogConstraint): string =>
      [
        ...columns.map((name) => String(columnNamed(plan.table, name)?.number).padStart(5, '0')),
        target?.schema,
        target?.table,
        ...(target?.columns ?? []),
      ].join('\0')
    const keys = constraintsOf(plan.table, 'foreign key').toSorted((a, b) => (place(a) < place(b) ? -1 : 1))
    for (const constraint of keys) {
      const target = byName.get(
        labelOf({ schema: constraint.target?.schema ?? '', name: constraint.target?.table ?? '' }),
      )
      if (constraint.period) {
        findings.add(
          'left out',
          labelOf(plan.table),
          `the foreign key ${constraint.name}, which has PERIOD: it does not lead to one row, and ddl() does not create it`,
        )
      } else if (target === undefined) {
        findings.add(
          'left out',
          `${labelOf(plan.table)}`,
          `the foreign key ${constraint.name}, which leads to ${constraint.target?.schema}.${constraint.target?.table}: that is no entity here`,
        )
      } else if (plan.foreignKeys.some((one) => isSameKey(one, constraint))) {
        findings.add(
          'left out',
          labelOf(plan.table),
          `the foreign key ${constraint.name}, which duplicates another one`,
        )
      } else {
        plan.foreignKeys.push({ constraint, target })
      }
    }
  }
  planRelations(plans, overrides.names ?? {}, findings)
  return plans
}

function isSameKey({ constraint }: ForeignKeyPlan, other: ForeignKeyPlan['constraint']): boolean {
  return (
    constraint.columns.join('\0') === other.columns.join('\0') &&
    constraint.target?.columns.join('\0') === other.target?.columns.join('\0') &&
    constraint.target?.table === other.target?.table &&
    constraint.target?.schema === other.target?.schema
  )
}

function hasColumns(table: CatalogTable, findings: Findings): boolean {
  if (table.columns.length > 0) return true
  findings.add('left out', labelOf(table), 'a table without columns')
  return false
}

/**
 * Namesakes of one schema keep their plural; of namesakes in several schemas those outside of the current schema have their schema in front, so
 * that a new schema renames no class of the current one.
 */
function nameClasses(
  { tables, currentSchema }: Catalog,
  { names = {} }: NameOverrides,
  findings: Findings,
): Map<CatalogTable, string> {
  const short = remembered((table: CatalogTable) => pascal(singular(wordsOf(table.name))))
  const sharing = counted(tables, (table) => `${table.schema}\0${short(table).toLowerCase()}`)
  const words = (table: CatalogTable): string[] =>
    sharing(table) > 1 ? wordsOf(table.name) : singular(wordsOf(table.name))
  const plain = remembered((table: CatalogTable) => pascal(words(table)))
  const namesakes = counted(tables, (table) => plain(table).toLowerCase())
  const neighbours = counted(tables, (table) => `${table.schema}\0${plain(table).toLowerCase()}`)
  const isElsewhere = (table: CatalogTable): boolean => namesakes(table) > neighbours(table)
  const form = remembered((table: CatalogTable) =>
    table.schema !== currentSchema && isElsewhere(table)
      ? pascal([...wordsOf(table.schema), ...words(table)])
      : plain(table),
  )
  const chosen = new Map<CatalogTable, string>()
  const taken = new Set(
    Object.entries(names)
      .filter(([of]) => tables.some((table) => labelOf(table) === of))
      .map(([, name]) => name),
  )
  // Where numbers have to tell tables apart, the table that is called so itself has none.
  const rank = (table: CatalogTable): number =>
    (table.schema === currentSchema ? 0 : 2) + (form(table) === table.name ? 0 : 1)
  for (const table of tables.toSorted((a, b) => rank(a) - rank(b))) {
    const given = names[labelOf(table)]
    const name = given ?? unique(legalClass(form(table)), taken)
    taken.add(name)
    chosen.set(table, name)
    if (given === undefined && name !== short(table))
      findings.add(
        'renamed',
        labelOf(table),
        `its class is called ${name}, as ${short(table) || 'its name'} is taken or cannot be the name of a class`,
      )
  }
  return chosen
}

/** The function, which computes each result once: a schema may have thousands of tables. */
function remembered(compute: (table: CatalogTable) => string): (table: CatalogTable) => string {
  const results = new Map<CatalogTable, string>()
  return (table) => {
    const result = results.get(table) ?? compute(table)
    results.set(table, result)
    return result
  }
}

/** How many tables have the key of a table. */
function counted(
  tables: readonly CatalogTable[],
  keyOf: (table: CatalogTable) => string,
): (table: CatalogTable) => number {
  const counts = new Map<string, number>()
  for (const table of tables) counts.set(keyOf(table), (counts.get(keyOf(table)) ?? 0) + 1)
  return (table) => counts.get(keyOf(table)) ?? 0
}

function legalClass(name: string): string {
  const legal = /^[\p{ID_Start}_$]/u.test(name) ? name : `Table${name}`
  return RESERVED_CLASSES.has(legal) ? `${legal}Row` : legal
}

/** The name, or with the first number from 2 that makes it another one. */
export function unique(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name
  let count = 2
  while (taken.has(`${name}${count}`)) count += 1
  return `${name}${count}`
}

function nameProperties(
  table: CatalogTable,
  { names = {} }: NameOverrides,
  findings: Findings,
): Map<string, string> {
  const properties = new Map<string, string>()
  const taken = new Set<string>()
  const wanted = (name: string): string => {
    const made = camel(wordsOf(name))
    const legal = /^[\p{ID_Start}_$]/u.test(made) ? made : made === '' ? 'column' : `_${made}`
    return RESERVED_PROPERTIES.has(legal) ? `${legal}_` : legal
  }
  const choose = (name: string, property: string): void => {
    taken.add(property)
    properties.set(name, property)
  }
  for (const { name } of table.columns) {
    const given = names[`${labelOf(table)}.${name}`]
    if (given !== undefined) choose(name, given)
  }
  // Whose name is the property's already keeps it.
  for (const { name } of table.columns) {
    if (!properties.has(name) && wanted(name) === name && !taken.has(name)) choose(name, name)
  }
  for (const { name } of table.columns) {
    if (properties.has(name)) continue
    const property = unique(wanted(name), taken)
    choose(name, property)
    if (property !== camel(wordsOf(name)))
      findings.add('renamed', `${labelOf(table)}.${name}`, `the property is called ${property}`)
  }
  return new Map(table.columns.map(({ name }) => [name, properties.get(name) as string]))
}

function keyOf(table: CatalogTable, { keys = {} }: NameOverrides, findings: Findings): EntityPlan['key'] {
  const where = labelOf(table)
  const given = keys[where]
  if (given !== undefined) {
    const missing = given.find((name) => columnNamed(table, name) === undefined)
    if (missing === undefined) return { columns: given, isConstraint: false }
    findings.add('hint', where, `keys names ${missing}, which is no column of it`)
  }
  const [primary] = constraintsOf(table, 'primary key')
  // What its columns alone do not say stands among the constraints.
  if (primary !== undefined) return { columns: primary.columns, isConstraint: !isRaw(primary) }
  const isView = table.kind === 'view' || table.kind === 'materialized view'
  const candidates = uniqueSets(table)
    // PostgreSQL does not know which columns of a materialized view are never NULL.
    .filter((columns) => isView || columns.every((name) => columnNamed(table, name)?.notNull === true))
    .sort((a, b) => a.length - b.length)
  const [best] = candidates
  if (best !== undefined) {
    findings.add(
      'hint',
      where,
      `has no primary key: ${best.join(', ')} tell${best.length === 1 ? 's' : ''} its rows apart, and is its key here`,
    )
    return { columns: best, isConstraint: false }
  }
  findings.add(
    'hint',
    where,
    `has no key, so it is keyless: read it with select(), write it with insert(), update() and deleteFrom(). ${isView ? `Name the columns that identify its rows in keys: { '${where}': [...] }` : 'Better: give it a primary key'}`,
  )
  return { columns: [], isConstraint: false }
}
