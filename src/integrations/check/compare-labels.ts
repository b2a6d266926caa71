/** Compares the labels of an enum type. */
import type { Catalog, CatalogTable, CatalogType } from '../introspect/catalog-model.js'
import { ident, literal, type Differences } from './difference.js'
import { lossy, mentions, type Proposal } from './proposal.js'

export function compareLabels(
  where: string,
  found: CatalogType,
  wanted: readonly string[],
  catalog: Catalog,
  differences: Differences,
): void {
  const type = ident(found.schema, found.name)
  const extra = found.labels.filter((one) => !wanted.includes(one))
  const shared = found.labels.filter((one) => wanted.includes(one))
  const isReordered = shared.join('\0') !== wanted.filter((one) => found.labels.includes(one)).join('\0')
  // PostgreSQL has no statement that removes or moves a label.
  const anew = extra.length > 0 || isReordered ? [recreate(found, wanted, extra, catalog)] : []
  const there = [...found.labels]
  for (const [index, one] of wanted.entries()) {
    if (found.labels.includes(one)) continue
    const before = wanted.slice(0, index).findLast((other) => there.includes(other))
    const first = there.find((other) => wanted.includes(other)) ?? there[0]
    const place =
      before !== undefined
        ? ` after ${literal(before)}`
        : first === undefined
          ? ''
          : ` before ${literal(first)}`
    const statement = `alter type ${type} add value ${literal(one)}${place}`
    there.push(one)
    differences.add(where, 'missing', 'writing', `label ${literal(one)} is not in the database`, [
      { step: 'type', statements: [statement], isLossy: false, label: literal(one) },
    ])
  }
  for (const one of extra)
    differences.add(
      where,
      'extra',
      'reading',
      `label ${literal(one)} is not in the entities, whose types do not have it`,
      anew,
    )
  if (isReordered)
    differences.add(
      where,
      'different',
      'nothing',
      `the labels are in another order: ${found.labels.map(literal).join(', ')}`,
      anew,
    )
}

/** Creates the type anew, and gives it to the columns. Fails where a row has a label that is gone. */
function recreate(
  type: CatalogType,
  wanted: readonly string[],
  extra: readonly string[],
  { tables, types }: Catalog,
): Proposal {
  const [name, old] = [ident(type.schema, type.name), `${type.name.slice(0, 40)} old`]
  const isGone = (sql: string): boolean => extra.some((label) => sql.includes(literal(label)))
  const [drops, changes, adds]: [string[], string[], string[]] = [[], [], []]
  for (const table of tables) {
    if (table.kind.endsWith('view')) continue
    const columns = table.columns.filter(
      (column) => column.type === type.oid || types.get(column.type)?.element === type.oid,
    )
    if (columns.length === 0) continue
    const alter = `alter table ${ident(table.schema, table.name)}`
    for (const one of dependents(
      table,
      columns.map((column) => column.name),
    )) {
      drops.push(one.drop)
      if (!isGone(one.create)) adds.push(one.create)
    }
    for (const column of columns) {
      const part = `alter column ${ident(column.name)}`
      const array = column.type === type.oid ? '' : '[]'
      if (column.default !== null) drops.push(`${alter} ${part} drop default`)
      changes.push(
        `${alter} ${part} type ${name}${array} using ${ident(column.name)}::text${array}::${name}${array}`,
      )
      if (column.default !== null && !isGone(column.default))
        adds.push(`${alter} ${part} set default ${column.default}`)
    }
  }
  return {
    ...lossy(
      'type',
      ...drops,
      `alter type ${name} rename to ${ident(old)}`,
      `create type ${name} as enum (${wanted.map(literal).join(', ')})`,
      ...changes,
      ...adds,
      `drop type ${ident(type.schema, old)}`,
    ),
    note: 'this creates the type anew; it fails where a row has a label that is gone, or where a view or another type uses the type',
  }
}

/** Checks, exclusion constraints and indexes with conditions or expressions: they name the type. */
function dependents(
  table: CatalogTable,
  columns: readonly string[],
): { readonly drop: string; readonly create: string }[] {
  const name = ident(table.schema, table.name)
  const uses = (sql: string): boolean => columns.some((column) => mentions(sql, column))
  return [
    ...table.constraints
      .filter(({ kind, definition }) => (kind === 'check' || kind === 'exclusion') && uses(definition))
      .map((one) => ({
        drop: `alter table ${name} drop constraint ${ident(one.name)}`,
        create: `alter table ${name} add constraint ${ident(one.name)} ${one.definition}`,
      })),
    ...table.indexes
      .filter(
        ({ where, parts, definition }) =>
          (where !== null || parts.some(({ column }) => column === null)) && uses(definition),
      )
      .map((one) => ({
        drop: `drop index ${ident(table.schema, one.name)}`,
        create: `create ${one.unique ? 'unique ' : ''}index ${ident(one.name)} on ${name} ${one.definition}`,
      })),
  ]
}
