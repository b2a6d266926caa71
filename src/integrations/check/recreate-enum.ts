/** Creates an enum type anew, with all that consists of it: PostgreSQL has no statement that removes or moves a label. */
import type { Catalog, CatalogColumn, CatalogTable, CatalogType } from '../introspect/catalog-model.js'
import { ident, literal } from './difference.js'
import { lossy, type Proposal } from './proposal.js'
import { typesWith, type TypeDependent } from './type-dependents.js'
import type { TypeUsers } from './type-users.js'

/** What the database has besides its tables and types. */
export interface Users {
  readonly dependents: readonly TypeDependent[]
  readonly columns: TypeUsers
}

/** Fails where a row has a label that is gone. */
export function recreateEnum(
  type: CatalogType,
  wanted: readonly string[],
  catalog: Catalog,
  { dependents, columns }: Users,
): Proposal {
  const gone = type.labels.filter((label) => !wanted.includes(label))
  const affected = typesWith(type, catalog)
  const oids = new Set(affected.map(({ oid }) => oid))
  const change = new TypeChange(catalog, (sql) => gone.some((label) => sql.includes(literal(label))))
  for (const one of dependents) if (oids.has(one.type)) change.addDependent(one)
  for (const table of catalog.tables) {
    if (table.kind.endsWith('view')) continue
    for (const column of table.columns) {
      if (!oids.has(column.type)) continue
      change.addColumn(table, column)
      const users = columns.get(`${table.schema}\0${table.name}\0${column.name}`) ?? []
      for (const user of users) change.others.add(user)
    }
  }
  const own = affected.filter(({ element }) => element === null)
  const refused =
    change.others.size === 0
      ? 'a row has a label that is gone'
      : `a row has a label that is gone, and while the type is used by what no statement here changes: drop that before, and create it after: ${[...change.others].sort().join(', ')}`
  return {
    ...lossy(
      'type',
      ...change.drops,
      ...own.flatMap(renameSql),
      ...own.flatMap((one) => (one === type ? [enumSql(one, wanted)] : change.definition(one))),
      ...change.changes,
      ...change.adds,
      ...own
        .filter(({ kind }) => kind !== 'multirange')
        .toReversed()
        .map((one) => `drop ${word(one)} ${ident(one.schema, oldName(one))}`),
    ),
    note: `this creates the type anew; it fails where ${refused}`,
  }
}

const nameOf = ({ schema, name }: CatalogType): string => ident(schema, name)
const oldName = ({ name }: CatalogType): string => `${name.slice(0, 40)} old`
const word = ({ kind }: CatalogType): string => (kind === 'domain' ? 'domain' : 'type')
const renameSql = (type: CatalogType): string[] => {
  const end = `rename to ${ident(oldName(type))}`
  // Its constructor without arguments has the same name as that of the new one.
  const maker = type.kind === 'multirange' ? [`alter function ${nameOf(type)}() ${end}`] : []
  return [`alter ${word(type)} ${nameOf(type)} ${end}`, ...maker]
}
const enumSql = (type: CatalogType, labels: readonly string[]): string =>
  `create type ${nameOf(type)} as enum (${labels.map(literal).join(', ')})`

/** The statements around the types. */
class TypeChange {
  readonly #catalog: Catalog
  readonly #isGone: (sql: string) => boolean
  readonly #drops = new Map<string, number>()
  readonly #adds = new Map<string, number>()
  readonly changes: string[] = []
  /** What uses the types and is not changed. */
  readonly others: Set<string> = new Set<string>()

  /** @param isGone Whether SQL has a label that is gone. */
  constructor(catalog: Catalog, isGone: (sql: string) => boolean) {
    this.#catalog = catalog
    this.#isGone = isGone
  }

  /** Foreign keys first. */
  get drops(): string[] {
    return ordered(this.#drops)
  }

  /** Foreign keys last. */
  get adds(): string[] {
    return ordered(this.#adds).reverse()
  }

  addColumn(table: CatalogTable, { name, typeText }: CatalogColumn): void {
    const column = ident(name)
    this.changes.push(
      `alter table ${ident(table.schema, table.name)} alter column ${column} type ${typeText} using ${column}::text::${typeText}`,
    )
  }

  addDependent({ kind, table: oid, name, description }: TypeDependent): void {
    const table = this.#catalog.tables.find((one) => one.oid === oid)
    if (table === undefined || kind === 'other') {
      this.others.add(description)
      return
    }
    const sql = ident(table.schema, table.name)
    const alter = `alter table ${sql}`
    if (kind === 'constraint') {
      const one = table.constraints.find((constraint) => constraint.name === name)
      if (one === undefined) this.others.add(description)
      else
        this.#exchange(
          one.kind === 'foreign key' ? 0 : 1,
          `${alter} drop constraint ${ident(one.name)}`,
          `${alter} add constraint ${ident(one.name)} ${one.definition}`,
        )
    } else if (kind === 'index') {
      const one = table.indexes.find((index) => index.name === name)
      if (one === undefined) this.others.add(description)
      else
        this.#exchange(
          2,
          `drop index ${ident(table.schema, one.name)}`,
          `create ${one.unique ? 'unique ' : ''}index ${ident(one.name)} on ${sql} ${one.definition}`,
        )
    } else if (kind === 'default') {
      const one = table.columns.find((column) => column.name === name)
      const part = `${alter} alter column ${ident(name ?? '')}`
      if (one?.default === null || one === undefined) this.others.add(description)
      else this.#exchange(3, `${part} drop default`, `${part} set default ${one.default}`)
    }
  }

  #exchange(order: number, drop: string, add: string): void {
    this.#drops.set(drop, order)
    if (!this.#isGone(add)) this.#adds.set(add, order)
  }

  /** Creates a type that consists of others again. */
  definition(type: CatalogType): string[] {
    const name = nameOf(type)
    if (type.domain !== null) {
      const { typeText, default: filled, notNull, checks } = type.domain
      const parts = [
        typeText,
        ...(filled === null || this.#isGone(filled) ? [] : [`default ${filled}`]),
        ...(notNull ? ['not null'] : []),
        ...checks
          .filter(({ expression }) => !this.#isGone(expression))
          .map((check) => `constraint ${ident(check.name)} check (${check.expression})`),
      ]
      return [`create domain ${name} as ${parts.join(' ')}`]
    }
    if (type.range !== null) {
      const subtype = this.#catalog.types.get(type.range.subtype)
      const { difference, multirange } = type.range
      const parts = [
        `subtype = ${subtype === undefined ? '' : nameOf(subtype)}`,
        ...(difference === null ? [] : [`subtype_diff = ${difference}`]),
        ...(multirange === null ? [] : [`multirange_type_name = ${ident(type.schema, multirange)}`]),
      ]
      return [`create type ${name} as range (${parts.join(', ')})`]
    }
    if (type.kind !== 'composite') return []
    const fields = type.fields.map((field) => `${ident(field.name)} ${field.typeText}`)
    return [`create type ${name} as (${fields.join(', ')})`]
  }
}

/** By their numbers, those of the same number as they came. */
function ordered(statements: ReadonlyMap<string, number>): string[] {
  return [...statements].toSorted(([, a], [, b]) => a - b).map(([statement]) => statement)
}
