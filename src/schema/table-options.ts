/** The options of an entity: keys, indexes and checks beyond its columns. */
import type { SqlFragment } from '../sql.js'
import type { ReferenceRules } from './column.js'

/** Options of `Base.entity`; names of columns are those of the properties. */
export interface EntityOptions<Name extends string, Referring extends Name = Name> {
  /** Schema of the database. Default: that of the base, or the first of the search path. */
  readonly schema?: string | undefined
  /**
   * True: the entity is a view or a materialized view, and read-only. `createAll` and `dropAll` ignore it; `add`, `delete`,
   * changed objects and statements that write throw a MappingError. Its primary key must be unique in the view. Default false.
   */
  readonly view?: boolean | undefined
  /**
   * True: the table or view has no columns that identify its rows. `select` reads each row as a separate object; `insert`,
   * `update` and `deleteFrom` write rows. Everything that needs a key (`get`, `add`, `delete`, `refresh`, `merge`, changed
   * objects, relations to it) throws a MappingError. Default false.
   */
  readonly keyless?: boolean | undefined
  /**
   * How the table is partitioned, as in CREATE TABLE: `` sql`range (at)` ``. `createAll` does not create partitions: create
   * them in migrations, because the table accepts no rows without them.
   */
  readonly partitionBy?: SqlFragment<unknown> | undefined
  /** Unique keys of several columns: no two rows may have the same values in all of them. */
  readonly unique?: readonly (readonly Name[])[] | undefined
  readonly indexes?: readonly IndexOptions<Name>[] | undefined
  /** Conditions that every row must meet, by the name of the constraint. */
  readonly checks?: Readonly<Record<string, SqlFragment<unknown>>> | undefined
  /**
   * Other constraints, by name, as in CREATE TABLE: `` sql`exclude using gist (during with &&)` ``. `createAll` creates them;
   * the session does not use them.
   */
  readonly constraints?: Readonly<Record<string, SqlFragment<unknown>>> | undefined
  /** Foreign keys of several columns. For one column use `references()`. */
  readonly foreignKeys?: readonly ForeignKeyOptions<Referring>[] | undefined
}

/** One index. */
export interface IndexOptions<Name extends string> {
  /** Properties, or SQL such as `` sql`lower(title)` ``. */
  readonly columns: readonly (Name | SqlFragment<unknown>)[]
  /**
   * The rest of CREATE INDEX, from USING on, if the other options are not sufficient:
   * `` sql`using gin (title gin_trgm_ops) with (fastupdate=off)` ``.
   * Then `columns` is used for the name only. Default: made from the other options.
   */
  readonly definition?: SqlFragment<unknown> | undefined
  /** Default: PostgreSQL makes one. */
  readonly name?: string | undefined
  /** Default false. */
  readonly unique?: boolean | undefined
  /** A partial index: it contains only rows that meet the condition. */
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
