/** Reads the catalog into a {@link Catalog}, in one snapshot. */
import type { Connection } from '../../index.js'
import type {
  CatalogNeed,
  CatalogSequence,
  Catalog,
  CatalogColumn,
  CatalogConstraint,
  CatalogDomain,
  CatalogIndex,
  CatalogTable,
  CatalogType,
  ForeignKeyAction,
  TableKind,
} from './catalog-model.js'
import {
  COLUMNS_QUERY,
  CONSTRAINTS_QUERY,
  INDEXES_QUERY,
  SCHEMAS,
  SEQUENCES_QUERY,
  TABLES_QUERY,
  TYPES_QUERY,
} from './catalog-queries.js'
import { EXTENSION_SCHEMAS_QUERY, EXTENSIONS_QUERY, NEEDS_QUERY } from './needs-queries.js'

/** Which schemas to read. */
export interface SchemaChoice {
  /** Default: all but those of PostgreSQL. */
  readonly schemas?: readonly string[] | undefined
  readonly excludeSchemas?: readonly string[] | undefined
}

/**
 * Reads what a connection sees; the caller begins a transaction, so that all questions see the same.
 * @param schemas As they are called.
 */
export async function readCatalog(connection: Connection, schemas: readonly string[]): Promise<Catalog> {
  const current = await connection.scalar<string | null>('select current_schema()')
  const settings = await setLocal(connection, PRINTING)
  const rows = <Row>(query: string): Promise<Row[]> => documents<Row>(connection, query, [schemas])
  const [tables, columns, constraints, indexes, extensions, sequences, needs, types] = await Promise.all([
    rows<TableRow>(TABLES_QUERY),
    rows<ColumnRow>(COLUMNS_QUERY),
    rows<ConstraintRow>(CONSTRAINTS_QUERY),
    rows<IndexRow>(INDEXES_QUERY),
    rows<string>(EXTENSIONS_QUERY),
    rows<CatalogSequence>(SEQUENCES_QUERY),
    rows<CatalogNeed>(NEEDS_QUERY),
    documents<TypeRow>(connection, TYPES_QUERY, []),
  ])
  const elsewhere = await documents<CatalogNeed>(connection, EXTENSION_SCHEMAS_QUERY, [extensions])
  const found = new Map(types.map((row) => [row.oid, typeOf(row)]))
  const byTable = grouped(columns)
  const namesOf = (table: string): ReadonlyMap<number, string> =>
    new Map((byTable.get(table) ?? []).map(({ number, name }) => [number, name]))
  const [constraintsOf, indexesOf] = [grouped(constraints), grouped(indexes)]
  return {
    currentSchema: current ?? null,
    settings,
    extensions,
    sequences,
    needs: [...elsewhere, ...needs],
    types: found,
    tables: tables.map((row): CatalogTable => {
      const names = namesOf(row.oid)
      return {
        ...row,
        kind: KINDS[row.kind] ?? 'table',
        columns: (byTable.get(row.oid) ?? []).map((column) => columnOf(column, found)),
        constraints: (constraintsOf.get(row.oid) ?? []).map((one) => constraintOf(one, names)),
        indexes: (indexesOf.get(row.oid) ?? []).map((one) => indexOf(one, names)),
      }
    }),
  }
}

/** What the texts of expressions depend on, so that every session reads the same ones; a path without schemas qualifies all names. */
const PRINTING: Readonly<Record<string, string>> = {
  search_path: '',
  quote_all_identifiers: 'off',
  timezone: 'UTC',
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  extra_float_digits: '1',
}

/** Sets them for the rest of the transaction. @returns What they were before. */
export async function setLocal(
  connection: Connection,
  settings: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, string>>> {
  const result = await connection.execute<{ name: string; before: string }>({
    text: 'select key as name, current_setting(key) as before, set_config(key, value, true) from jsonb_each_text($1)',
    values: [JSON.stringify(settings)],
  })
  return Object.fromEntries(result.all().map(({ name, before }) => [name, before]))
}

/** The schemas that a choice means. @throws Error for one that does not exist. */
export async function chosenSchemas(connection: Connection, choice: SchemaChoice): Promise<string[]> {
  const all = await documents<string>(connection, SCHEMAS, [])
  const missing = [...(choice.schemas ?? []), ...(choice.excludeSchemas ?? [])].find(
    (name) => !all.includes(name),
  )
  if (missing !== undefined) {
    throw new SchemaNotFound(`There is no schema ${JSON.stringify(missing)}. There are: ${all.join(', ')}`)
  }
  return all.filter(
    (name) => (choice.schemas?.includes(name) ?? true) && choice.excludeSchemas?.includes(name) !== true,
  )
}

/** A schema that was asked for is not there. */
export class SchemaNotFound extends Error {
  override readonly name = 'SchemaNotFound'
}

async function documents<Row>(
  connection: Connection,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  const result = await connection.execute<{ item: unknown }>({ text, values })
  // Engines may parse JSON, or leave it as text.
  return result
    .all()
    .map(
      ({ item }) =>
        (typeof item === 'string' && /^[[{]/.test(item) && text !== SCHEMAS && text !== EXTENSIONS_QUERY
          ? JSON.parse(item)
          : item) as Row,
    )
}

function grouped<Row extends { readonly table: string }>(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const group = groups.get(row.table)
    if (group === undefined) groups.set(row.table, [row])
    else group.push(row)
  }
  return groups
}

const KINDS: Readonly<Record<string, TableKind>> = {
  r: 'table',
  p: 'partitioned table',
  f: 'foreign table',
  v: 'view',
  m: 'materialized view',
}

interface TableRow extends Omit<CatalogTable, 'kind' | 'columns' | 'constraints' | 'indexes'> {
  readonly kind: string
}

interface ColumnRow extends Omit<CatalogColumn, 'identity' | 'serial' | 'generated'> {
  readonly table: string
  readonly identity: string
  readonly generated: string
  readonly sequences: readonly string[] | null
}

function columnOf(
  { table: _, sequences, ...row }: ColumnRow,
  types: ReadonlyMap<string, CatalogType>,
): CatalogColumn {
  const serial = row.notNull && row.default !== null && sequences?.includes(row.default) === true
  const isGenerated = row.generated !== ''
  return {
    ...row,
    notNull: (row.notNull && row.newNotNull === null) || takesNoNull(row.type, types),
    identity: row.identity === 'a' ? 'always' : row.identity === 'd' ? 'by default' : null,
    serial,
    default: serial || isGenerated ? null : row.default,
    generated: isGenerated ? { expression: row.default ?? 'null', stored: row.generated === 's' } : null,
  }
}

/** Whether it is a domain without NULL, or one over such a domain. */
function takesNoNull(oid: string, types: ReadonlyMap<string, CatalogType>): boolean {
  const domain = types.get(oid)?.domain
  return domain !== undefined && domain !== null && (domain.notNull || takesNoNull(domain.base, types))
}

interface ConstraintRow extends Omit<CatalogConstraint, 'kind' | 'columns' | 'target'> {
  readonly table: string
  readonly kind: string
  readonly columns: readonly number[]
  readonly target: {
    readonly schema: string
    readonly table: string
    readonly names: readonly string[]
    readonly onDelete: string
    readonly onUpdate: string
    readonly rules: string
  } | null
}

const CONSTRAINTS = { p: 'primary key', u: 'unique', c: 'check', f: 'foreign key', x: 'exclusion' } as const
const ACTIONS: Readonly<Record<string, ForeignKeyAction>> = {
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
}

function constraintOf(
  { table: _, kind, columns, target, ...row }: ConstraintRow,
  names: ReadonlyMap<number, string>,
): CatalogConstraint {
  return {
    ...row,
    kind: CONSTRAINTS[kind as keyof typeof CONSTRAINTS],
    columns: columns.map((number) => names.get(number) ?? ''),
    target: target && {
      schema: target.schema,
      table: target.table,
      columns: target.names,
      onDelete: ACTIONS[target.onDelete] ?? 'no action',
      onUpdate: ACTIONS[target.onUpdate] ?? 'no action',
      rules: target.rules,
    },
  }
}

interface IndexRow extends Omit<CatalogIndex, 'parts'> {
  readonly table: string
  readonly prefix: string
  readonly parts: readonly { readonly number: number; readonly expression: string | null }[]
}

function indexOf({ table: _, prefix, ...row }: IndexRow, names: ReadonlyMap<number, string>): CatalogIndex {
  return {
    ...row,
    parts: row.parts.map(({ number, expression }) => ({ column: names.get(number) ?? null, expression })),
    definition: row.definition.startsWith(prefix) ? row.definition.slice(prefix.length) : row.definition,
  }
}

const TYPE_KINDS = {
  b: 'base',
  e: 'enum',
  d: 'domain',
  c: 'composite',
  r: 'range',
  m: 'multirange',
  p: 'pseudo',
} as const

interface TypeRow extends Omit<CatalogType, 'kind' | 'domain'> {
  readonly kind: string
  readonly domain:
    | (Omit<CatalogDomain, 'checks'> & {
        readonly checks: readonly { readonly name: string; readonly definition: string }[]
      })
    | null
}

function typeOf({ kind, domain, ...row }: TypeRow): CatalogType {
  return {
    ...row,
    kind: TYPE_KINDS[kind as keyof typeof TYPE_KINDS],
    domain: domain && {
      ...domain,
      checks: domain.checks.map(({ name, definition }) => ({
        name,
        expression: definition.replace(/^CHECK \(/, '').replace(/\)(?: NOT VALID)?$/, ''),
      })),
    },
  }
}
