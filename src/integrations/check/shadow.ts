/**
 * The catalog that PostgreSQL would have for the entities. Their tables are created in separate schemas, in a transaction that is
 * rolled back. So types, defaults and expressions are compared in the form in which PostgreSQL stores them, not as the texts of a
 * program.
 */
import { randomBytes } from 'node:crypto'
import {
  Column,
  declarativeBase,
  SqlFragment,
  type Columns,
  type Connection,
  type Metadata,
} from '../../index.js'
import type { DeclaredType } from '../../schema/column.js'
import type { Table } from '../../schema/table.js'
import { ident } from './difference.js'

/** What came of it. */
export interface Shadow {
  /** The schema of the copies, by the schema of what was copied. */
  readonly schemas: ReadonlyMap<string, string>
  /** Tables, sequences and types that PostgreSQL would not create, with its reason. */
  readonly refused: ReadonlyMap<Table | DeclaredType, string>
}

/** @param home The schema of entities that name none. */
export async function castShadow(connection: Connection, metadata: Metadata, home: string): Promise<Shadow> {
  const mark = randomBytes(4).toString('hex')
  const schemas = new Map<string, string>()
  const refused = new Map<Table | DeclaredType, string>()
  const shadowOf = (schema: string): string => {
    const made = schemas.get(schema) ?? `lifeguard_check_${mark}_${schemas.size}`
    schemas.set(schema, made)
    return made
  }
  for (const { schema } of [...metadata.tables, ...typesOf(metadata), ...metadata.sequences])
    shadowOf(schema ?? home)
  await connection.executeScript(
    [...schemas]
      .map(
        ([schema, shadow]) => `create schema if not exists ${ident(schema)};create schema ${ident(shadow)};`,
      )
      .join(''),
  )
  // What cannot be created is told by the tables that need it.
  for (const name of metadata.extensions)
    await attempt(connection, `create extension if not exists ${ident(name)};`)
  for (const sequence of metadata.sequences) {
    const { name, schema, definition } = sequence
    const places = [ident(schema ?? home, name), ident(shadowOf(schema ?? home), name)]
    const creation = places.map((place) => `create sequence if not exists ${place} ${definition};`)
    const problem = await attempt(connection, creation.join(''))
    if (problem !== undefined) refused.set(sequence, problem)
  }
  for (const type of typesOf(metadata)) {
    const problem = await attempt(connection, typeScript(type, home, shadowOf(type.schema ?? home)))
    if (problem !== undefined) refused.set(type, problem)
  }
  const scripts = metadata.tables.map(
    (table) => [table, tableScript(table, shadowOf(table.schema ?? home))] as const,
  )
  // Mostly all of them can be created, in one round trip.
  if ((await attempt(connection, scripts.map(([, script]) => script).join(''))) === undefined)
    return { schemas, refused }
  for (const [table, script] of scripts) {
    const problem = await attempt(connection, script)
    if (problem !== undefined) refused.set(table, problem)
  }
  return { schemas, refused }
}

/** The declared types of all tables, each once, in an order that works. */
export function typesOf({ tables }: Metadata): DeclaredType[] {
  const found = new Map<string, DeclaredType>()
  for (const { columns } of tables) {
    for (const { definition } of columns) {
      for (const type of definition.type.declared ?? []) {
        const id = `${type.kind} ${type.schema ?? ''} ${type.name}`
        if (!found.has(id)) found.set(id, type)
      }
    }
  }
  return [...found.values()]
}

/** Creates what is missing, as tables need it, and a copy. */
function typeScript({ kind, name, schema, definition }: DeclaredType, home: string, shadow: string): string {
  if (kind === 'extension') {
    return `create extension if not exists ${ident(name)}${schema === undefined ? '' : ` schema ${ident(schema)}`};`
  }
  const word = kind === 'domain' ? 'domain' : 'type'
  const real = ident(schema ?? home, name)
  const body = `create ${word} ${real} ${definition}`
  const tag = `$lifeguard${randomBytes(4).toString('hex')}$`
  // The multirange of a copy must not take the name of the real one.
  const copied = definition.replace(/, multirange_type_name = [^,)]+/, '')
  return [
    `do ${tag} begin if to_regtype('${real.replaceAll("'", "''")}') is null then ${body}; end if; end ${tag};`,
    `create ${word} ${ident(shadow, name)} ${copied};`,
  ].join('')
}

/** The table alone: foreign keys are compared as they are declared. */
export function tableScript(table: Table, schema: string | undefined): string {
  const base = declarativeBase()
  const { foreignKeys: _, view, ...options } = table.options
  const columns: Columns = Object.fromEntries(
    table.columns.map(({ property, name, definition }) => {
      const { references: _references, type, ...rest } = ownSql(definition)
      const { declared: _declared, ...bare } = type
      return [property, new Column({ ...rest, name, type: bare })]
    }),
  )
  const { schema: _schema, ...others } = options
  const place = schema === undefined ? {} : { schema }
  // A view has no constraints, and its columns may all be NULL.
  if (view === true) {
    const plain = Object.fromEntries(
      table.columns.map(({ property, name, definition: { type } }) => {
        const { declared: _declared, ...bare } = type
        return [property, new Column({ name, nullable: true, type: bare })]
      }),
    )
    base.entity(table.name, plain, { ...place, keyless: true })
  } else {
    base.entity(table.name, columns, { ...ownSql(others), ...place })
  }
  return base.metadata.ddl()
}

/** The same with fragments of this copy of the package: the entities may be those of another copy. */
export function ownSql<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item: unknown) => ownSql(item)) as Value
  if ('assemble' in value && 'text' in value) return new SqlFragment([String(value.text)], []) as Value
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      name === 'type' ? (item as unknown) : ownSql<unknown>(item),
    ]),
  ) as Value
}

/** Runs a script in a savepoint. @returns why it failed. */
export async function attempt(connection: Connection, script: string): Promise<string | undefined> {
  if (script === '') return undefined
  try {
    await connection.beginNested(() => connection.executeScript(script))
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
