/** The objects of a database's catalog as plain data, with the names that they have there. */

/** Everything that was asked for. Tables are ordered by schema and name. */
export interface Catalog {
  /** The schema that statements mean which name none. */
  readonly currentSchema: string | null
  /** Of the session, which reading it has changed until the end of the transaction. */
  readonly settings: Readonly<Record<string, string>>
  /** Extensions whose operators and functions the tables use, by name. */
  readonly extensions: readonly string[]
  /** What the tables and types use and no entity declares. */
  readonly needs: readonly CatalogNeed[]
  /** Sequences that defaults of the tables use and no serial or identity column makes. */
  readonly sequences: readonly CatalogSequence[]
  readonly tables: readonly CatalogTable[]
  /** By oid. */
  readonly types: ReadonlyMap<string, CatalogType>
}

/** A function, an operator, a collation or a text search configuration that a default, a constraint or an index uses, or an extension in a schema of its own. */
export interface CatalogNeed {
  /** The table or the type that uses it, as messages call it; or the extension. */
  readonly where: string
  /** In SQL: `function public.slug(text)`. */
  readonly what: string
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
  /** Not written to the WAL. */
  readonly unlogged: boolean
  /** Storage parameters, in SQL. */
  readonly storage: string | null
  /** Names. */
  readonly triggers: readonly string[]
  /** Names. */
  readonly rules: readonly string[]
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
  /** The constraint that refuses NULL only in new rows: the others may have it. */
  readonly newNotNull: string | null
  readonly identity: 'always' | 'by default' | null
  /** A sequence that the column owns gives its default. */
  readonly serial: boolean
  /** Of the sequence of an identity or serial column: what it does otherwise than usual, in SQL. */
  readonly sequence: string | null
  /** The sequence that the column owns, in SQL; not that of an identity. */
  readonly sequenceName: string | null
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
  readonly enforced: boolean
  /** WITHOUT OVERLAPS, or PERIOD of a foreign key. */
  readonly period: boolean
  /** As in CREATE TABLE, without NOT VALID. */
  readonly definition: string
  /** Of a check, in SQL. */
  readonly expression: string | null
  /**
   * It says more than its columns or its condition: NULLS NOT DISTINCT, INCLUDE, WITHOUT OVERLAPS, MATCH FULL, columns of SET NULL, NO INHERIT,
   * NOT ENFORCED.
   */
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
  /** What follows the referenced columns, in SQL. */
  readonly rules: string
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
