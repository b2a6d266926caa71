/** `enumType` and `customType`: column types that the program declares. */
import { MappingError } from '../errors.js'
import { checkFunction, checkObject, checkString } from '../internal/validate.js'
import { quoteIdentifier } from '../sql.js'
import { textCodec, type Codec } from '../codecs/codec.js'
import { noneOf } from '../codecs/value-limits.js'
import { Column } from './column.js'
import { quoteLiteral } from './definition-sql.js'
import { always } from './respelling.js'
import { isArray } from '../internal/revoked.js'

/** Options of {@link customType}. */
export interface CustomTypeOptions<Value> {
  /** The type in SQL, for CREATE TABLE: `citext`, `geometry(Point, 4326)`. */
  readonly type: string
  /** The type for casts, if the one above limits a length. Default: the same. */
  readonly castType?: string | undefined
  /**
   * Converts PostgreSQL's text, or the text of `encode`, to a value; never called for NULL. If it returns `null` for a text,
   * the text stays stored until the property is assigned; an assigned `null` is NULL. In an array or composite value such a part keeps
   * its text when other parts change. A primary key, foreign key or column of a relation that is read as `null` is refused
   * (InvalidValueError). To read such a text and NULL as two values, return another value, such as `jsonNull`. May throw
   * InvalidValueError.
   */
  decode(text: string): Value
  /**
   * Converts a value to PostgreSQL's text. `encode(decode(text))` must return the same text for equal values. May throw
   * InvalidValueError.
   */
  encode(value: Value): string
}

/**
 * Declares an enum type of the database, which `createAll` creates before the tables. Returns a function that makes columns of
 * the type.
 * @throws MappingError without values, or with one twice.
 * @example
 * const mood = enumType('mood', ['happy', 'sad'])
 * class Person extends Base.entity('people', { id: serial().primaryKey(), mood: mood().notNull() }) {}
 */
export function enumType<const Value extends string>(
  name: string,
  values: readonly Value[],
  options: { readonly schema?: string | undefined } = {},
): (name?: string) => Column<Value | null> {
  if (typeof name !== 'string' || !isArray(values) || !values.every((value) => typeof value === 'string')) {
    throw new MappingError(
      "enumType takes a name and an array of strings: enumType('mood', ['happy', 'sad'])",
    )
  }
  checkObject('the options of enumType', options)
  if (values.length === 0) throw new MappingError(`The enum ${name} has no values`)
  if (new Set(values).size < values.length) throw new MappingError(`The enum ${name} has a value twice`)
  const { schema } = options
  const type = [...(schema === undefined ? [] : [schema]), name].map(quoteIdentifier).join('.')
  return (columnName) =>
    new Column({
      name: columnName,
      nullable: true,
      type: {
        ddl: type,
        cast: type,
        codec: textCodec,
        refusal: noneOf(values),
        declared: [
          { kind: 'enum', name, schema, definition: `as enum (${values.map(quoteLiteral).join(', ')})` },
        ],
      },
    })
}

/**
 * Declares a type with its own codec. Returns a function that makes columns of the type. Values may be objects: changes inside
 * them are found by comparing the texts of `encode`.
 * @example
 * const point = customType<Point>({ type: 'point', decode: parsePoint, encode: ({ x, y }) => `(${x},${y})` })
 */
export function customType<Value>(
  options: CustomTypeOptions<Value>,
): (name?: string) => Column<Value | null> {
  checkObject('customType', options)
  const { type, castType = type } = options
  checkString('customType.type', type)
  checkFunction('customType.decode', options.decode)
  checkFunction('customType.encode', options.encode)
  const codec: Codec<Value> = {
    mutable: true,
    mayReadNull: true,
    decode: (text) => options.decode(text),
    encode: (value) => textCodec.encode(options.encode(value)),
  }
  return (name) =>
    new Column({
      name,
      nullable: true,
      type: { ddl: type, cast: castType, codec, respells: always, travelsAsText: true },
    })
}
