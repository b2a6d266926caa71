/** Column types that the program declares: enum types of its database, and types with a codec of its own. */
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
   * From PostgreSQL's text, and from the text of `encode`; never called for NULL. A text that it reads as `null` is left as it
   * is, as long as the property stays `null`: to tell it from NULL, give another value, such as `jsonNull`.
   */
  decode(text: string): Value
  /** To PostgreSQL's text. `encode(decode(text))` must always give the same text for the same value. */
  encode(value: Value): string
}

/**
 * An enum type of the database, created by `createAll` before the tables. Gives the function that makes columns of it.
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
 * A type with codecs of its own. Gives the function that makes columns of it. Values may be objects: changes in place
 * are found by comparing the texts of `encode`.
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
