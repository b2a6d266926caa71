/** Foreign keys: resolves `references('table.column')` when all tables are known. */
import { MappingError } from '../errors.js'
import { nearestName } from '../internal/nearest-name.js'
import type { ReferenceRules } from './column.js'
import type { TableColumn } from './table-column.js'
import type { Table } from './table.js'

/** A foreign key whose ends were found. */
export interface ForeignKey {
  readonly table: Table
  readonly columns: readonly TableColumn[]
  readonly target: Table
  /** The columns that are referred to, in the order of `columns`. */
  readonly targetColumns: readonly TableColumn[]
  readonly rules: ReferenceRules
}

/** @throws MappingError for a reference to what does not exist, with the nearest name. */
export function resolveForeignKeys(table: Table, tables: readonly Table[]): ForeignKey[] {
  const ofColumns = table.columns.flatMap((column) => {
    const { references } = column.definition
    return references === undefined
      ? []
      : [resolve(table, [column], [references.target], references.rules, tables)]
  })
  const ofOptions = (table.options.foreignKeys ?? []).map(({ columns, references, ...rules }) =>
    resolve(
      table,
      columns.map((property) => table.column(property)),
      references,
      rules,
      tables,
    ),
  )
  return [...ofColumns, ...ofOptions]
}

function resolve(
  table: Table,
  columns: readonly TableColumn[],
  references: readonly string[],
  rules: ReferenceRules,
  tables: readonly Table[],
): ForeignKey {
  if (columns.length !== references.length || columns.length === 0) {
    throw new MappingError(`A foreign key of ${table.key} must have as many columns as it refers to`)
  }
  const ends = references.map((reference) => findTarget(table, columns, reference, tables))
  const [first] = ends
  if (first === undefined || ends.some((end) => end.table !== first.table)) {
    throw new MappingError(`A foreign key of ${table.key} refers to more than one table`)
  }
  return { table, columns, target: first.table, targetColumns: ends.map(({ column }) => column), rules }
}

interface End {
  readonly table: Table
  readonly column: TableColumn
}

function findTarget(
  table: Table,
  columns: readonly TableColumn[],
  reference: string,
  tables: readonly Table[],
): End {
  // Names may hold dots, so the reference is not split: every table is compared with it.
  const candidates = tables.filter((candidate) => prefixOf(reference, candidate, table) !== undefined)
  for (const candidate of candidates) {
    const column = candidate.columnNamed(reference.slice(prefixOf(reference, candidate, table)?.length))
    if (column !== undefined) return { table: candidate, column }
  }
  const known =
    candidates.length > 0
      ? candidates.flatMap(({ key, columns: own }) => own.map(({ name }) => `${key}.${name}`))
      : tables.flatMap(({ key, primaryKey }) => primaryKey.map(({ name }) => `${key}.${name}`))
  const nearest = nearestName(reference, known)
  const hint =
    nearest === undefined ? ' Is the module of that entity imported?' : ` Did you mean '${nearest}'?`
  throw new MappingError(
    `${columns.join(', ')} refers to '${reference}', which is no column of an entity of this base.${hint}`,
  )
}

/** `schema.name.`, or `name.` within one schema, if the reference starts with it. */
function prefixOf(reference: string, candidate: Table, from: Table): string | undefined {
  const names = candidate.schema === from.schema ? [candidate.key, candidate.name] : [candidate.key]
  return names.map((name) => `${name}.`).find((prefix) => reference.startsWith(prefix))
}
