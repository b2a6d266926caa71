/** Compares the schemas and extensions that entities need with those of the database. */
import type { Connection, Metadata } from '../../index.js'
import type { DeclaredType } from '../../schema/column.js'
import { ident, type Differences } from './difference.js'
import { live } from './proposal.js'

interface Namespaces {
  readonly schemas: ReadonlySet<string>
  readonly extensions: ReadonlySet<string>
}

export async function readNamespaces(connection: Connection): Promise<Namespaces> {
  const result = await connection.execute<{ kind: string; name: string }>(
    `select 'schema' as kind, nspname::text as name from pg_catalog.pg_namespace
     union all select 'extension', extname::text from pg_catalog.pg_extension`,
  )
  const named = (kind: string): ReadonlySet<string> =>
    new Set(result.all().flatMap((row) => (row.kind === kind ? [row.name] : [])))
  return { schemas: named('schema'), extensions: named('extension') }
}

/** @param types Those of the tables. @param home The schema of entities that name none. */
export function compareNamespaces(
  { tables, sequences, extensions }: Metadata,
  types: readonly DeclaredType[],
  home: string,
  present: Namespaces,
  differences: Differences,
): void {
  const own = types.filter(({ kind }) => kind !== 'extension')
  const schemas = new Set([...tables, ...own, ...sequences].map(({ schema }) => schema ?? home))
  for (const schema of schemas) {
    if (present.schemas.has(schema)) continue
    differences.add(schema, 'missing', 'reading', 'the schema is not in the database', [
      live('schema', `create schema if not exists ${ident(schema)}`),
    ])
  }
  const wanted = new Map<string, string | undefined>([
    ...extensions.map((name) => [name, undefined] as const),
    ...types.flatMap(({ kind, name, schema }) => (kind === 'extension' ? [[name, schema] as const] : [])),
  ])
  for (const [name, schema] of wanted) {
    if (present.extensions.has(name)) continue
    differences.add(name, 'missing', 'writing', 'the extension is not in the database', [
      live(
        'extension',
        `create extension if not exists ${ident(name)}${schema === undefined ? '' : ` schema ${ident(schema)}`}`,
      ),
    ])
  }
}
