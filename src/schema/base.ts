/** `declarativeBase()` and the classes that it returns. */
import { kindOf } from '../codecs/codec.js'
import { addForeignNames, OF_BASE, OF_ENTITY_CLASS, OF_OBJECT } from '../internal/foreign-names.js'
import { noProperties } from '../internal/no-value.js'
import { InvalidOptionError, MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { checkObject, refuseUnknownKeys } from '../internal/validate.js'
import { SqlFragment } from '../sql.js'
import { checkFields } from './class-fields.js'
import { ColumnRef } from './column-ref.js'
import type { Columns, DeclaredType } from './column.js'
import { checkName, definitionSql } from './definition-sql.js'
import type { EntityMeta } from './entity-meta.js'
import { ENTITY, type AnyEntity, type ColumnRefs, type EntityClass } from './entity-types.js'
import { checkFilters, type FilterOptions } from './filters.js'
import { FilledInNotes, GIVEN, noteOf } from './filled-in.js'
import { Metadata } from './metadata.js'
import { namingFunction, type NamingStrategy } from './naming.js'
import type { EntityOptions } from './table-options.js'
import { Table } from './table.js'
import { isArray, isObject } from '../internal/revoked.js'

/** Options of {@link declarativeBase}. */
export interface DeclarativeBaseOptions {
  /** Schema of entities that are declared without one. Default: the first schema of the search path. */
  readonly schema?: string | undefined
  /**
   * Names of columns in the database, for properties that are declared without one: `'snake_case'` (`albumId` is `album_id`),
   * or a function of the property's name. A name in the declaration of a column overrides it. Default: the property's own name.
   */
  readonly naming?: NamingStrategy | undefined
  /**
   * Extensions that indexes, constraints and defaults need: `createAll` creates those that are missing, in the schema that is first in the
   * search path. Those of types (`citext()`) need not be named. Default: none.
   */
  readonly extensions?: readonly string[] | undefined
  /**
   * Sequences that defaults use and no column owns, by name (`'numbers'`, `'shop.numbers'`), each with what follows its name in CREATE SEQUENCE.
   * `createAll` creates those that are missing before the tables, and `dropAll` drops them. `serial()` and `identity()` need none. Default: none.
   * @example
   * const Base = declarativeBase({ sequences: { 'shop.numbers': sql`as bigint start with 1000` } })
   * // number: bigint().serverDefault(sql`nextval('shop.numbers')`)
   */
  readonly sequences?: Readonly<Record<string, SqlFragment>> | undefined
}

/** The base of entities. Each base owns its metadata; entities refer to other entities of the same base. */
export interface DeclarativeBase {
  /** The tables of all entities of this base. */
  readonly metadata: Metadata
  /**
   * Returns a class for the rows of a table, to be extended. Its instances are plain objects: every column is an own property.
   *
   * The constructor takes the columns as an object and sets the defaults. Other columns become null, or undefined if PostgreSQL
   * generates the value. It is not run when rows are loaded.
   *
   * @param table Name in the database, exactly as written.
   * @throws MappingError for a table without a primary key (unless `keyless`), and for names that PostgreSQL does not accept.
   * @example
   * class Song extends Base.entity('songs', {
   *   id: uuid().primaryKey().default(randomUUID),
   *   title: text().notNull(),
   * }) {}
   * const song = new Song({ title: 'Blue' })
   */
  entity<C extends Columns, const Referring extends keyof C & string = never>(
    table: string,
    columns: C,
    options?: EntityOptions<keyof C & string, Referring> & FilterOptions<C>,
  ): EntityClass<C, Referring>
}

/**
 * Makes a base, which owns the metadata of its entities.
 * @throws InvalidOptionError for an option that does not exist, or a `naming` that is neither a function nor a known name.
 * @example
 * export const Base = declarativeBase()
 * export const Other = declarativeBase({ schema: 'other', naming: 'snake_case' })
 */
export function declarativeBase(options: DeclarativeBaseOptions = {}): DeclarativeBase {
  checkObject('declarativeBase', options)
  refuseUnknownKeys('declarativeBase', options, ['schema', 'naming', 'extensions', 'sequences'])
  const { schema } = options
  const nameOf = namingFunction(options.naming)
  const metadata = new Metadata(extensionsOf(options.extensions), sequencesOf(options.sequences))
  const base: DeclarativeBase = {
    metadata,
    entity<C extends Columns, const Referring extends keyof C & string = never>(
      name: string,
      columns: C,
      options: EntityOptions<keyof C & string, Referring> & FilterOptions<C> = {},
    ): EntityClass<C, Referring> {
      const table = new Table(name, columns, { schema, ...options }, nameOf)
      const filters = checkFilters(table.key, options.filters)
      const references = table.columns.map((column) => [column.property, new ColumnRef(table.name, column)])
      const c = Object.freeze(Object.fromEntries(references)) as ColumnRefs<Columns>
      metadata.add(table, { filters, c })
      const notes = new FilledInNotes()
      const entity = class {
        constructor(values: Record<string, unknown> = {}) {
          initialise(this, values, table, notes, metadata.entity(new.target as unknown as AnyEntity))
        }
      }
      addForeignNames(entity.prototype, OF_OBJECT)
      addForeignNames(entity, OF_ENTITY_CLASS)
      Object.defineProperties(entity, {
        name: { value: name, configurable: true },
        c: { value: c },
        [ENTITY]: { value: Object.freeze({ columns, table, metadata, filters }) },
      })
      return entity as unknown as EntityClass<C, Referring>
    },
  }
  return addForeignNames(base, OF_BASE)
}

/** @throws InvalidOptionError unless it is a list of names. */
function extensionsOf(given: readonly string[] | undefined): readonly string[] {
  if (given === undefined) return []
  if (isArray(given) && given.every((name) => typeof name === 'string'))
    return given.map((name) => checkName('extension', name))
  throw new InvalidOptionError('extensions', "extensions takes a list of names: ['btree_gist']")
}

/** @throws InvalidOptionError unless it is an object; MappingError for a name or a definition that cannot be one. */
function sequencesOf(given: Readonly<Record<string, SqlFragment>> | undefined): readonly DeclaredType[] {
  if (given === undefined) return []
  if (!isObject(given) || isArray(given) || given instanceof SqlFragment)
    throw new InvalidOptionError(
      'sequences',
      "sequences takes an object, name to definition: { 'shop.numbers': sql`start with 1000` }",
    )
  return Object.entries(given).map(([key, definition]) => {
    const dot = key.indexOf('.')
    return {
      kind: 'sequence',
      name: checkName('sequence', key.slice(dot + 1)),
      schema: dot === -1 ? undefined : checkName('schema', key.slice(0, dot)),
      definition: definitionSql(`The sequence ${key}`, definition),
    }
  })
}

function initialise(
  instance: object,
  values: Record<string, unknown>,
  table: Table,
  notes: FilledInNotes,
  meta: EntityMeta,
): void {
  if (!isObject(values) || Array.isArray(values)) {
    throw noValues(table, kindOf(values))
  }
  const properties = instance as Record<string, unknown>
  const alike = notes.last
  let filledIn: unknown[] | undefined = alike.length < table.columns.length ? [] : undefined
  let isPlain = true
  for (const column of table.columns) {
    const { index, property, definition, serverFilled } = column
    const given = values[property]
    let value = given
    let note: unknown = GIVEN
    if (given !== undefined) {
      if (definition.generated !== undefined || definition.identity === 'always') isPlain = false
    } else if (definition.default !== undefined) {
      value = definition.default()
      note = noteOf(value, column)
    } else {
      note = value = serverFilled || !definition.nullable ? undefined : null
    }
    properties[property] = value
    // Objects are mostly made alike, and then share one note.
    if (filledIn === undefined && !Object.is(note, alike[index])) filledIn = alike.slice(0, index)
    filledIn?.push(note)
  }
  notes.add(instance, filledIn ?? alike)
  if (meta.fields.length > 0) checkFields(meta.name, meta.fields, properties, values)
  let isEmpty = true
  for (const name in values) {
    isEmpty = false
    if (!table.has(name)) isPlain = false
  }
  const other = isEmpty ? noProperties(values) : undefined
  if (other !== undefined) throw noValues(table, other)
  // Mostly there is nothing but columns.
  if (!isPlain) checkNames(properties, values, table, meta)
}

/** Assigns relations. @throws MappingError for a property that is no relation and no column that may be set. */
function checkNames(
  properties: Record<string, unknown>,
  values: Record<string, unknown>,
  table: Table,
  meta: EntityMeta,
): void {
  for (const name of Object.keys(values)) {
    if (table.has(name)) {
      const { generated, identity } = table.column(name).definition
      if (values[name] === undefined || (generated === undefined && identity !== 'always')) continue
      throw new MappingError(`${table.key}.${name} is computed by PostgreSQL and cannot be given`)
    }
    if (!meta.hasRelation(name)) throw unknownProperty(table, meta.relationNames, name)
    // As with columns, `undefined` counts as left out.
    if (values[name] !== undefined) properties[name] = values[name]
  }
}

function noValues({ key }: Table, what: string): MappingError {
  return new MappingError(`A new row of ${key} takes an object with values by property, not ${what}`)
}

function unknownProperty({ columns, key }: Table, relations: readonly string[], name: string): MappingError {
  const hint = didYouMean(name, [...columns.map(({ property }) => property), ...relations])
  return new MappingError(`${key} has no column or relation '${name}'${hint}`)
}
