/** One column of a table: its names, its SQL, and how its values are encoded, decoded and compared. */
import type { ArrayParameter } from '../driver/array-parameter.js'
import { InvalidValueError } from '../errors.js'
import { plainMessageOf, withPlainMessage } from '../internal/plain-errors.js'
import { quoteIdentifier } from '../sql.js'
import { RefusedValue, type Brief, type Codec } from '../codecs/codec.js'
import { withTexts } from '../codecs/remembered-texts.js'
import type { ColumnDefinition } from './column.js'

/** A value as PostgreSQL's text; null is NULL. */
export type EncodedText = string | null

/** A parameter of a statement: one value, or the values of a column for many rows. */
export type StatementValue = EncodedText | ArrayParameter

/** A value as PostgreSQL returns it: a text; rows that become instances may have integers as numbers, and instants as dates. */
export type RawValue = EncodedText | number | Date

const NO_KEY =
  'holds a text that its custom type reads as null. Rows are found by primary keys, foreign keys and the columns of relations, ' +
  'where null means that there is no value: let decode of the type return another value for this text'

export class TableColumn {
  /** Name of the property of an instance. */
  readonly property: string
  /** Name in the database. */
  readonly name: string
  /** The name, quoted. */
  readonly sql: string
  /** Position among the columns of the table, from 0. */
  readonly index: number
  readonly definition: ColumnDefinition
  /** PostgreSQL fills it in when an insert leaves it out. */
  readonly serverFilled: boolean
  /** PostgreSQL computes it when an update leaves it out. */
  readonly serverUpdated: boolean
  readonly mutable: boolean
  /** Its values identify rows, or refer to rows. */
  readonly namesRows: boolean
  /** Loaded only if a query names it (`undefer`). */
  readonly deferred: boolean
  /** It may read a stored text as null. */
  readonly readsNull: boolean
  /** Its type may read a stored text as null, but it is part of a primary key or a foreign key. */
  readonly #refusesNull: boolean
  /** Most columns are neither deferred, nor do they read a stored text as null. */
  readonly isUsual: boolean
  /** Values are compared by more than `===`: they can change in place, or are floats (PostgreSQL keeps 0 and -0 apart). */
  readonly #comparesClosely: boolean
  readonly #codec: Codec<unknown>
  /** Undefined for keys and foreign keys: they identify rows by the exact text of PostgreSQL. */
  readonly #brief: Brief<unknown> | undefined
  readonly #refusal: ((value: unknown) => string | undefined) | undefined
  readonly #label: string

  constructor(
    table: string,
    property: string,
    index: number,
    definition: ColumnDefinition,
    namesRows: boolean,
    isKey: boolean,
  ) {
    const { type, serverDefault, generated, onUpdate } = definition
    this.property = property
    this.name = definition.name ?? property
    this.sql = quoteIdentifier(this.name)
    this.index = index
    this.definition = definition
    this.serverFilled = type.serial === true || serverDefault !== undefined || generated !== undefined
    this.serverUpdated = generated !== undefined || typeof onUpdate === 'object'
    this.mutable = type.codec.mutable
    this.namesRows = namesRows
    this.deferred = definition.deferred === true
    this.#refusesNull = isKey && type.codec.mayReadNull === true
    this.readsNull = !isKey && type.codec.mayReadNull === true
    this.isUsual = !this.deferred && !this.readsNull
    this.#comparesClosely = type.codec.mutable || type.codec.signedZero === true
    this.#codec = withTexts(type.codec)
    this.#brief = namesRows ? undefined : type.codec.brief
    this.#refusal = type.refusal as ((value: unknown) => string | undefined) | undefined
    this.#label = `${table}.${this.name}`
  }

  /** Its values are instants, and snapshots hold them as numbers; false for columns that identify rows. */
  get isInstant(): boolean {
    return this.#brief !== undefined
  }

  /** Name with the table's, for messages. */
  toString(): string {
    return this.#label
  }

  /**
   * The text of a value, ready to be a parameter.
   * @param stored The text that it takes the place of, if there is one (see {@link Codec.encodeOver}).
   * @throws InvalidValueError if the column cannot hold it: wrong type, `undefined`, a NUL character.
   */
  encode(value: unknown, stored?: unknown): EncodedText {
    if (value === null) return null
    if (value === undefined) {
      const remedy = this.definition.nullable
        ? 'use null for NULL'
        : 'it needs a value, because the column is NOT NULL'
      throw this.#refuse(`is undefined; ${remedy}`)
    }
    try {
      if (typeof stored === 'string' && this.#codec.encodeOver !== undefined)
        return this.#codec.encodeOver(value, stored)
      return this.#codec.encode(value)
    } catch (cause) {
      if (cause instanceof RefusedValue || cause instanceof InvalidValueError)
        throw this.#refuse(cause.message, undefined, plainMessageOf(cause))
      throw this.#refuse('holds a value that cannot be written', cause)
    }
  }

  /**
   * As {@link encode}, of a value to be stored: what PostgreSQL would not store is refused here, where the column can be named.
   * (A condition may ask for a longer text than the column holds, and finds nothing.)
   * @throws InvalidValueError also for NULL if the column is NOT NULL, and for what is too long or out of range.
   */
  encodeStored(value: unknown, stored?: unknown): EncodedText {
    const text = this.encode(value, stored)
    if (text === null) {
      if (this.definition.nullable) return null
      throw this.#refuse('is null; it needs a value, because the column is NOT NULL')
    }
    const reason = this.#refusal?.(value)
    if (reason !== undefined) throw this.#refuse(reason)
    // Refuses a key that would be read as null.
    if (this.#refusesNull) this.decode(text)
    return text
  }

  /** Decodes a value that PostgreSQL returned. @throws InvalidValueError if it cannot be read. */
  decode(raw: RawValue): unknown {
    if (raw === null) return null
    try {
      if (typeof raw === 'string') return this.#checked(this.#codec.decode(raw))
      if (raw instanceof Date || this.#codec.integers === true) return raw
      // Others may read integers, too: as their texts.
      return this.#checked(this.#codec.decode(String(raw)))
    } catch (cause) {
      if (cause instanceof RefusedValue || cause instanceof InvalidValueError)
        throw this.#refuse(cause.message)
      throw this.#refuse('holds a value that cannot be read', cause)
    }
  }

  #checked(value: unknown): unknown {
    if (this.#refusesNull && (value === null || value === undefined)) throw new RefusedValue(NO_KEY)
    return value
  }

  /** The error for a relation over a column that reads a stored text as null. */
  readNull(): InvalidValueError {
    return this.#refuse(NO_KEY)
  }

  /** A value as part of a key: the same for values that are equal in PostgreSQL. Only for values that cannot change in place. */
  keyOf(value: unknown): unknown {
    return this.#codec.integers === true && Number.isInteger(value) ? value : this.decode(this.encode(value))
  }

  /** As {@link snapshot}, of a value that PostgreSQL returned. */
  snapshotOf(value: unknown, raw: RawValue): unknown {
    if (!this.mutable) return value
    if (this.#brief !== undefined && value !== null) return this.#brief.of(value)
    return raw instanceof Date || typeof raw === 'number' ? String(raw) : raw
  }

  /**
   * What to remember of a stored value, to find changes: the value itself, or where it can be changed in place its text, or
   * a number that stands for it.
   */
  snapshot(value: unknown): unknown {
    return this.mutable && value !== undefined ? this.snapshotOf(value, this.encode(value)) : value
  }

  /**
   * Whether the value has no other text in PostgreSQL, so that the text identifies a row. False for types where Lifeguard cannot know
   * (text with collations, citext), and for texts that PostgreSQL writes in another form.
   */
  isOnlySpelling(text: EncodedText): boolean {
    const { onlySpelling } = this.#codec
    return onlySpelling === 'usual' ? text !== null && !this.mayRespell(text) : onlySpelling === 'always'
  }

  /** Whether PostgreSQL may take different texts for equal: by a collation, or a type such as citext. */
  get mayEqualOthers(): boolean {
    return this.#codec.onlySpelling === undefined
  }

  /** Whether PostgreSQL may store a text in another form. */
  mayRespell(text: string): boolean {
    return this.definition.type.respells?.(text) === true
  }

  /** A text for comparison with others: the same for those that are known to be equal for PostgreSQL. */
  normal<Text extends EncodedText | undefined>(text: Text): Text | string {
    const { normal } = this.definition.type
    return normal === undefined || typeof text !== 'string' ? text : normal(text)
  }

  /** The value of a snapshot; objects are decoded again. */
  restore(snapshot: unknown): unknown {
    if (!this.mutable || snapshot === undefined) return snapshot
    if (typeof snapshot === 'number' && this.#brief !== undefined) return this.#brief.restore(snapshot)
    return this.decode(snapshot as EncodedText)
  }

  /** The text of what a snapshot remembers, equal for values that PostgreSQL takes for equal. */
  canonical(snapshot: unknown): EncodedText {
    if (!this.mutable || typeof snapshot !== 'string') return this.encode(this.restore(snapshot))
    if (this.#codec.canonical !== undefined) return this.#codec.canonical(snapshot)
    const value = this.decode(snapshot)
    // A text that is read as null differs from NULL, and from other texts that are read as null.
    return value === null || value === undefined ? snapshot : this.encode(value, snapshot)
  }

  /** As {@link canonical}, of a value that PostgreSQL returned. */
  canonicalOf(raw: RawValue): EncodedText {
    return this.canonical(this.snapshotOf(this.decode(raw), raw))
  }

  /** Whether a value differs from what was remembered, changes in place included. */
  hasChanged(value: unknown, snapshot: unknown): boolean {
    if (!this.#comparesClosely || snapshot === null || snapshot === undefined) {
      // NaN is the one value that differs from itself.
      return value !== snapshot && !(value !== value && snapshot !== snapshot)
    }
    if (value === null || value === undefined) return !this.#readsAs(snapshot, value)
    if (typeof snapshot === 'number') {
      return this.#brief === undefined ? !Object.is(value, snapshot) : this.#brief.of(value) !== snapshot
    }
    if (this.#codec.holds !== undefined) {
      try {
        return !this.#codec.holds(snapshot as string, value)
      } catch {
        // It cannot be encoded: the flush throws the error.
        return true
      }
    }
    let text: EncodedText
    try {
      text = this.encode(value, snapshot)
    } catch (error) {
      if (this.#isReadUnwritable(snapshot as string, error)) return false
      throw error
    }
    if (text === snapshot) return false
    // PostgreSQL writes many values differently (spaces in jsonb, time zones), so its text is brought into our form first.
    let stored: EncodedText
    try {
      stored = this.encode(this.decode(snapshot as string))
    } catch {
      // What is stored cannot be written, and so is another value.
      return true
    }
    return text !== stored
  }

  /** Whether a stored text that is not NULL is read as null or undefined: custom types may do so. */
  #readsAs(snapshot: unknown, value: null | undefined): boolean {
    if (typeof snapshot !== 'string' || this.#codec.holds !== undefined) return false
    try {
      return this.decode(snapshot) === value
    } catch {
      return false
    }
  }

  /** Whether the stored text is read as a value that is refused in the same way: a custom type may read what it cannot write. */
  #isReadUnwritable(snapshot: string, refusal: unknown): boolean {
    try {
      this.encode(this.decode(snapshot))
      return false
    } catch (error) {
      return String((error as Error).cause ?? error) === String((refusal as Error).cause ?? refusal)
    }
  }

  #refuse(reason: string, cause?: unknown, plain: string = reason): InvalidValueError {
    const options = cause === undefined ? undefined : { cause }
    return withPlainMessage(
      new InvalidValueError(`${this.#label} ${reason}`, options),
      `${this.#label} ${plain}`,
    )
  }
}
