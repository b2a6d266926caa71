/** Compares keys, constraints and indexes of an entity with those of the database. Their names are not compared. */
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { CatalogConstraint, CatalogIndex, CatalogTable } from '../introspect/catalog-model.js'
import { ident, type Differences } from './difference.js'

/** @param wanted The table as PostgreSQL understands the entity. */
export function compareConstraints(
  where: string,
  wanted: CatalogTable,
  found: CatalogTable,
  differences: Differences,
): void {
  const table = ident(found.schema, found.name)
  for (const [kind, texts] of [
    ['primary key', 'primary key'],
    ['unique', 'unique constraint'],
    ['check', 'check'],
    ['exclusion', 'exclusion constraint'],
  ] as const) {
    const [here, there] = [signed(wanted, kind), signed(found, kind)]
    for (const [signature, one] of here) {
      if (there.has(signature) || (kind === 'unique' && hasUniqueIndex(found, one.columns))) continue
      const breaks = kind === 'primary key' ? 'writing' : 'nothing'
      differences.add(
        where,
        'missing',
        breaks,
        `${texts} ${shown(one)} is not in the database`,
        `alter table ${table} add ${kind === 'check' || kind === 'exclusion' ? `constraint ${ident(one.name)} ` : ''}${one.definition};`,
      )
    }
    for (const [signature, one] of there) {
      if (here.has(signature) || (kind === 'unique' && hasUniqueIndex(wanted, one.columns))) continue
      // A key for the session alone stands in no table.
      if (kind === 'primary key' && wanted.constraints.every((other) => other.kind !== kind)) {
        differences.add(where, 'extra', 'nothing', `${texts} ${shown(one)} is no constraint for the entity`)
        continue
      }
      differences.add(
        where,
        'extra',
        'nothing',
        `${texts} ${shown(one)} (${one.name}) is not in the entity`,
        `-- alter table ${table} drop constraint ${ident(one.name)};`,
      )
    }
  }
  compareIndexes(where, table, wanted, found, differences)
}

/** The columns of a key, the text of the others. */
function shown(one: CatalogConstraint): string {
  return one.kind === 'check'
    ? (one.expression ?? '')
    : one.kind === 'exclusion'
      ? one.definition
      : `(${one.columns.join(', ')})`
}

function signed(table: CatalogTable, kind: CatalogConstraint['kind']): Map<string, CatalogConstraint> {
  return new Map(
    table.constraints
      .filter((one) => one.kind === kind)
      .map((one) => [
        kind === 'check'
          ? (one.expression ?? '')
          : kind === 'exclusion' || one.special
            ? one.definition
            : `${[...one.columns].sort().join('\0')} ${one.deferrable} ${one.deferred}`,
        one,
      ]),
  )
}

function hasUniqueIndex({ indexes }: CatalogTable, columns: readonly string[]): boolean {
  return indexes.some(
    ({ unique, where, parts, plain }) =>
      unique &&
      plain &&
      where === null &&
      parts.length === columns.length &&
      parts.every(({ column }) => column !== null && columns.includes(column)),
  )
}

function compareIndexes(
  where: string,
  table: string,
  wanted: CatalogTable,
  found: CatalogTable,
  differences: Differences,
): void {
  const sign = ({ unique, definition }: CatalogIndex): string => `${unique ? 'unique ' : ''}${definition}`
  const left = found.indexes.map(sign)
  for (const index of wanted.indexes) {
    const at = left.indexOf(sign(index))
    if (at >= 0) {
      left.splice(at, 1)
      continue
    }
    const unique = index.unique ? 'unique ' : ''
    differences.add(
      where,
      'missing',
      'nothing',
      `${unique}index ${index.definition} is not in the database`,
      `create ${unique}index ${ident(index.name)} on ${table} ${index.definition};`,
    )
  }
  for (const index of found.indexes) {
    const at = left.indexOf(sign(index))
    if (at < 0) continue
    left.splice(at, 1)
    const breaks = index.unique ? 'writing' : 'nothing'
    const message = `${index.unique ? 'unique ' : ''}index ${index.name} ${index.definition} is not in the entity`
    differences.add(where, 'extra', breaks, message, `-- drop index ${ident(found.schema, index.name)};`)
  }
}

/** @param home The schema of entities that name none. @param isMapped Whether a table is an entity. */
export function compareForeignKeys(
  where: string,
  declared: readonly ForeignKey[],
  found: CatalogTable,
  home: string,
  isMapped: (schema: string, table: string) => boolean,
  differences: Differences,
): void {
  const table = ident(found.schema, found.name)
  const there = found.constraints.filter(({ kind }) => kind === 'foreign key')
  const known = new Set<CatalogConstraint>()
  for (const key of declared) {
    const { columns, target, targetColumns, rules } = key
    const schema = target.schema ?? home
    const isSame = ({ columns: own, target: other }: CatalogConstraint): boolean =>
      other?.schema === schema &&
      other.table === target.name &&
      pairs(own, other.columns) ===
        pairs(
          columns.map(({ name }) => name),
          targetColumns.map(({ name }) => name),
        )
    const names = columns.map(({ name }) => name).join(', ')
    const { onDelete = 'no action', onUpdate = 'no action', deferred = false, deferrable = deferred } = rules
    const sql = `add foreign key (${columns.map(({ name }) => ident(name)).join(', ')}) references ${ident(schema, target.name)} (${targetColumns
      .map(({ name }) => ident(name))
      .join(
        ', ',
      )}) on delete ${onDelete} on update ${onUpdate}${deferred ? ' deferrable initially deferred' : deferrable ? ' deferrable' : ''}`
    const same = there.filter(isSame)
    for (const one of same) known.add(one)
    if (same.length === 0) {
      differences.add(
        where,
        'missing',
        'nothing',
        `foreign key (${names}) to ${schema}.${target.name} is not in the database`,
        `alter table ${table} ${sql};`,
      )
      continue
    }
    const rulesHere = said(onDelete, onUpdate, deferrable, deferred)
    const agrees = same.some(
      (one) => said(one.target?.onDelete, one.target?.onUpdate, one.deferrable, one.deferred) === rulesHere,
    )
    if (agrees) continue
    const [first] = same as [CatalogConstraint]
    const rulesThere = said(first.target?.onDelete, first.target?.onUpdate, first.deferrable, first.deferred)
    differences.add(
      where,
      'different',
      'writing',
      `foreign key (${names}): the database has ${rulesThere}, the entity ${rulesHere}`,
      `alter table ${table} drop constraint ${ident(first.name)}, ${sql};`,
    )
  }
  for (const one of there) {
    if (known.has(one) || !isMapped(one.target?.schema ?? '', one.target?.table ?? '')) continue
    const message = `foreign key ${one.name} (${one.columns.join(', ')}) is not in the entity`
    differences.add(
      where,
      'extra',
      'writing',
      message,
      `-- alter table ${table} drop constraint ${ident(one.name)};`,
    )
  }
}

function pairs(own: readonly string[], other: readonly string[]): string {
  return own
    .map((name, index) => `${name}\0${other[index]}`)
    .sort()
    .join('\n')
}

function said(onDelete = 'no action', onUpdate = 'no action', deferrable = false, deferred = false): string {
  return `on delete ${onDelete}, on update ${onUpdate}${deferred ? ', initially deferred' : deferrable ? ', deferrable' : ''}`
}
