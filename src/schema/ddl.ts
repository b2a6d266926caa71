/** The statements that create and drop what a metadata declares. Pure text. */
import { MappingError } from '../errors.js'
import { quoteIdentifier, type SqlFragment } from '../sql.js'
import type { EnumDefinition } from './column.js'
import { checkName, definitionSql, quoteLiteral } from './definition-sql.js'
import type { ForeignKey } from './foreign-key.js'
import type { TableColumn } from './table-column.js'
import type { IndexOptions } from './table-options.js'
import type { Table } from './table.js'

/** What the statements are made from. */
export interface DdlSource {
  readonly tables: readonly Table[]
  readonly tableGroups: readonly (readonly Table[])[]
  foreignKeys(table: Table): readonly ForeignKey[]
}

/** The statements of one table. */
export interface TableStatements {
  readonly table: Table
  /** CREATE TABLE and CREATE INDEX. */
  readonly create: readonly string[]
  /** Foreign keys on tables that are created later. */
  readonly constraints: readonly string[]
}

/** Plain statements, in an order that works. */
export function createScript(source: DdlSource): string {
  const tables = tableStatements(source)
  return script([
    ...schemaStatements(source),
    ...enumsOf(source).map((type) => createEnum(type)),
    ...tables.flatMap(({ create }) => create),
    ...tables.flatMap(({ constraints }) => constraints),
  ])
}

/** Plain statements that drop the tables and the enum types. */
export function dropScript(source: DdlSource): string {
  return script(dropStatements(source, ''))
}

/** @param condition Such as `if exists `. */
export function dropStatements(source: DdlSource, condition: string): string[] {
  const tables = source.tables.map(({ sql }) => sql)
  const enums = enumsOf(source).map(enumName)
  return [
    // In one statement, so that tables may refer to each other in circles.
    ...(tables.length > 0 ? [`drop table ${condition}${tables.join(', ')}`] : []),
    ...(enums.length > 0 ? [`drop type ${condition}${enums.join(', ')}`] : []),
  ]
}

/** The schemas that are named, created where they are missing. */
export function schemaStatements(source: DdlSource): string[] {
  const schemas = new Set(
    [...source.tables, ...enumsOf(source)].flatMap(({ schema }) => (schema === undefined ? [] : [schema])),
  )
  return [...schemas].map((schema) => `create schema if not exists ${quoteIdentifier(schema)}`)
}

/** Every enum type once. @throws MappingError if two of one name differ. */
export function enumsOf({ tables }: DdlSource): EnumDefinition[] {
  const found = new Map<string, EnumDefinition>()
  for (const { columns } of tables) {
    for (const { definition } of columns) {
      const { enumType } = definition.type
      if (enumType === undefined) continue
      const name = enumName(enumType)
      const known = found.get(name) ?? enumType
      if (known.values.join('\0') !== enumType.values.join('\0')) {
        throw new MappingError(`Two enum types are called ${name} and have different values`)
      }
      found.set(name, known)
    }
  }
  return [...found.values()]
}

export function enumName({ schema, name }: EnumDefinition): string {
  return (schema === undefined ? [name] : [schema, name]).map(quoteIdentifier).join('.')
}

export function createEnum(type: EnumDefinition): string {
  return `create type ${enumName(type)} as enum (${type.values.map(quoteLiteral).join(', ')})`
}

/** The tables, each with its statements, those that are referred to first. */
export function tableStatements(source: DdlSource): TableStatements[] {
  const order = source.tableGroups.flat()
  const position = new Map(order.map((table, index) => [table, index]))
  return order.map((table, index) => {
    const keys = source.foreignKeys(table)
    const isLater = ({ target }: ForeignKey): boolean => (position.get(target) ?? 0) > index
    const now = keys.filter((key) => !isLater(key))
    return {
      table,
      create: [createTable(table, now), ...createIndexes(table)],
      constraints: keys.filter(isLater).map((key) => `alter table ${table.sql} add ${foreignKeySql(key)}`),
    }
  })
}

export function script(statements: readonly string[]): string {
  return statements.map((statement) => `${statement};\n`).join('')
}

function createTable(table: Table, foreignKeys: readonly ForeignKey[]): string {
  const { unique = [], checks = {} } = table.options
  const parts = [
    ...table.columns.map((column) => columnSql(table, column)),
    `primary key (${names(table.primaryKey)})`,
    ...unique.map((properties) => `unique (${names(properties.map((name) => table.column(name)))})`),
    ...Object.entries(checks).map(
      ([name, condition]) =>
        `constraint ${quoteIdentifier(checkName('constraint', name))} ` +
        `check (${definitionSql(`${table.key}: ${name}`, condition)})`,
    ),
    ...foreignKeys.map(foreignKeySql),
  ]
  return `create table ${table.sql} (\n  ${parts.join(',\n  ')}\n)`
}

function columnSql(table: Table, { sql, definition }: TableColumn): string {
  const { type, nullable, unique, version, serverDefault, generated, checks = [] } = definition
  const text = (fragment: SqlFragment<unknown>): string => definitionSql(table.key, fragment)
  return [
    `${sql} ${type.ddl}`,
    ...(nullable ? [] : ['not null']),
    ...(version === true ? ['default 1'] : []),
    ...(serverDefault === undefined ? [] : [`default ${text(serverDefault)}`]),
    ...(generated === undefined ? [] : [`generated always as (${text(generated)}) stored`]),
    ...(unique === true ? ['unique'] : []),
    ...checks.map((condition) => `check (${text(condition)})`),
  ].join(' ')
}

function foreignKeySql({ columns, target, targetColumns, rules }: ForeignKey): string {
  const { onDelete, onUpdate, deferred } = rules
  return [
    `foreign key (${names(columns)}) references ${target.sql} (${names(targetColumns)})`,
    ...(onDelete === undefined ? [] : [`on delete ${action(onDelete)}`]),
    ...(onUpdate === undefined ? [] : [`on update ${action(onUpdate)}`]),
    ...(deferred === true ? ['deferrable initially deferred'] : []),
  ].join(' ')
}

const ACTIONS: readonly string[] = ['no action', 'restrict', 'cascade', 'set null', 'set default']

function action(rule: string): string {
  if (!ACTIONS.includes(rule))
    throw new MappingError(`A foreign key's action is one of ${ACTIONS.join(', ')}`)
  return rule
}

/** Constraints without a name get one from PostgreSQL, which keeps names unique. */
function createIndexes(table: Table): string[] {
  const single = table.columns
    .filter(({ definition }) => definition.index === true)
    .map(({ property }): IndexOptions<string> => ({ columns: [property] }))
  return [...single, ...(table.options.indexes ?? [])].map((index) => {
    const { columns, name, unique, where, using } = index
    if (using !== undefined && !METHODS.includes(using)) {
      throw new MappingError(`An index of ${table.key} has an unknown access method`)
    }
    const parts = columns.map((part) =>
      typeof part === 'string'
        ? table.column(part).sql
        : `(${definitionSql(`An index of ${table.key}`, part)})`,
    )
    if (parts.length === 0) throw new MappingError(`An index of ${table.key} has no columns`)
    return [
      unique === true ? 'create unique index' : 'create index',
      ...(name === undefined ? [] : [quoteIdentifier(checkName('index', name))]),
      `on ${table.sql}`,
      ...(using === undefined ? [] : [`using ${using}`]),
      `(${parts.join(', ')})`,
      ...(where === undefined ? [] : [`where ${definitionSql(`An index of ${table.key}`, where)}`]),
    ].join(' ')
  })
}

const METHODS: readonly string[] = ['btree', 'hash', 'gin', 'gist', 'spgist', 'brin']

function names(columns: readonly TableColumn[]): string {
  if (columns.length === 0) throw new MappingError('A constraint needs columns')
  return columns.map(({ sql }) => sql).join(', ')
}
