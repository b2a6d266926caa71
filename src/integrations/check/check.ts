/** `checkEntities`: compares entities with a database. */
import {
  DatabaseError,
  InvalidOptionError,
  type Connection,
  type DeclarativeBase,
  type Engine,
} from '../../index.js'
import type { Table } from '../../schema/table.js'
import type { Catalog, CatalogConstraint, CatalogTable, CatalogType } from '../introspect/catalog-model.js'
import { readCatalog, setLocal } from '../introspect/catalog-reader.js'
import { readCasts } from './casts.js'
import { compareColumns } from './compare-columns.js'
import { compareConstraints } from './compare-constraints.js'
import { addForeignKey, compareForeignKeys } from './compare-foreign-keys.js'
import { compareNamespaces, readNamespaces } from './compare-namespaces.js'
import { compareSequences, readSequences } from './compare-sequences.js'
import { compareType } from './compare-types.js'
import { Differences, ident, type Difference } from './difference.js'
import { keyChanges } from './key-changes.js'
import { byHand, live, proposedScript } from './proposal.js'
import { castShadow, tableScript, typesOf } from './shadow.js'
import { readTypeDependents } from './type-dependents.js'
import { readTypeUsers } from './type-users.js'
import { notUnderstood } from './understood.js'

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
  const isEngine = typeof (engine as Partial<Engine> | undefined)?.begin === 'function'
  if (!isEngine || given?.metadata === undefined || !('tables' in given.metadata))
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
    if (error instanceof Undo) return report as CheckReport
    if (error instanceof DatabaseError && isForbidden(error)) tellNeeds(error)
    throw error
  }
  return report as CheckReport
}

/** `check` needs more than a role that reads. */
const NEEDED =
  '. A check creates temporary schemas in a transaction that it rolls back: connect to a primary, in a transaction that may write, as a role ' +
  'with the privilege CREATE on the database (`grant create on database ... to ...`) and USAGE on the schemas of the entities'

function tellNeeds(error: DatabaseError): void {
  const { message, stack } = error
  error.message = message + NEEDED
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message)
}

/** insufficient_privilege, read_only_sql_transaction */
function isForbidden({ sqlState }: DatabaseError): boolean {
  return sqlState === '42501' || sqlState === '25006'
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
  const version = Number(await connection.scalar<string>("select current_setting('server_version_num')"))
  const types = typesOf(metadata)
  const schemas = [...new Set([...metadata.tables, ...types].map(({ schema }) => schema ?? home))]
  const present = await readNamespaces(connection)
  const before = await readCatalog(connection, schemas)
  const typeUsers = await readTypeUsers(connection, schemas)
  const dependents = await readTypeDependents(connection, before, schemas)
  await setLocal(connection, before.settings)
  const sequences = await readSequences(
    connection,
    metadata.sequences.map(({ schema }) => schema ?? home),
  )
  const shadow = await castShadow(connection, metadata, home)
  const after = await readCatalog(connection, [...shadow.schemas.values()])
  const differences = new Differences()
  compareNamespaces(metadata, types, home, present, differences)
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
    const users = { dependents, columns: typeUsers }
    compareType(type, schema, typeNamed(before, schema, type.name), wanted, before, after, users, differences)
  }
  const isMapped = (schema: string, name: string): boolean =>
    metadata.tables.some((table) => (table.schema ?? home) === schema && table.name === name)
  const comparable: {
    readonly wanted: CatalogTable
    readonly found: CatalogTable
    readonly isView: boolean
  }[] = []
  const foreignKeys = new Differences()
  const fates = new Map<CatalogConstraint, 'changed' | 'extra'>()
  for (const table of metadata.tables) {
    const schema = table.schema ?? home
    const where = `${schema}.${table.name}`
    const found = tableNamed(before, schema, table.name)
    const why = shadow.refused.get(table)
    if (found === undefined) {
      const sql = createSql(table, schema)
      // A copy cannot have the labels that are missing.
      const awaits = differences.proposals.some(({ label }) => label !== undefined && sql.includes(label))
      const isRefused = why !== undefined && !awaits
      const refusal = isRefused ? `, and PostgreSQL cannot create it: ${why}` : ''
      const create = { ...live('table', sql), creates: { table: ident(schema, table.name) } }
      const proposals = [
        isRefused ? { ...create, isLossy: true, note: `PostgreSQL refuses this: ${why}` } : create,
        ...metadata.foreignKeys(table).map((key) => addForeignKey(key, schema, table.name, home)),
      ]
      differences.add(
        where,
        'missing',
        'reading',
        `${table.isView ? 'the view' : 'the table'} is not in the database${refusal}`,
        table.isView ? [] : proposals,
      )
      continue
    }
    const wanted = tableNamed(after, shadow.schemas.get(schema) ?? '', table.name)
    if (wanted === undefined) {
      differences.add(
        where,
        'different',
        'writing',
        `PostgreSQL cannot create what the entity says, so it is not compared: ${why ?? ''}`,
      )
      continue
    }
    comparable.push({ wanted, found, isView: table.isView })
    if (table.isView) continue
    const context = { where, home, isMapped, fates }
    compareForeignKeys(metadata.foreignKeys(table), found, context, foreignKeys)
  }
  const [scratch = ''] = shadow.schemas.values()
  const casts = await readCasts(connection, comparable, scratch)
  const around = keyChanges(before, fates)
  for (const { wanted, found, isView } of comparable) {
    const where = `${found.schema}.${found.name}`
    const anew = new Set<string>()
    compareColumns(
      wanted,
      found,
      { where, isView, casts, typeUsers, version, aroundKeys: around.column, anew },
      differences,
    )
    if (isView) continue
    compareConstraints(
      where,
      wanted,
      found,
      { names: namesIn(before, found.schema), anew, aroundKey: around.key },
      differences,
    )
    if (wanted.partitionBy !== found.partitionBy)
      differences.add(
        where,
        'different',
        'nothing',
        `the database partitions by ${found.partitionBy ?? 'nothing'}, the entity by ${wanted.partitionBy ?? 'nothing'}`,
        [
          byHand(
            'table',
            `no statement changes how ${ident(found.schema, found.name)} is partitioned; create it anew`,
          ),
        ],
      )
  }
  differences.addAll(foreignKeys)
  if (extraTables) {
    for (const { schema, name, kind } of before.tables) {
      if (!isMapped(schema, name))
        differences.add(`${schema}.${name}`, 'extra', 'nothing', `the ${kind} has no entity`)
    }
  }
  const unknown = await notUnderstood(connection, differences.proposals)
  differences.revise((one) => {
    const problem = unknown.get(one)
    const note = `PostgreSQL ${Math.trunc(version / 10_000)} does not understand this: ${problem ?? ''}`
    return problem === undefined ? one : { ...one, isLossy: true, note }
  })
  const all = differences.all
  return {
    agrees: all.length === 0,
    differences: all,
    tables: metadata.tables.length,
    sql: proposedScript(differences.proposals),
  }
}

function createSql(table: Table, schema: string): string {
  return tableScript(table, schema)
    .replace(`create schema if not exists ${ident(schema)};\n`, '')
    .trimEnd()
    .replace(/;$/, '')
}

/** Names of relations and constraints in a schema. */
function namesIn({ tables }: Catalog, schema: string): ReadonlySet<string> {
  return new Set(
    tables.flatMap((table) =>
      table.schema === schema
        ? [table.name, ...[...table.constraints, ...table.indexes].map(({ name }) => name)]
        : [],
    ),
  )
}

function tableNamed({ tables }: Catalog, schema: string, name: string): CatalogTable | undefined {
  return tables.find((table) => table.schema === schema && table.name === name)
}

function typeNamed({ types }: Catalog, schema: string, name: string): CatalogType | undefined {
  return [...types.values()].find((type) => type.schema === schema && type.name === name)
}
