/** The objects of a database's catalog as plain data, with the names that they have there. */

/** Everything that was asked for. Tables are ordered by schema and name. */
export interface Catalog {
  /** The schema that statements mean which name none. */
  readonly currentSchema: string | null
  /** Extensions whose operators and functions the tables use, by name. */
  readonly extensions: readonly string[]
  /** Sequences that defaults of the tables use and no column owns. */
  readonly sequences: readonly CatalogSequence[]
  readonly tables: readonly CatalogTable[]
  /** By oid. */
  readonly types: ReadonlyMap<string, CatalogType>
}

/** A sequence. */
export interface CatalogSequence {
  readonly schema: string
  readonly name: string
  /** What follows its name in CREATE SEQUENCE, without what is the default. */
  readonly definition: string
  /** As in the default of a column. */
  readonly nextval: string
}

export type TableKind = 'table' | 'partitioned table' | 'foreign table' | 'view' | 'materialized view'

/** A table or a view. */
export interface CatalogTable {
  readonly oid: string
  readonly schema: string
  readonly name: string
  readonly kind: TableKind
  readonly comment: string | null
  /** As `range (at)`. */
  readonly partitionBy: string | null
  /** The tables that it inherits from, in SQL. */
  readonly inherits: readonly string[]
  readonly rowSecurity: boolean
  readonly columns: readonly CatalogColumn[]
  readonly constraints: readonly CatalogConstraint[]
  /** Those that belong to no constraint. */
  readonly indexes: readonly CatalogIndex[]
}

/** A column of a table. */
export interface CatalogColumn {
  readonly number: number
  readonly name: string
  /** Oid. */
  readonly type: string
  readonly modifier: number
  /** The type with its modifier, in SQL. */
  readonly typeText: string
  readonly dimensions: number
  /** As the column says, or its domain. */
  readonly notNull: boolean
  readonly identity: 'always' | 'by default' | null
  /** A sequence that the column owns gives its default. */
  readonly serial: boolean
  /** SQL; null for what is serial, identity or generated. */
  readonly default: string | null
  readonly generated: { readonly expression: string; readonly stored: boolean } | null
  /** Another than that of its type. */
  readonly collation: string | null
  readonly comment: string | null
}

export type ConstraintKind = 'primary key' | 'unique' | 'check' | 'foreign key' | 'exclusion'

/** A constraint of a table. */
export interface CatalogConstraint {
  readonly name: string
  readonly kind: ConstraintKind
  /** Names, in the order of the constraint. */
  readonly columns: readonly string[]
  readonly deferrable: boolean
  readonly deferred: boolean
  readonly validated: boolean
  /** As in CREATE TABLE. */
  readonly definition: string
  /** Of a check, in SQL. */
  readonly expression: string | null
  /** It says more than its columns: NULLS NOT DISTINCT, INCLUDE, WITHOUT OVERLAPS, MATCH FULL, columns of SET NULL. */
  readonly special: boolean
  readonly target: ForeignKeyTarget | null
}

/** What a foreign key refers to. */
export interface ForeignKeyTarget {
  readonly schema: string
  readonly table: string
  readonly columns: readonly string[]
  readonly onDelete: ForeignKeyAction
  readonly onUpdate: ForeignKeyAction
}

export type ForeignKeyAction = 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default'

/** An index. */
export interface CatalogIndex {
  readonly name: string
  readonly unique: boolean
  readonly method: string
  /** The name of a column, or an expression in SQL. */
  readonly parts: readonly { readonly column: string | null; readonly expression: string | null }[]
  /** SQL of its condition. */
  readonly where: string | null
  /** Nothing but method, parts and condition: usual order, operators, collation, no further columns. */
  readonly plain: boolean
  /** What stands behind the table in CREATE INDEX. */
  readonly definition: string
}

export type TypeKind = 'base' | 'enum' | 'domain' | 'composite' | 'range' | 'multirange' | 'pseudo'

/** A type. */
export interface CatalogType {
  readonly oid: string
  readonly schema: string
  readonly name: string
  readonly kind: TypeKind
  /** Oid of the elements, of an array. */
  readonly element: string | null
  /** Of an extension. */
  readonly extension: { readonly name: string; readonly schema: string } | null
  readonly labels: readonly string[]
  readonly fields: readonly CatalogField[]
  readonly domain: CatalogDomain | null
  readonly range: CatalogRange | null
  /** Of a multirange: the oid of its range. */
  readonly rangeOf: string | null
}

/** A field of a composite type. */
export interface CatalogField {
  readonly name: string
  readonly type: string
  readonly modifier: number
  readonly typeText: string
  readonly dimensions: number
}

/** What a domain adds to its type. */
export interface CatalogDomain {
  readonly base: string
  readonly modifier: number
  readonly typeText: string
  readonly dimensions: number
  readonly notNull: boolean
  readonly default: string | null
  readonly checks: readonly { readonly name: string; readonly expression: string }[]
}

/** What a range is made of. */
export interface CatalogRange {
  readonly subtype: string
  readonly difference: string | null
  readonly multirange: string | null
}
