/** The declaration of a column: a type, and modifiers that each give a new declaration. */
import type { ArrayElement } from '../driver/array-parameter.js'
import { MappingError } from '../errors.js'
import type { SqlFragment } from '../sql.js'
import { arrayCodec } from '../codecs/array-codec.js'
import type { Codec } from '../codecs/codec.js'
import { refusalOfElement, type Refusal } from '../codecs/value-limits.js'
import { always } from './respelling.js'

/** What the types need to know of a column beyond its value: part of the key, filled in when absent, computed, a foreign key, not loaded. */
export type ColumnFlag = 'key' | 'default' | 'generated' | 'reference' | 'deferred'

/** A type of PostgreSQL and the codec of its values. */
export interface ColumnType {
  /** As in CREATE TABLE: `varchar(80)`, `integer`, `serial`. */
  readonly ddl: string
  /**
   * The same for a cast, without a length: an explicit cast to `varchar(80)` would cut a longer value where storing it
   * fails.
   */
  readonly cast: string
  readonly codec: Codec<unknown>
  /** How many values are sent at once, in binary form; default: as the literal of an array. */
  readonly element?: ArrayElement | undefined
  /** Why PostgreSQL would not store a value that the codec has written; undefined if it would. */
  readonly refusal?: Refusal | undefined
  /** Whether PostgreSQL may store a text in another form: rounded, padded, written anew. Absent: never. */
  readonly respells?: ((text: string) => boolean) | undefined
  /** One text for all texts that PostgreSQL treats as equal, as far as known here. Absent: texts are compared as they are. */
  readonly normal?: ((text: string) => string) | undefined
  readonly isArray?: boolean
  /**
   * Many values are sent as texts, not as an array of the type: `unnest` would take arrays of arrays apart to their last
   * dimension, and some types (`box`) write their arrays in a way of their own.
   */
  readonly travelsAsText?: boolean
  /** A sequence that the column owns makes its values. */
  readonly serial?: boolean
  readonly enumType?: EnumDefinition
}

/** An enum type of the database. */
export interface EnumDefinition {
  readonly name: string
  readonly schema: string | undefined
  readonly values: readonly string[]
}

/** What happens to a row when the row that it refers to goes away or changes its key. */
export type ReferenceAction = 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default'

/** Rules of a foreign key. */
export interface ReferenceRules {
  /** Default: `no action`, the delete is refused. */
  readonly onDelete?: ReferenceAction | undefined
  /** Default: `no action`, the update is refused. */
  readonly onUpdate?: ReferenceAction | undefined
  /** True: checked at COMMIT, not after each statement (`DEFERRABLE INITIALLY DEFERRED`). Default false. */
  readonly deferred?: boolean | undefined
}

/** The declaration of a column, with its type and all modifiers. */
export interface ColumnDefinition {
  readonly type: ColumnType
  /** Name in the database; default: the name of the property. */
  readonly name?: string | undefined
  readonly nullable: boolean
  readonly primaryKey?: boolean
  readonly unique?: boolean
  readonly index?: boolean
  readonly version?: boolean
  /** Not loaded unless it is asked for. */
  readonly deferred?: boolean
  readonly default?: () => unknown
  readonly serverDefault?: SqlFragment<unknown>
  readonly generated?: SqlFragment<unknown>
  readonly onUpdate?: (() => unknown) | SqlFragment<unknown>
  readonly references?: { readonly target: string; readonly rules: ReferenceRules }
  readonly checks?: readonly SqlFragment<unknown>[]
}

/** The columns of an entity by property name. */
export type Columns = Record<string, Column<unknown, ColumnFlag>>

/**
 * A column of an entity. Made by the type functions (`text()`, `uuid()`, ...); every modifier returns a new column, so
 * declarations may be shared between entities. Without `notNull` a column takes NULL.
 *
 * @example
 * const plays = integer('play_count').notNull().default(0).check(sql`play_count >= 0`)
 */
export class Column<Value, Flags extends ColumnFlag = never> {
  /** Only for the type checker. */
  declare readonly $value: Value
  /** Only for the type checker. */
  declare readonly $flags: Flags
  readonly definition: ColumnDefinition

  constructor(definition: ColumnDefinition) {
    this.definition = definition
  }

  #with<NewValue, NewFlags extends ColumnFlag>(
    change: Partial<ColumnDefinition>,
  ): Column<NewValue, NewFlags> {
    return new Column({ ...this.definition, ...change })
  }

  /** Refuses NULL. */
  notNull(): Column<NonNullable<Value>, Flags> {
    return this.#with({ nullable: false })
  }

  /** Makes it (part of) the primary key; on several columns: a composite key, in the order of declaration. */
  primaryKey(): Column<NonNullable<Value>, Flags | 'key'> {
    return this.#with({ nullable: false, primaryKey: true })
  }

  /** No two rows may have the same value (NULL excepted). For several columns: `unique` in the entity's options. */
  unique(): Column<Value, Flags> {
    return this.#with({ unique: true })
  }

  /** Gives it an index. For several columns or conditions: `indexes` in the entity's options. */
  index(): Column<Value, Flags> {
    return this.#with({ index: true })
  }

  /**
   * The value of new objects that bring none; a function is called for each. Set by the constructor, so it can be read
   * before anything is stored.
   * @example
   * id: uuid().primaryKey().default(randomUUID)
   */
  default(value: NonNullable<Value> | (() => NonNullable<Value>)): Column<Value, Flags | 'default'> {
    if (typeof value === 'function') return this.#with({ default: value as () => unknown })
    const { codec } = this.definition.type
    // Each object gets a copy of its own of what could be changed in place.
    if (codec.mutable) return this.#with({ default: () => codec.decode(codec.encode(value)) })
    return this.#with({ default: () => value })
  }

  /**
   * The value that PostgreSQL fills in when a new row brings none. The property is `undefined` until the object has been
   * flushed. It stands in the table's definition, so it must not hold parameters.
   * @example
   * createdAt: timestamptz('created_at').notNull().serverDefault(sql`now()`)
   */
  serverDefault(expression: SqlFragment<unknown>): Column<Value, Flags | 'default'> {
    return this.#with({ serverDefault: expression })
  }

  /**
   * The value that the column gets whenever its row is updated without setting it: a function, called for each object,
   * or SQL that PostgreSQL evaluates.
   * @example
   * updatedAt: timestamptz('updated_at').notNull().serverDefault(sql`now()`).onUpdate(sql`now()`)
   */
  onUpdate(value: (() => Value) | SqlFragment<unknown>): Column<Value, Flags> {
    return this.#with({ onUpdate: value })
  }

  /**
   * Computed by PostgreSQL from other columns of the row (`GENERATED ALWAYS AS (...) STORED`): read only.
   * @example
   * total: numeric().generated(sql`price * amount`)
   */
  generated(expression: SqlFragment<unknown>): Column<Value, Flags | 'generated'> {
    return this.#with({ generated: expression })
  }

  /**
   * A foreign key on `'table.column'` (`'schema.table.column'` outside the default schema), by the names in the
   * database. It is a string because classes refer to each other in circles; it is checked when the metadata is first
   * used, and a wrong one throws a MappingError. Composite keys: `foreignKeys` in the entity's options.
   * @example
   * albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' })
   */
  references(target: string, rules: ReferenceRules = {}): Column<Value, Flags | 'reference'> {
    return this.#with({ references: { target, rules } })
  }

  /**
   * Not loaded with the object unless it is asked for, as it is large: `select(Song).undefer('body')`,
   * `session.get(Song, id, { undefer: ['body'] })`, `session.refresh(song, { columns: ['body'] })`. Until then the object has
   * no such property (a copy by spread or JSON goes without it), reading it throws ExpiredAttributeError, and what is set is
   * written. New objects have it, and what `returning()` gives.
   * @throws MappingError when the entity is declared, for a column that names rows (a key, `unique`, `references`) or a version.
   * @example
   * body: text().notNull().deferred()
   */
  deferred(): Column<Value, Flags | 'deferred'> {
    return this.#with({ deferred: true })
  }

  /** A condition that every row must meet. It stands in the table's definition, so it must not hold parameters. */
  check(condition: SqlFragment<unknown>): Column<Value, Flags> {
    return this.#with({ checks: [...(this.definition.checks ?? []), condition] })
  }

  /**
   * An array of what it was, of one dimension.
   * @throws MappingError on an array.
   */
  array(): Column<NonNullable<Value>[] | (null extends Value ? null : never), Flags> {
    const { ddl, cast, codec, refusal, respells, isArray, serial, enumType } = this.definition.type
    if (isArray === true || serial === true) throw new MappingError(`There is no array of ${ddl}`)
    return this.#with({
      type: {
        ddl: `${ddl}[]`,
        cast: `${cast}[]`,
        codec: arrayCodec(codec),
        refusal: refusal && refusalOfElement(refusal),
        respells: respells && always,
        isArray: true,
        travelsAsText: true,
        ...(enumType && { enumType }),
      },
    })
  }
}
