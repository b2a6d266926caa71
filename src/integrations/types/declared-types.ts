/** Types that a database declares: domains over another type, and composite types, whose values are objects. */
import { Column, MappingError, type ColumnFlag, type Columns, type SqlFragment } from '../../index.js'
import type { ColumnType, DeclaredType } from '../../schema/column.js'
import { parseRow, writeRow } from './row-text.js'
import { kindOf, qualified, refused, typeOf } from './text-column.js'

/** Options of {@link domainType}. */
export interface DomainOptions {
  readonly schema?: string | undefined
  /** True: values of the domain cannot be NULL. Its columns need `notNull()`, too. Default false. */
  readonly notNull?: boolean | undefined
  readonly default?: SqlFragment<unknown> | undefined
  /** Conditions on `value`, by the name of the constraint. */
  readonly checks?: Readonly<Record<string, SqlFragment<unknown>>> | undefined
}

/**
 * Declares a domain, which `createAll` creates before the tables. Returns a function that makes columns of the domain, with the
 * values of its base type.
 * @param base The base type, as a column: `text()`, `integer()`, a column of another domain.
 * @throws MappingError unless `base` is a column.
 * @example
 * const email = domainType('email', text(), { checks: { email_check: sql`value ~ '@'` } })
 * class User extends Base.entity('users', { id: serial().primaryKey(), email: email().notNull() }) {}
 */
export function domainType<Value>(
  name: string,
  base: Column<Value, ColumnFlag>,
  options: DomainOptions = {},
): (name?: string) => Column<NonNullable<Value> | null> {
  if (!(base instanceof Column)) throw new MappingError('domainType takes a name and the base type: text()')
  const { schema, notNull, checks = {} } = options
  const { type } = base.definition
  const definition = [
    `as ${type.ddl}`,
    ...(options.default === undefined ? [] : [`default ${sqlOf(options.default)}`]),
    ...(notNull === true ? ['not null'] : []),
    ...Object.entries(checks).map(
      ([constraint, condition]) =>
        `constraint ${qualified(constraint, undefined)} check (${sqlOf(condition)})`,
    ),
  ].join(' ')
  const sql = qualified(name, schema)
  const declared = [...(type.declared ?? []), { kind: 'domain' as const, name, schema, definition }]
  // An array of the type below is no array of the domain, so it is sent as text.
  const own: ColumnType = { ...withoutElement(type), ddl: sql, cast: sql, declared, travelsAsText: true }
  return (column) => new Column({ name: column, nullable: true, type: own })
}

/** The values of a composite type. */
export type CompositeValue<C extends Columns> = { -readonly [Name in keyof C]: C[Name]['$value'] }

/**
 * Declares a composite type, which `createAll` creates before the tables. Returns a function that makes columns of the type. A
 * value is an object with all fields; a change inside the object is found at flush.
 * @param fields Columns by property. A field has the name of its property in the database, unless its column has a name.
 * @throws MappingError unless `fields` holds columns.
 * @example
 * const address = compositeType('address', { street: text(), zip: text() })
 * class Person extends Base.entity('people', { id: serial().primaryKey(), home: address() }) {}
 */
export function compositeType<C extends Columns>(
  name: string,
  fields: C,
  options: { readonly schema?: string | undefined } = {},
): (name?: string) => Column<CompositeValue<C> | null> {
  const { schema } = options
  const list = Object.entries(fields).map(([property, field]: [string, unknown]) => {
    if (!(field instanceof Column))
      throw new MappingError(`The field ${property} of ${name} is not a column; use text(), integer(), ...`)
    return {
      property,
      name: field.definition.name ?? property,
      type: (field as Columns[string]).definition.type,
    }
  })
  const sql = qualified(name, schema)
  const columns = list.map((field) => `${qualified(field.name, undefined)} ${field.type.ddl}`)
  const declared: DeclaredType[] = [
    ...list.flatMap(({ type }) => type.declared ?? []),
    { kind: 'composite', name, schema, definition: `as (${columns.join(', ')})` },
  ]
  const decode = (text: string): unknown => {
    const texts = parseRow(text)
    if (texts.length !== list.length)
      throw refused(
        `holds ${texts.length} fields, not ${list.length}; does it have another type in the database?`,
      )
    return Object.fromEntries(
      list.map((field, index) => {
        const part = texts[index] as string | null
        return [field.property, part === null ? null : field.type.codec.decode(part)]
      }),
    )
  }
  const write = (value: unknown, stored: readonly (string | null)[]): string => {
    if (typeof value !== 'object' || value === null) throw refused(`takes an object, not ${kindOf(value)}`)
    const unknown = Object.keys(value).find((key) => !list.some(({ property }) => property === key))
    if (unknown !== undefined) throw refused(`has no field ${JSON.stringify(unknown)}`)
    return writeRow(
      list.map((field, index) => {
        const part = (value as Record<string, unknown>)[field.property]
        if (part === undefined) throw refused(`lacks the field ${field.property}; use null for NULL`)
        return fieldText(field.type.codec, part, stored[index] ?? null)
      }),
    )
  }
  const readsNull = list.some(
    ({ type: { codec } }) => codec.mayReadNull === true || codec.encodeOver !== undefined,
  )
  const type = typeOf<unknown>({
    ddl: sql,
    declared,
    decode,
    encode: (value) => write(value, []),
    ...(readsNull && { encodeOver: (value, stored) => write(value, parseRow(stored)) }),
  })
  return (column) => new Column({ name: column, nullable: true, type })
}

/** The text of a field. Null that was read from a text stays that text. */
function fieldText(codec: ColumnType['codec'], part: unknown, stored: string | null): string | null {
  if (part === null)
    return codec.mayReadNull === true && stored !== null && codec.decode(stored) === null ? stored : null
  if (stored !== null && codec.encodeOver !== undefined) return codec.encodeOver(part, stored)
  return codec.encode(part)
}

function withoutElement({ element: _, ...rest }: ColumnType): ColumnType {
  return rest
}

/** The text of SQL that becomes part of a definition. */
function sqlOf(fragment: SqlFragment<unknown>): string {
  if (fragment.values.length === 0) return fragment.text
  throw new MappingError('The definition of a domain cannot contain parameters: write the value as SQL text')
}
