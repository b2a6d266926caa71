/** The entities to generate, with the names that they have in JavaScript. */
import type { CatalogColumn, CatalogConstraint, CatalogTable } from './catalog-model.js'

/** One entity. */
export interface EntityPlan {
  readonly table: CatalogTable
  readonly className: string
  /** The properties by name of the column. */
  readonly properties: ReadonlyMap<string, string>
  /** The columns that tell rows apart, and whether the table has a constraint for them. Without columns: keyless. */
  readonly key: { readonly columns: readonly string[]; readonly isConstraint: boolean }
  /** Foreign keys to other entities. */
  readonly foreignKeys: readonly ForeignKeyPlan[]
  /** By name of the property, in the order in which they are written. */
  readonly relations: Map<string, RelationPlan>
}

/** A foreign key whose target is an entity. */
export interface ForeignKeyPlan {
  readonly constraint: CatalogConstraint
  readonly target: EntityPlan
}

/** A relation as it is written. */
export interface RelationPlan {
  readonly kind: 'belongsTo' | 'hasMany' | 'hasOne' | 'manyToMany'
  readonly target: EntityPlan
  /** Properties of the entity that holds the foreign key. */
  readonly keys: readonly string[]
  /** The join table. */
  readonly through?: EntityPlan
  readonly own?: readonly string[]
  readonly other?: readonly string[]
}

/** Finds a column that is known to be there. */
export function columnNamed(table: CatalogTable, name: string): CatalogColumn | undefined {
  return table.columns.find((column) => column.name === name)
}

/** How messages call a table. */
export function labelOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`
}

/** The constraints of one kind. */
export function constraintsOf(
  table: CatalogTable,
  kind: CatalogConstraint['kind'],
): readonly CatalogConstraint[] {
  return table.constraints.filter((one) => one.kind === kind)
}

/** Sets of columns of which no two rows agree in all: the key, unique constraints, whole unique indexes. */
export function uniqueSets(table: CatalogTable): (readonly string[])[] {
  const constraints = table.constraints.filter(({ kind }) => kind === 'primary key' || kind === 'unique')
  const indexes = table.indexes.filter(
    ({ unique, where, parts }) => unique && where === null && parts.every(({ column }) => column !== null),
  )
  return [
    ...constraints.map(({ columns }) => columns),
    ...indexes.map(({ parts }) => parts.map(({ column }) => column as string)),
  ]
}

/** Whether two lists name the same columns, in any order. */
export function sameColumns(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((name) => others.includes(name))
}

/** What an entity cannot say with its columns and conditions alone, and says in SQL. */
export function isRaw({ kind, special, deferrable }: CatalogConstraint): boolean {
  if (kind === 'check') return special
  return (kind === 'unique' || kind === 'primary key') && (special || deferrable)
}
