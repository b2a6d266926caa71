/** The declaration of a column: a type, and modifiers that each return a new declaration. */
import type { ArrayElement } from '../driver/array-parameter.js'
import { MappingError } from '../errors.js'
import type { SqlFragment } from '../sql.js'
import { arrayCodec } from '../codecs/array-codec.js'
import type { Codec } from '../codecs/codec.js'
import { refusalOfElement, type Refusal } from '../codecs/value-limits.js'
import { checkObject, checkOneOf, refuseUnknownKeys } from '../internal/validate.js'
import { addForeignNames, OF_COLUMN } from '../internal/foreign-names.js'
import { checkDefault, requireColumnName, requireSql } from './column-mistakes.js'
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
  /** Whether PostgreSQL may store a text in another form: rounded, padded, or respelt. Absent: never. */
  readonly respells?: ((text: string) => boolean) | undefined
  /** Returns the same text for texts that PostgreSQL treats as equal, as far as Lifeguard knows. Absent: texts are compared as they are. */
  readonly normal?: ((text: string) => string) | undefined
  readonly isArray?: boolean
  /**
   * Many values are sent as texts, not as an array of the type: `unnest` would take arrays of arrays apart to their last
   * dimension, and some types (`box`) write their arrays in a way of their own.
   */
  readonly travelsAsText?: boolean
  /** What stands between the elements of its arrays. Default: a comma. */
  readonly delimiter?: string | undefined
  /** A sequence that the column owns makes its values. */
  readonly serial?: boolean
  /** Types and extensions to create before the tables, each after those that it needs. */
  readonly declared?: readonly DeclaredType[]
}

/** A type or a sequence that is declared in the database, or an extension. */
export interface DeclaredType {
  readonly kind: 'enum' | 'domain' | 'composite' | 'range' | 'extension' | 'sequence'
  readonly name: string
  readonly schema: string | undefined
  /** What follows after its name in the statement that creates it: `as enum ('happy', 'sad')`. */
  readonly definition: string
}

/** Options of `array()`. */
export interface ArrayOptions {
  /**
   * Number of dimensions, 1 to 6. PostgreSQL does not check it; reading a row with another number throws InvalidValueError.
   * Default 1.
   */
  readonly dimensions?: 1 | 2 | 3 | 4 | 5 | 6 | undefined
  /** True: the type of the elements includes `null`. PostgreSQL always allows NULL elements. Default false. */
  readonly nulls?: boolean | undefined
}

/** The elements of an array as its options say. */
type ElementOf<Value, Options> = Options extends { readonly nulls: true }
  ? NonNullable<Value> | null
  : NonNullable<Value>

/** An array as its options say. */
type ArrayOf<Element, Dimensions> = Dimensions extends 2
  ? Element[][]
  : Dimensions extends 3
    ? Element[][][]
    : Dimensions extends 4
      ? Element[][][][]
      : Dimensions extends 5
        ? Element[][][][][]
        : Dimensions extends 6
          ? Element[][][][][][]
          : Element[]

type DimensionsOf<Options> = Options extends { readonly dimensions: infer Dimensions } ? Dimensions : 1

/** What happens to a row when the row that it refers to is deleted, or its key changes. */
export type ReferenceAction = 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default'

/** Rules of a foreign key. */
export interface ReferenceRules {
  /** Default: `no action`, the delete is refused. */
  readonly onDelete?: ReferenceAction | undefined
  /** Default: `no action`, the update is refused. */
  readonly onUpdate?: ReferenceAction | undefined
  /** True: checked at COMMIT, not after each statement (`DEFERRABLE INITIALLY DEFERRED`). Default false. */
  readonly deferred?: boolean | undefined
  /** True: checked after each statement, unless a transaction defers it (`DEFERRABLE`). Default: the value of `deferred`. */
  readonly deferrable?: boolean | undefined
  /**
   * All that follows the referenced columns in the constraint, if the other rules are not sufficient:
   * `` sql`on delete set null (album_id)` ``, `` sql`match full not enforced` ``. Then the other rules tell only the session what
   * PostgreSQL does. Default: made from the other rules.
   */
  readonly definition?: SqlFragment<unknown> | undefined
}

/** The declaration of a column, with its type and all modifiers. */
export interface ColumnDefinition {
  readonly type: ColumnType
  /** Name in the database; default: the name of the property. */
  readonly name?: string | undefined
  readonly nullable: boolean
  readonly primaryKey?: boolean
  /** False: Lifeguard uses the column as (part of) the key, but the table has no constraint for it. */
  readonly keyConstraint?: boolean
  readonly unique?: boolean
  readonly index?: boolean
  readonly version?: boolean
  /** Loaded only on request. */
  readonly deferred?: boolean
  readonly default?: () => unknown
  readonly serverDefault?: SqlFragment<unknown>
  readonly generated?: SqlFragment<unknown>
  /** Computed when it is read (PostgreSQL 18), not when it is written. */
  readonly virtual?: boolean
  /** An identity column: a sequence of the column makes its values. */
  readonly identity?: 'always' | 'by default'
  /** Options of its sequence, as in CREATE SEQUENCE. */
  readonly identitySequence?: SqlFragment<unknown>
  readonly onUpdate?: (() => unknown) | SqlFragment<unknown>
  readonly references?: { readonly target: string; readonly rules: ReferenceRules }
  readonly checks?: readonly SqlFragment<unknown>[]
}

/** The columns of an entity by property name. */
export type Columns = Record<string, Column<unknown, ColumnFlag>>

/**
 * A column of an entity. Made by the type functions (`text()`, `uuid()`, ...); every modifier returns a new column, so
 * declarations may be shared between entities. Without `notNull` a column is nullable.
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

  static {
    addForeignNames(this.prototype, OF_COLUMN)
  }

  constructor(definition: ColumnDefinition) {
    this.definition = definition
  }

  #with<NewValue, NewFlags extends ColumnFlag>(
    change: Partial<ColumnDefinition>,
  ): Column<NewValue, NewFlags> {
    return new Column({ ...this.definition, ...change })
  }

  /** The column is NOT NULL, and required in `new Entity(...)` unless it has a default. */
  notNull(): Column<NonNullable<Value>, Flags> {
    return this.#with({ nullable: false })
  }

  /**
   * Makes it (part of) the primary key; on several columns: a composite key, in the order of declaration.
   * @param options `constraint: false`: the columns identify rows, but the table has no PRIMARY KEY constraint, and none is
   *   created. Default true.
   */
  primaryKey(
    options: { readonly constraint?: boolean | undefined } = {},
  ): Column<NonNullable<Value>, Flags | 'key'> {
    checkObject('the options of primaryKey', options)
    return this.#with({
      nullable: false,
      primaryKey: true,
      ...(options.constraint === false && { keyConstraint: false }),
    })
  }

  /**
   * The value is generated by a sequence of the column, in the form of the SQL standard (`GENERATED ... AS IDENTITY`); for the
   * older form see `serial`. `'always'`: a new object cannot set the value.
   * @param options `sequence`: what the sequence does otherwise than usual, as in CREATE SEQUENCE: `` sql`start with 1000` ``.
   * @throws MappingError unless it is a `smallint`, `integer` or `bigint`.
   * @example
   * id: bigint().identity('always').primaryKey()
   */
  identity<const Kind extends 'always' | 'by default' = 'by default'>(
    kind?: Kind,
    options: { readonly sequence?: SqlFragment<unknown> | undefined } = {},
  ): Column<NonNullable<Value>, Flags | (Kind extends 'always' ? 'generated' : 'default')> {
    const { type } = this.definition
    const identity = kind ?? 'by default'
    checkOneOf('identity', identity, ['always', 'by default'])
    if (!['smallint', 'integer', 'bigint'].includes(type.ddl))
      throw new MappingError(`identity() is for smallint, integer and bigint, not for ${type.ddl}`)
    checkObject('the options of identity', options)
    const { sequence } = options
    return this.#with({
      nullable: false,
      identity,
      ...(sequence !== undefined && { identitySequence: sequence }),
      type: { ...type, serial: true },
    })
  }

  /** No two rows may have the same value (NULL excepted). For several columns: `unique` in the entity's options. */
  unique(): Column<Value, Flags> {
    return this.#with({ unique: true })
  }

  /** Creates an index on the column. For several columns or conditions: `indexes` in the entity's options. */
  index(): Column<Value, Flags> {
    return this.#with({ index: true })
  }

  /**
   * The value of new objects for which none is given; a function is called for each object. The constructor sets it, so it can
   * be read before the object is stored. It is not a default in the database.
   * @example
   * id: uuid().primaryKey().default(randomUUID)
   */
  default(value: NonNullable<Value> | (() => NonNullable<Value>)): Column<Value, Flags | 'default'> {
    if (typeof value === 'function') return this.#with({ default: value as () => unknown })
    const { codec } = this.definition.type
    // Each object gets a copy of its own of what could be changed in place.
    if (codec.mutable) {
      checkDefault(codec, value)
      return this.#with({ default: () => codec.decode(codec.encode(value)) })
    }
    return this.#with({ default: () => value })
  }

  /**
   * The default in the database, for new rows without a value. The property is `undefined` until the object has been flushed.
   * It is part of the table's definition, so it must not contain parameters.
   * @example
   * createdAt: timestamptz('created_at').notNull().serverDefault(sql`now()`)
   */
  serverDefault(expression: SqlFragment<unknown>): Column<Value, Flags | 'default'> {
    requireSql('serverDefault(sql`now()`)', expression)
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
   * @param options `stored: false`: computed when it is read (PostgreSQL 18). Default true.
   * @example
   * total: numeric().generated(sql`price * amount`)
   */
  generated(
    expression: SqlFragment<unknown>,
    options: { readonly stored?: boolean | undefined } = {},
  ): Column<Value, Flags | 'generated'> {
    requireSql('generated(sql`price * amount`)', expression)
    checkObject('the options of generated', options)
    return this.#with({ generated: expression, ...(options.stored === false && { virtual: true }) })
  }

  /**
   * A foreign key on `'table.column'` (`'schema.table.column'` outside the default schema), by the names in the database. It is
   * a string, because classes may refer to each other. It is checked when the metadata is first used; a wrong one throws a
   * MappingError then. Composite keys: `foreignKeys` in the entity's options.
   * @example
   * albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' })
   */
  references(target: string, rules: ReferenceRules = {}): Column<Value, Flags | 'reference'> {
    requireColumnName(target)
    return this.#with({ references: { target, rules } })
  }

  /**
   * Loaded only on request, for large values: `select(Song).undefer('body')`, `session.get(Song, id, { undefer: ['body'] })`,
   * `session.refresh(song, { columns: ['body'] })`. Until then the object has no own property of this name (a copy by spread or
   * JSON lacks it), and reading it throws ExpiredAttributeError; an assigned value is written. New objects have the property.
   * @throws MappingError when the entity is declared, for a column that identifies rows (a key, `unique`, `references`) or a version.
   * @example
   * body: text().notNull().deferred()
   */
  deferred(): Column<Value, Flags | 'deferred'> {
    return this.#with({ deferred: true })
  }

  /**
   * A CHECK constraint: a condition that every row must meet. It is part of the table's definition, so it must not contain
   * parameters.
   */
  check(condition: SqlFragment<unknown>): Column<Value, Flags> {
    return this.#with({ checks: [...(this.definition.checks ?? []), condition] })
  }

  /**
   * An array of this type.
   * @throws MappingError on an array, and for dimensions that PostgreSQL does not have.
   * @example
   * tags: text().array({ nulls: true }) // (string | null)[]
   * board: integer().array({ dimensions: 2 }) // number[][]
   */
  array<const Options extends ArrayOptions = Record<never, never>>(
    options?: Options,
  ): Column<
    ArrayOf<ElementOf<Value, Options>, DimensionsOf<Options>> | (null extends Value ? null : never),
    Flags
  > {
    const given: ArrayOptions = options ?? {}
    checkObject('the options of array', given)
    refuseUnknownKeys('array', given, ['dimensions', 'nulls'])
    const { dimensions = 1 } = given
    if (!Number.isInteger(dimensions) || dimensions < 1 || dimensions > 6)
      throw new MappingError('An array has 1 to 6 dimensions')
    const { ddl, cast, codec, delimiter, refusal, respells, isArray, serial, declared } = this.definition.type
    if (isArray === true || serial === true) throw new MappingError(`There is no array of ${ddl}`)
    return this.#with({
      type: {
        ddl: `${ddl}${'[]'.repeat(dimensions)}`,
        cast: `${cast}[]`,
        codec: arrayCodec(codec, { dimensions, delimiter }),
        refusal: refusal && refusalOfElement(refusal),
        respells: respells && always,
        isArray: true,
        travelsAsText: true,
        ...(declared && { declared }),
      },
    })
  }
}
