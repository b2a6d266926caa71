/** The statements that create and drop what a metadata declares, as text. */
import { MappingError } from '../errors.js'
import { quoteIdentifier, type SqlFragment } from '../sql.js'
import type { DeclaredType } from './column.js'
import { checkName, definitionSql } from './definition-sql.js'
import type { ForeignKey } from './foreign-key.js'
import type { TableColumn } from './table-column.js'
import type { IndexOptions } from './table-options.js'
import type { Table } from './table.js'

/** What the statements are made from. */
export interface DdlSource {
  /** What indexes, constraints and defaults need. */
  readonly extensions: readonly string[]
  readonly sequences: readonly DeclaredType[]
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
    ...typesOf(source).map((type) => createType(type)),
    ...tables.flatMap(({ create }) => create),
    ...tables.flatMap(({ constraints }) => constraints),
  ])
}

/** Plain statements that drop the tables, the sequences and the types. */
export function dropScript(source: DdlSource): string {
  return script(dropStatements(source, ''))
}

/** @param condition Such as `if exists `. */
export function dropStatements(source: DdlSource, condition: string): string[] {
  const tables = source.tables.map(({ sql }) => sql)
  // A type is dropped before the types that it is made of. Extensions stay, because other schemas may use them.
  const types = typesOf(source)
    .filter(({ kind }) => kind !== 'extension' && kind !== 'sequence')
    .reverse()
  const sequences = source.sequences.map(typeName)
  return [
    // In one statement, so that foreign keys may form cycles.
    ...(tables.length > 0 ? [`drop table ${condition}${tables.join(', ')}`] : []),
    ...(sequences.length > 0 ? [`drop sequence ${condition}${sequences.join(', ')}`] : []),
    ...(types.length > 0 ? [`drop type ${condition}${types.map(typeName).join(', ')}`] : []),
  ]
}

/** The schemas that are named, created where they are missing. */
export function schemaStatements(source: DdlSource): string[] {
  const schemas = new Set(
    [...source.tables, ...typesOf(source)].flatMap(({ schema }) => (schema === undefined ? [] : [schema])),
  )
  return [...schemas].map((schema) => `create schema if not exists ${quoteIdentifier(schema)}`)
}

/** Every declared type, sequence and extension once, each after those that it needs. @throws MappingError if two of the same name differ. */
export function typesOf({ tables, extensions, sequences }: DdlSource): DeclaredType[] {
  const named = extensions.map((name): DeclaredType => ({
    kind: 'extension',
    name,
    schema: undefined,
    definition: '',
  }))
  const found = new Map(
    [...named, ...sequences].map((type) => [`${namespaceOf(type)} ${typeName(type)}`, type]),
  )
  for (const { columns } of tables) {
    for (const { definition } of columns) {
      for (const type of definition.type.declared ?? []) {
        const name = `${namespaceOf(type)} ${typeName(type)}`
        const known = found.get(name) ?? type
        if (known.kind !== type.kind || known.definition !== type.definition) {
          const what = type.kind === 'enum' ? 'Two enum types are' : 'Two types are'
          throw new MappingError(
            `${what} called ${typeName(type)} and have different ${type.kind === 'enum' ? 'values' : 'definitions'}`,
          )
        }
        found.set(name, known)
      }
    }
  }
  return [...found.values()]
}

/** The namespace of a name: within one, names must differ. */
function namespaceOf({ kind }: DeclaredType): string {
  return kind === 'extension' || kind === 'sequence' ? kind : 'type'
}

export function typeName({ kind, schema, name }: DeclaredType): string {
  return (schema === undefined || kind === 'extension' ? [name] : [schema, name])
    .map(quoteIdentifier)
    .join('.')
}

/** @param condition For an extension or a sequence, such as `if not exists `: for types it is asked beforehand. */
export function createType(type: DeclaredType, condition = 'if not exists '): string {
  const { kind, schema, definition } = type
  if (kind === 'sequence') return `create sequence ${condition}${typeName(type)} ${definition}`.trimEnd()
  if (kind !== 'extension')
    return `create ${kind === 'domain' ? 'domain' : 'type'} ${typeName(type)} ${definition}`
  const where = schema === undefined ? '' : ` schema ${quoteIdentifier(schema)}`
  return `create extension ${condition}${typeName(type)}${where}`
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
  const { unique = [], checks = {}, constraints = {}, partitionBy } = table.options
  const key = table.primaryKey.filter(({ definition }) => definition.keyConstraint !== false)
  const parts = [
    ...table.columns.map((column) => columnSql(table, column)),
    ...(key.length > 0 ? [`primary key (${names(key)})`] : []),
    ...unique.map((properties) => `unique (${names(properties.map((name) => table.column(name)))})`),
    ...Object.entries(checks).map(
      ([name, condition]) =>
        `constraint ${quoteIdentifier(checkName('constraint', name))} ` +
        `check (${definitionSql(`${table.key}: ${name}`, condition)})`,
    ),
    ...Object.entries(constraints).map(
      ([name, text]) =>
        `constraint ${quoteIdentifier(checkName('constraint', name))} ${definitionSql(`${table.key}: ${name}`, text)}`,
    ),
    ...foreignKeys.map(foreignKeySql),
  ]
  const partitioned =
    partitionBy === undefined
      ? ''
      : ` partition by ${definitionSql(`${table.key}: partitionBy`, partitionBy)}`
  return `create table ${table.sql} (\n  ${parts.join(',\n  ')}\n)${partitioned}`
}

function columnSql(table: Table, { sql, definition }: TableColumn): string {
  const {
    type,
    nullable,
    unique,
    version,
    serverDefault,
    generated,
    virtual,
    identity,
    identitySequence,
    checks = [],
  } = definition
  const text = (fragment: SqlFragment<unknown>): string => definitionSql(table.key, fragment)
  return [
    `${sql} ${type.ddl}`,
    ...(nullable ? [] : ['not null']),
    ...(version === true ? ['default 1'] : []),
    ...(serverDefault === undefined ? [] : [`default ${text(serverDefault)}`]),
    ...(identity === undefined
      ? []
      : [
          `generated ${identity} as identity${identitySequence === undefined ? '' : ` (${text(identitySequence)})`}`,
        ]),
    ...(generated === undefined
      ? []
      : [`generated always as (${text(generated)}) ${virtual === true ? 'virtual' : 'stored'}`]),
    ...(unique === true ? ['unique'] : []),
    ...checks.map((condition) => `check (${text(condition)})`),
  ].join(' ')
}

function foreignKeySql({ table, columns, target, targetColumns, rules }: ForeignKey): string {
  const { onDelete, onUpdate, deferred, deferrable, definition } = rules
  const start = `foreign key (${names(columns)}) references ${target.sql} (${names(targetColumns)})`
  if (definition !== undefined)
    return `${start} ${definitionSql(`A foreign key of ${table.key}`, definition)}`
  return [
    start,
    ...(onDelete === undefined ? [] : [`on delete ${action(onDelete)}`]),
    ...(onUpdate === undefined ? [] : [`on update ${action(onUpdate)}`]),
    ...(deferred === true ? ['deferrable initially deferred'] : deferrable === true ? ['deferrable'] : []),
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
    const { columns, name, unique, where, using, definition } = index
    if (using !== undefined && !METHODS.includes(using)) {
      throw new MappingError(`An index of ${table.key} has an unknown access method`)
    }
    const start = [
      unique === true ? 'create unique index' : 'create index',
      ...(name === undefined ? [] : [quoteIdentifier(checkName('index', name))]),
      `on ${table.sql}`,
    ]
    if (definition !== undefined)
      return [...start, definitionSql(`An index of ${table.key}`, definition)].join(' ')
    const parts = columns.map((part) =>
      typeof part === 'string'
        ? table.column(part).sql
        : `(${definitionSql(`An index of ${table.key}`, part)})`,
    )
    if (parts.length === 0) throw new MappingError(`An index of ${table.key} has no columns`)
    return [
      ...start,
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
