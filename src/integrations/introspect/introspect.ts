/** `introspect`: generates the source of entities from a database. */
import { InvalidOptionError, type Engine } from '../../index.js'
import type { Catalog, CatalogSequence } from './catalog-model.js'
import { chosenSchemas, readCatalog, type SchemaChoice } from './catalog-reader.js'
import { labelOf } from './entity-plan.js'
import { EntityPrinter } from './entity-printer.js'
import { Findings, type Finding } from './findings.js'
import { layOut, type GeneratedFile, type Layout } from './layout.js'
import { customLines } from './marked-places.js'
import { planEntities, type NameOverrides } from './planner.js'
import { contentOf } from './same-source.js'
import { TypePrinter } from './type-printer.js'

/** Options of {@link introspect}. */
export interface IntrospectOptions extends SchemaChoice, NameOverrides {
  /** Tables and views by name or `'schema.name'`: only these. Default: all. */
  readonly tables?: readonly string[] | undefined
  /** Tables and views to leave out, by name or `'schema.name'`. Default: none. */
  readonly excludeTables?: readonly string[] | undefined
  /** One file for all, one for each schema, one for each table. Default `'file'`. */
  readonly layout?: Layout | undefined
  /** Name of the only file. Default `'entities.ts'`. */
  readonly fileName?: string | undefined
  /** File extension in imports of other files. Default `'.js'`. */
  readonly importExtension?: '.js' | '.ts' | '' | undefined
  /** The current files: the code in their custom regions is kept, and so is a file that differs only in layout. Default: none. */
  readonly existing?: readonly string[] | undefined
}

/** The result of {@link introspect}. */
export interface Introspection {
  readonly files: readonly GeneratedFile[]
  /** What was left out or renamed, and hints. */
  readonly findings: readonly Finding[]
  readonly tables: number
  readonly views: number
  /** Custom regions with code whose class is no longer generated. The caller must keep that code. */
  readonly orphans: readonly { readonly place: string; readonly lines: readonly string[] }[]
}

/**
 * Reads the tables, views and types of a database, in one snapshot, and returns the source of entities for them. It does not
 * change the database. The same database gives the same text.
 * @throws SchemaNotFound; InvalidOptionError; DatabaseError.
 * @example
 * const { files, findings } = await introspect(engine, { schemas: ['public'] })
 */
export async function introspect(engine: Engine, options: IntrospectOptions = {}): Promise<Introspection> {
  if (typeof (engine as Partial<Engine> | undefined)?.begin !== 'function')
    throw new InvalidOptionError('engine', 'introspect takes an engine: introspect(createEngine({ url }))')
  const { layout = 'file', fileName = 'entities.ts', importExtension = '.js', existing = [] } = options
  if (!['file', 'schema', 'table'].includes(layout))
    throw new InvalidOptionError('layout', "layout takes 'file', 'schema' or 'table'")
  const catalog = await engine.begin(
    async (connection) =>
      chosenTables(await readCatalog(connection, await chosenSchemas(connection, options)), options),
    { readOnly: true, isolationLevel: 'REPEATABLE READ' },
  )
  const findings = new Findings()
  const isPlain = catalog.currentSchema === 'public' && !hasNamesakes(catalog)
  const schemaOf = (schema: string): string | null => (schema === 'public' && isPlain ? null : schema)
  const plans = planEntities(catalog, options, findings)
  const types = new TypePrinter(catalog, findings, schemaOf)
  const sequences = catalog.sequences.filter(isNameable)
  for (const { where, what } of catalog.needs)
    findings.add('left out', where, `${what}: create it before ddl() or createAll() creates the tables`)
  const printer = new EntityPrinter(types, findings, schemaOf, sequences)
  const custom = customIn(existing)
  const needs = [...new Set(catalog.needs.map(({ what }) => what))]
  const present = new Map(existing.map((source) => [contentOf(source), source]))
  const files = layOut(
    plans,
    types,
    printer,
    { layout, single: fileName, importExtension, extensions: catalog.extensions, sequences, needs },
    custom,
  ).map(({ path, text }) => ({ path, text: present.get(contentOf(text)) ?? text }))
  const places = new Set(
    files.flatMap(({ text }) => [...text.matchAll(/\/\/ #region custom (.+)$/gm)].map((match) => match[1])),
  )
  const isView = (kind: string): boolean => kind.endsWith('view')
  return {
    files,
    findings: findings.all,
    tables: plans.filter(({ table }) => !isView(table.kind)).length,
    views: plans.filter(({ table }) => isView(table.kind)).length,
    orphans: [...custom].flatMap(([place, lines]) => (places.has(place) ? [] : [{ place, lines }])),
  }
}

/** @throws InvalidOptionError if two files have different code for one place: one of them is out of date. */
function customIn(existing: readonly string[]): Map<string, readonly string[]> {
  const custom = new Map<string, readonly string[]>()
  for (const [place, lines] of existing.flatMap((source) => [...customLines(source)])) {
    if ((custom.get(place) ?? lines).join('\n') !== lines.join('\n'))
      throw new InvalidOptionError(
        'existing',
        `Two files have different code in the marked place "${place}": delete one of them`,
      )
    custom.set(place, lines)
  }
  return custom
}

/**
 * Whether a foreign key leads to a table of `public` while the schema of the key has a table of the same name. A reference without a schema
 * would mean the table of the same schema.
 */
function hasNamesakes({ tables }: Catalog): boolean {
  return tables.some(({ schema, constraints }) =>
    constraints.some(
      ({ target }) =>
        target?.schema === 'public' &&
        schema !== 'public' &&
        tables.some((other) => other.schema === schema && other.name === target.table),
    ),
  )
}

/** A base calls a sequence `schema.name`. */
function isNameable({ schema, name }: CatalogSequence): boolean {
  return !schema.includes('.') && !name.includes('.')
}

function chosenTables(catalog: Catalog, { tables, excludeTables = [] }: IntrospectOptions): Catalog {
  const isNamed = (names: readonly string[], { schema, name }: { schema: string; name: string }): boolean =>
    names.includes(name) || names.includes(`${schema}.${name}`)
  for (const name of [...(tables ?? []), ...excludeTables]) {
    if (catalog.tables.some((table) => isNamed([name], table))) continue
    throw new InvalidOptionError('tables', `There is no table or view ${JSON.stringify(name)}`)
  }
  const isChosen = (table: { schema: string; name: string }): boolean =>
    (tables === undefined || isNamed(tables, table)) && !isNamed(excludeTables, table)
  const others = new Set(catalog.tables.filter((table) => !isChosen(table)).map(labelOf))
  return {
    ...catalog,
    tables: catalog.tables.filter(isChosen),
    needs: catalog.needs.filter(({ where }) => !others.has(where)),
  }
}
