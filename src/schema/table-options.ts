/** The options of an entity: keys, indexes and checks beyond its columns. */
import type { SqlFragment } from '../sql.js'
import type { ReferenceRules } from './column.js'

/** Options of `Base.entity`; names of columns are those of the properties. */
export interface EntityOptions<Name extends string, Referring extends Name = Name> {
  /** Schema of the database. Default: that of the base, or the first of the search path. */
  readonly schema?: string | undefined
  /**
   * True: the entity is a view or a materialized view, and read-only. `createAll` and `dropAll` leave it alone; `add`, `delete`,
   * changed objects and statements that write are refused with a MappingError. Its key tells its rows apart, so it has to be
   * unique. Default false.
   */
  readonly view?: boolean | undefined
  /**
   * True: nothing tells the rows of this table or view apart. `select` reads them, each as an object of its own; `insert`, `update`
   * and `deleteFrom` write them; what a session does by a key (`get`, `add`, `delete`, `refresh`, `merge`, changed objects, relations
   * to it) is refused with a MappingError. Default false.
   */
  readonly keyless?: boolean | undefined
  /**
   * How the table is partitioned, as in CREATE TABLE: `` sql`range (at)` ``. `createAll` creates no partitions, without which it takes
   * no rows: they are for migrations.
   */
  readonly partitionBy?: SqlFragment<unknown> | undefined
  /** Sets of columns of which no two rows may agree in all. */
  readonly unique?: readonly (readonly Name[])[] | undefined
  readonly indexes?: readonly IndexOptions<Name>[] | undefined
  /** Conditions that every row must meet, by the name of the constraint. */
  readonly checks?: Readonly<Record<string, SqlFragment<unknown>>> | undefined
  /**
   * Other constraints, by name, as in CREATE TABLE: `` sql`exclude using gist (during with &&)` ``. They are created; the session
   * does not know what they mean.
   */
  readonly constraints?: Readonly<Record<string, SqlFragment<unknown>>> | undefined
  /** Foreign keys of several columns; those of one column stand at the column. */
  readonly foreignKeys?: readonly ForeignKeyOptions<Referring>[] | undefined
}

/** One index. */
export interface IndexOptions<Name extends string> {
  /** Properties, or SQL such as `` sql`lower(title)` ``. */
  readonly columns: readonly (Name | SqlFragment<unknown>)[]
  /**
   * The whole rest of CREATE INDEX, from USING on, for what the options do not say:
   * `` sql`using gin (title gin_trgm_ops) with (fastupdate=off)` ``. `columns` then only say what it is about. Default: made from them.
   */
  readonly definition?: SqlFragment<unknown> | undefined
  /** Default: PostgreSQL makes one. */
  readonly name?: string | undefined
  /** Default false. */
  readonly unique?: boolean | undefined
  /** Only rows that meet the condition are in it. */
  readonly where?: SqlFragment<unknown> | undefined
  /** Access method. Default `btree`. */
  readonly using?: 'btree' | 'hash' | 'gin' | 'gist' | 'spgist' | 'brin' | undefined
}

/** A foreign key of several columns. */
export interface ForeignKeyOptions<Name extends string> extends ReferenceRules {
  readonly columns: readonly Name[]
  /** As many `'table.column'` of one table, in the same order. */
  readonly references: readonly string[]
}
