/**
 * Creates and drops objects that may exist already, or that another process may create at this moment. All statements are one script,
 * so they cost one round trip, and are one transaction even if none was begun.
 */
import {
  createType,
  dropStatements,
  schemaStatements,
  script,
  tableStatements,
  typeName,
  typesOf,
  type DdlSource,
} from './ddl.js'
import { quoteLiteral } from './definition-sql.js'

// Without it, processes that boot together fail on each other's half-made types (`pg_type_typname_nsp_index`). The
// number is arbitrary: advisory locks are counted per database.
const LOCK = 'select pg_catalog.pg_advisory_xact_lock(7523094287012)'

/** Creates missing objects. An existing table, with everything that belongs to it, is not changed. */
export function guardedCreateScript(source: DdlSource): string {
  const types = typesOf(source)
  const tables = tableStatements(source)
  if (tables.length === 0) return script([LOCK])
  // The checks go through the catalog caches, which see what others have committed whatever the isolation level.
  const body = [
    'declare',
    `  missing text[] := array(select name from unnest(array[${tables
      .map(({ table }) => quoteLiteral(table.sql))
      .join(', ')}]) as name where to_regclass(name) is null);`,
    'begin',
    ...types.map((type) =>
      type.kind === 'extension' || type.kind === 'sequence'
        ? script([createType(type)])
        : block(`to_regtype(${quoteLiteral(typeName(type))}) is null`, [createType(type)]),
    ),
    ...tables.map(({ table, create }) => block(`${quoteLiteral(table.sql)} = any(missing)`, create)),
    ...tables
      .filter(({ constraints }) => constraints.length > 0)
      .map(({ table, constraints }) => block(`${quoteLiteral(table.sql)} = any(missing)`, constraints)),
    'end',
  ].join('\n')
  const tag = dollarTag(body)
  return script([LOCK, ...schemaStatements(source), `do ${tag}\n${body}\n${tag}`])
}

/** Drops an object if it exists. */
export function guardedDropScript(source: DdlSource): string {
  return script([LOCK, ...dropStatements(source, 'if exists ')])
}

function block(condition: string, statements: readonly string[]): string {
  return `  if ${condition} then\n${script(statements)}  end if;`
}

/** A quote that the text does not contain. */
function dollarTag(text: string): string {
  let tag = '$ddl$'
  for (let count = 1; text.includes(tag); count++) tag = `$ddl${count}$`
  return tag
}
