/** The types of an entity for the compiler: the shape of its rows, of new objects and of updates. */
import type { SqlFragment } from '../sql.js'
import type { ColumnRef } from './column-ref.js'
import type { Columns } from './column.js'
import type { Metadata } from './metadata.js'
import type { Table } from './table.js'

/** Where an entity class keeps its declaration. */
export const ENTITY: unique symbol = Symbol.for('lifeguard.entity') as never

/** The columns as properties of an instance. */
type StoredRow<C extends Columns> = { -readonly [Name in keyof C]: C[Name]['$value'] }

type IsOptional<C extends Columns, Name extends keyof C> = null extends C[Name]['$value']
  ? true
  : [C[Name]['$flags'] & ('default' | 'generated')] extends [never]
    ? false
    : true

type WritableName<C extends Columns> = {
  [Name in keyof C]: [C[Name]['$flags'] & 'generated'] extends [never] ? Name : never
}[keyof C]

type OptionalName<C extends Columns> = {
  [Name in WritableName<C>]: IsOptional<C, Name> extends true ? Name : never
}[WritableName<C>]

/** The columns of a new row. @typeParam Given Columns that may be left out besides those with a default. */
type NewRow<C extends Columns, Given extends PropertyKey = never> = {
  [Name in Exclude<WritableName<C>, OptionalName<C> | Given>]: C[Name]['$value']
} & { [Name in OptionalName<C> | (WritableName<C> & Given)]?: C[Name]['$value'] | undefined }

/** The columns with `references()`. The flush takes their values from the object of a relation, which may come later. */
type ReferenceName<C extends Columns> = {
  [Name in keyof C]: 'reference' extends C[Name]['$flags'] ? Name : never
}[keyof C]

/** What the constructor takes: a new row, where foreign keys may be left out. */
type NewObject<C extends Columns, Referring extends string> = NewRow<C, ReferenceName<C> | Referring>

/** References to the columns of an entity, for conditions. */
export type ColumnRefs<C extends Columns> = { readonly [Name in keyof C]: ColumnRef<C[Name]['$value']> }

type ConstructorArguments<C extends Columns, Referring extends string> =
  Record<never, never> extends NewObject<C, Referring>
    ? [values?: NewObject<C, Referring>]
    : [values: NewObject<C, Referring>]

/** The class that `Base.entity` returns: to be extended, or used as it is. */
export interface EntityClass<C extends Columns, Referring extends string = never> {
  new (...values: ConstructorArguments<C, Referring>): StoredRow<C>
  readonly prototype: StoredRow<C>
  /** The columns, for conditions: `eq(Song.c.title, 'x')`. */
  readonly c: ColumnRefs<C>
  readonly [ENTITY]: EntityDeclaration<C, Referring>
}

/** What was declared; for the session. */
export interface EntityDeclaration<C extends Columns = Columns, Referring extends string = string> {
  /** Only for the type checker: the properties in foreign keys of several columns. */
  readonly $referring?: Referring
  readonly columns: C
  readonly table: Table
  readonly metadata: Metadata
  /** Conditions that hold for every query of it, by name. */
  readonly filters: Readonly<Record<string, (columns: never) => SqlFragment<unknown>>>
}

/** Any entity class. */
export interface AnyEntity {
  readonly prototype: object
  readonly [ENTITY]: EntityDeclaration
}

/** The instances of an entity class. */
export type InstanceOf<E extends AnyEntity> = E['prototype']

/** The columns of an entity class. */
export type ColumnsOf<E extends AnyEntity> = E[typeof ENTITY]['columns']

/** The names of the columns of an entity class, as properties. */
export type ColumnName<E extends AnyEntity> = keyof ColumnsOf<E> & string

/** The names of the columns that are declared as `deferred()`. */
export type DeferredName<E extends AnyEntity> = {
  [Name in ColumnName<E>]: 'deferred' extends ColumnsOf<E>[Name]['$flags'] ? Name : never
}[ColumnName<E>]

/** The columns of an instance, without what its class adds: `{ ...song }`. */
export type Row<E extends AnyEntity> = StoredRow<ColumnsOf<E>>

/**
 * What `insert(Song).values(...)` takes: every column that is not nullable and has no default; the others may be left out.
 * `new Song(...)` takes the same, but foreign keys may be left out, too.
 */
export type Insert<E extends AnyEntity> = NewRow<ColumnsOf<E>>

/** What `update(Song).set(...)` takes: any of the columns, as values or as SQL. */
export type Update<E extends AnyEntity> = {
  [Name in WritableName<ColumnsOf<E>>]?: ColumnsOf<E>[Name]['$value'] | SqlFragment<unknown> | undefined
}

type KeyName<C extends Columns> = {
  [Name in keyof C]: [C[Name]['$flags'] & 'key'] extends [never] ? never : Name
}[keyof C]

type IsUnion<T, Whole = T> = [T] extends [never]
  ? false
  : T extends unknown
    ? [Whole] extends [T]
      ? false
      : true
    : never

/** The primary key as `get` takes it: the value itself, or for a composite key an object by property. */
export type KeyOf<E extends AnyEntity> = KeyOfColumns<ColumnsOf<E>>

type KeyOfColumns<C extends Columns> =
  IsUnion<KeyName<C>> extends true
    ? { readonly [Name in KeyName<C>]: C[Name]['$value'] }
    : C[KeyName<C>]['$value']
