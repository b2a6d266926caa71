/** `checkEntities`: compares entities with a database. */
import { InvalidOptionError, type Connection, type DeclarativeBase, type Engine } from '../../index.js'
import type { Table } from '../../schema/table.js'
import type { Catalog, CatalogTable, CatalogType } from '../introspect/catalog-model.js'
import { readCatalog } from '../introspect/catalog-reader.js'
import { compareColumns } from './compare-columns.js'
import { compareConstraints, compareForeignKeys } from './compare-constraints.js'
import { compareSequences, readSequences } from './compare-sequences.js'
import { compareType } from './compare-types.js'
import { Differences, ident, type Difference } from './difference.js'
import { castShadow, tableScript, typesOf } from './shadow.js'

export type { Difference } from './difference.js'

/** Options of {@link checkEntities}. */
export interface CheckOptions {
  /** True: tables and views without an entity are differences, in the schemas that have entities. Default false. */
  readonly extraTables?: boolean | undefined
}

/** The result of {@link checkEntities}. */
export interface CheckReport {
  /** True: there are no differences. */
  readonly agrees: boolean
  readonly differences: readonly Difference[]
  /** How many tables and views were compared. */
  readonly tables: number
  /** The statements that would change the database to match the entities, as a script. They were not run. */
  readonly sql: string
}

/**
 * Compares entities with a database. To compare, it creates the tables of the entities in temporary schemas, in a transaction
 * that is rolled back. So the role needs the privilege to create schemas; other sessions do not see these schemas.
 * @throws InvalidOptionError if `base` is not a base; MappingError for invalid declarations; DatabaseError.
 * @example
 * const { agrees, differences } = await checkEntities(engine, Base)
 */
export async function checkEntities(
  engine: Engine,
  base: Pick<DeclarativeBase, 'metadata'>,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const given = base as Partial<DeclarativeBase> | null | undefined
  if (given?.metadata === undefined || !('tables' in given.metadata))
    throw new InvalidOptionError(
      'base',
      'checkEntities takes an engine and the base of the entities: declarativeBase()',
    )
  let report: CheckReport | undefined
  try {
    await engine.begin(async (connection) => {
      report = await compare(connection, base, options)
      throw new Undo()
    })
  } catch (error) {
    if (!(error instanceof Undo)) throw error
  }
  return report as CheckReport
}

/** Thrown at the end of the transaction, which has to leave nothing behind. */
class Undo extends Error {
  override readonly name = 'Undo'
}

async function compare(
  connection: Connection,
  { metadata }: Pick<DeclarativeBase, 'metadata'>,
  { extraTables = false }: CheckOptions,
): Promise<CheckReport> {
  const home = (await connection.scalar<string | null>('select current_schema()')) ?? 'public'
  const path = await connection.scalar<string>("select current_setting('search_path')")
  const types = typesOf(metadata)
  const schemas = [...new Set([...metadata.tables, ...types].map(({ schema }) => schema ?? home))]
  const before = await readCatalog(connection, schemas)
  await connection.execute({ text: "select set_config('search_path', $1, true)", values: [path] })
  const sequences = await readSequences(
    connection,
    metadata.sequences.map(({ schema }) => schema ?? home),
  )
  const shadow = await castShadow(connection, metadata, home)
  const after = await readCatalog(connection, [...shadow.schemas.values()])
  const differences = new Differences()
  compareSequences(
    metadata.sequences,
    home,
    sequences,
    shadow,
    await readSequences(connection, [...shadow.schemas.values()]),
    differences,
  )
  for (const type of types) {
    const schema = type.schema ?? home
    const refused = shadow.refused.get(type)
    if (refused !== undefined)
      differences.add(`${schema}.${type.name}`, 'missing', 'reading', `it cannot be created: ${refused}`)
    if (type.kind === 'extension' || refused !== undefined) continue
    const wanted = typeNamed(after, shadow.schemas.get(schema) ?? '', type.name)
    compareType(
      type,
      `${schema}\0${type.name}`,
      typeNamed(before, schema, type.name),
      wanted,
      before,
      after,
      differences,
    )
  }
  const isMapped = (schema: string, name: string): boolean =>
    metadata.tables.some((table) => (table.schema ?? home) === schema && table.name === name)
  for (const table of metadata.tables) {
    const schema = table.schema ?? home
    const where = `${schema}.${table.name}`
    const found = tableNamed(before, schema, table.name)
    if (found === undefined) {
      const what = table.isView ? 'the view' : 'the table'
      differences.add(
        where,
        'missing',
        'reading',
        `${what} is not in the database`,
        table.isView ? null : createSql(table, schema),
      )
      continue
    }
    const wanted = tableNamed(after, shadow.schemas.get(schema) ?? '', table.name)
    if (wanted === undefined) {
      const why = shadow.refused.get(table) ?? ''
      differences.add(
        where,
        'different',
        'writing',
        `PostgreSQL cannot create what the entity says, so it is not compared: ${why}`,
      )
      continue
    }
    compareColumns(where, wanted, found, table.isView, differences)
    if (table.isView) continue
    compareConstraints(where, wanted, found, differences)
    compareForeignKeys(where, metadata.foreignKeys(table), found, home, isMapped, differences)
    if (wanted.partitionBy !== found.partitionBy)
      differences.add(
        where,
        'different',
        'nothing',
        `the database partitions by ${found.partitionBy ?? 'nothing'}, the entity by ${wanted.partitionBy ?? 'nothing'}`,
      )
  }
  if (extraTables) {
    for (const { schema, name, kind } of before.tables) {
      if (!isMapped(schema, name))
        differences.add(`${schema}.${name}`, 'extra', 'nothing', `the ${kind} has no entity`)
    }
  }
  const all = differences.all
  return {
    agrees: all.length === 0,
    differences: all,
    tables: metadata.tables.length,
    sql: all.flatMap(({ sql }) => (sql === null ? [] : [`${sql}\n`])).join(''),
  }
}

function createSql(table: Table, schema: string): string {
  return tableScript(table, schema)
    .replace(`create schema if not exists ${ident(schema)};\n`, '')
    .trimEnd()
}

function tableNamed({ tables }: Catalog, schema: string, name: string): CatalogTable | undefined {
  return tables.find((table) => table.schema === schema && table.name === name)
}

function typeNamed({ types }: Catalog, schema: string, name: string): CatalogType | undefined {
  return [...types.values()].find((type) => type.schema === schema && type.name === name)
}
