/** One table: its columns by property and by name, its key, and what else was declared. */
import { MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { describeArgument, quoteIdentifier } from '../sql.js'
import { Column, type Columns } from './column.js'
import { checkName, definitionSql } from './definition-sql.js'
import { TableColumn } from './table-column.js'
import type { EntityOptions } from './table-options.js'
import { isInstance } from '../internal/revoked.js'
import { checkObject } from '../internal/validate.js'

// They would change what an instance is: its prototype, its class, a promise.
const RESERVED_PROPERTIES = ['__proto__', 'constructor', 'then']

/** A statement over any number of rows, without their values. */
export interface StatementShape {
  readonly text: string
  /** Columns of the returned rows; empty: only the count is returned. */
  readonly returning: readonly TableColumn[]
  /**
   * How the returned rows are matched with the rows that were sent. `ordinal`: by the ordinal, from 1, that follows the columns.
   * `key`: by their keys, which must only rise or only fall. `sent`: there is nothing to match.
   */
  readonly order: 'ordinal' | 'key' | 'sent'
}

/** A table as it was declared. Made once for each `Base.entity`. */
export class Table {
  readonly name: string
  readonly schema: string | undefined
  /** `schema.name`, or the name alone: how `references` and messages call it. */
  readonly key: string
  /** The name in SQL, with its schema. */
  readonly sql: string
  /** The name in SQL, without its schema: how its columns are qualified. */
  readonly qualifier: string
  /** All columns in SQL, qualified. */
  readonly columnList: string
  /** The columns that are loaded only on request. */
  readonly deferred: readonly TableColumn[]
  /** Columns whose types may read a stored text as null. */
  readonly readingNull: readonly TableColumn[]
  readonly columns: readonly TableColumn[]
  readonly primaryKey: readonly TableColumn[]
  /** The columns that name rows or refer to others. */
  readonly naming: readonly TableColumn[]
  /** The counter of optimistic locking. */
  readonly version: TableColumn | undefined
  readonly options: EntityOptions<string>
  /** Read-only, and `createAll` does not create it. */
  readonly isView: boolean
  /** No columns identify its rows: each row that is read is a separate object. */
  readonly isKeyless: boolean
  readonly #byProperty: ReadonlyMap<string, TableColumn>
  readonly #byName: ReadonlyMap<string, TableColumn>
  readonly #shapes = new Map<string, StatementShape>()

  /** @throws MappingError for a name that PostgreSQL cannot take, a table without a key, contradictions. */
  constructor(
    name: string,
    columns: Columns,
    options: EntityOptions<string>,
    nameOf: (property: string) => string = (property) => property,
  ) {
    this.name = checkName('table', name)
    this.schema = options.schema === undefined ? undefined : checkName('schema', options.schema)
    this.key = this.schema === undefined ? name : `${this.schema}.${name}`
    this.sql = [...(this.schema === undefined ? [] : [this.schema]), name].map(quoteIdentifier).join('.')
    this.qualifier = quoteIdentifier(name)
    this.options = options
    this.isView = options.view === true
    checkObject('the columns of an entity', columns)
    const naming = namingProperties(options)
    const referring = new Set<unknown>(options.foreignKeys?.flatMap(({ columns: own }) => own))
    this.columns = Object.entries(columns).map(([property, column], index) =>
      readColumn(this.key, property, named(column, property, nameOf), index, naming, referring),
    )
    this.columnList = this.columns.map(({ sql }) => `${this.qualifier}.${sql}`).join(', ')
    this.deferred = this.columns.filter(({ deferred }) => deferred)
    this.readingNull = this.columns.filter(({ readsNull }) => readsNull)
    this.naming = this.columns.filter(({ namesRows }) => namesRows)
    this.primaryKey = this.columns.filter(({ definition }) => definition.primaryKey === true)
    this.isKeyless = options.keyless === true
    if (this.primaryKey.length === 0 && !this.isKeyless)
      throw new MappingError(
        `The entity ${this.key} has no primary key. If no columns identify its rows, declare it with { keyless: true }`,
      )
    if (this.primaryKey.length > 0 && this.isKeyless)
      throw new MappingError(`The entity ${this.key} is declared as keyless, and has a primary key`)
    const versions = this.columns.filter(({ definition }) => definition.version === true)
    if (versions.length > 1) throw new MappingError(`The entity ${this.key} has two version columns`)
    this.version = versions[0]
    this.#byProperty = new Map(this.columns.map((column) => [column.property, column]))
    this.#byName = new Map(this.columns.map((column) => [column.name, column]))
    if (this.#byName.size < this.columns.length) {
      const same = this.columns.find((column) => this.#byName.get(column.name) !== column) as TableColumn
      const other = this.#byName.get(same.name) as TableColumn
      throw new MappingError(
        `Two columns of ${this.key} have the same name in the database: ${same.property} and ${other.property} are both ` +
          `${same.name}. Give one of them a name of its own: text('other_name')`,
      )
    }
  }

  /** The column of a property. @throws MappingError with the nearest name. */
  column(property: string): TableColumn {
    if (typeof property !== 'string')
      throw new MappingError(`A column of ${this.key} is named by a text, not ${describeArgument(property)}`)
    const found = this.#byProperty.get(property)
    if (found !== undefined) return found
    const hint = didYouMean(property, this.#byProperty.keys())
    throw new MappingError(`The entity ${this.key} has no column '${property}'${hint}`)
  }

  /**
   * The select list of whole rows: all columns in their order, with NULL in place of those that are not loaded.
   * @param lacking Default: all deferred columns.
   */
  selectList(lacking: readonly TableColumn[] = this.deferred): string {
    if (lacking.length === 0) return this.columnList
    return this.columns
      .map((column) => (lacking.includes(column) ? 'null' : `${this.qualifier}.${column.sql}`))
      .join(', ')
  }

  /**
   * The deferred columns that a query does not load.
   * @param undeferred Properties of deferred columns that it loads.
   * @throws MappingError for one that is no deferred column.
   */
  deferredExcept(undeferred: readonly string[]): readonly TableColumn[] {
    for (const name of undeferred) {
      if (this.column(name).deferred) continue
      throw new MappingError(`${this.key}.${name} is not deferred: it is always loaded`)
    }
    return this.deferred.filter(({ property }) => !undeferred.includes(property))
  }

  /** Whether a property is a column. */
  has(property: string): boolean {
    return this.#byProperty.has(property)
  }

  /**
   * @param what Rows are written by statements of the caller, objects by the session, which names their rows by the key.
   * @throws MappingError if it is a view; for objects also if it has no key.
   */
  requireWritable(what: 'rows' | 'objects' = 'rows'): void {
    if (what === 'objects') this.requireKey()
    if (!this.isView) return
    throw new MappingError(
      `${this.key} is declared as a view, which is read-only: write to its tables. For an object that was changed call ` +
        'session.refresh() or session.expunge()',
    )
  }

  /** @throws MappingError if nothing tells its rows apart. */
  requireKey(): void {
    if (!this.isKeyless) return
    throw new MappingError(
      `${this.key} is declared as keyless, so a session cannot find the row of an object: read it with select(), write it with ` +
        'insert(), update() and deleteFrom(), or declare the columns that identify its rows as its key',
    )
  }

  /** The column of that name in the database. */
  columnNamed(name: string): TableColumn | undefined {
    return this.#byName.get(name)
  }

  /**
   * A statement over rows of this table, written once for each set of columns.
   * @param kind The kind of statement.
   */
  shape(kind: string, columns: readonly TableColumn[], write: () => StatementShape): StatementShape {
    let id = kind
    for (const { index } of columns) id += ` ${index}`
    let shape = this.#shapes.get(id)
    if (shape === undefined) {
      shape = write()
      this.#shapes.set(id, shape)
    }
    return shape
  }

  toString(): string {
    return this.key
  }
}

/** The properties that identify rows or are foreign keys, according to the options of the entity. */
function namingProperties({ unique, indexes, foreignKeys }: EntityOptions<string>): ReadonlySet<unknown> {
  const uniqueIndexes = indexes?.filter((index) => index.unique === true)
  const together = [...(uniqueIndexes ?? []), ...(foreignKeys ?? [])].map(({ columns }) => columns)
  return new Set([...(unique ?? []), ...together].flat())
}

/** The declaration of a column with its name in the database. What is no column is refused elsewhere. */
function named(column: unknown, property: string, nameOf: (property: string) => string): unknown {
  if (!isInstance(column, Column) || column.definition.name !== undefined) return column
  return new Column({ ...column.definition, name: nameOf(property) })
}

function readColumn(
  table: string,
  property: string,
  column: unknown,
  index: number,
  naming: ReadonlySet<unknown>,
  referring: ReadonlySet<unknown>,
): TableColumn {
  if (!isInstance(column, Column)) {
    throw new MappingError(`${table}.${property} is not a column; use text(), integer(), ...`)
  }
  if (RESERVED_PROPERTIES.includes(property)) {
    throw new MappingError(
      `An instance cannot have a property '${property}': name the column of ${table} otherwise`,
    )
  }
  const { definition } = column
  const { name = property, generated, serverDefault, type, checks = [], onUpdate } = definition
  const label = `${table}.${checkName('column', name)}`
  if (generated !== undefined && (serverDefault !== undefined || definition.default !== undefined)) {
    throw new MappingError(`${label} is computed, so it cannot have a default`)
  }
  for (const declared of type.declared ?? []) checkName('type', declared.name)
  for (const part of [generated, serverDefault, onUpdate, ...checks]) {
    if (typeof part === 'object') definitionSql(label, part)
  }
  const { primaryKey, unique, references } = definition
  const namesRows = primaryKey === true || unique === true || references !== undefined || naming.has(property)
  if (definition.deferred === true && (namesRows || definition.version === true)) {
    throw new MappingError(
      `${label} identifies rows, is a foreign key or a version, so every object needs it and it cannot be deferred`,
    )
  }
  const isKey = primaryKey === true || references !== undefined || referring.has(property)
  return new TableColumn(table, property, index, definition, namesRows, isKey)
}
