/** Compares declared types (enums, domains, composite types, ranges) with those of the database. */
import type { Catalog, CatalogType } from '../introspect/catalog-model.js'
import type { DeclaredType } from '../../schema/column.js'
import { ident, literal, type Differences } from './difference.js'

/** @param found The type of the database before anything was created. */
export function compareType(
  declared: DeclaredType,
  where: string,
  found: CatalogType | undefined,
  wanted: CatalogType | undefined,
  before: Catalog,
  after: Catalog,
  differences: Differences,
): void {
  const name = where
  if (found === undefined) {
    const word = declared.kind === 'domain' ? 'domain' : 'type'
    const sql = `create ${word} ${ident(...where.split('\0'))} ${declared.definition};`
    differences.add(
      label(name),
      'missing',
      'reading',
      `the ${declared.kind} type is not in the database`,
      sql,
    )
    return
  }
  if (wanted === undefined) return
  const type = ident(...where.split('\0'))
  if (found.kind !== declared.kind) {
    differences.add(
      label(name),
      'different',
      'reading',
      `the database has a ${found.kind} type, the entities a type that is ${declared.kind}`,
    )
    return
  }
  if (declared.kind === 'enum') {
    compareLabels(label(name), type, wanted.labels, found.labels, differences)
    return
  }
  const [here, there] = [describe(wanted, after), describe(found, before)]
  if (here !== there) {
    differences.add(
      label(name),
      'different',
      declared.kind === 'domain' ? 'writing' : 'reading',
      `the database has ${there}, the entities ${here}`,
      `-- alter ${declared.kind === 'domain' ? 'domain' : 'type'} ${type} ...: ${here}`,
    )
  }
}

function label(where: string): string {
  return where.replace('\0', '.')
}

function compareLabels(
  where: string,
  type: string,
  wanted: readonly string[],
  found: readonly string[],
  differences: Differences,
): void {
  for (const [index, one] of wanted.entries()) {
    if (found.includes(one)) continue
    const before = wanted.slice(0, index).findLast((other) => found.includes(other))
    const place = before === undefined ? ` before ${literal(found[0] ?? '')}` : ` after ${literal(before)}`
    const sql = `alter type ${type} add value ${literal(one)}${found.length === 0 ? '' : place};`
    differences.add(where, 'missing', 'writing', `label ${literal(one)} is not in the database`, sql)
  }
  for (const one of found) {
    if (!wanted.includes(one))
      differences.add(
        where,
        'extra',
        'reading',
        `label ${literal(one)} is not in the entities, whose types do not have it`,
      )
  }
  const shared = found.filter((one) => wanted.includes(one))
  if (shared.join('\0') !== wanted.filter((one) => found.includes(one)).join('\0'))
    differences.add(
      where,
      'different',
      'nothing',
      `the labels are in another order: ${found.map(literal).join(', ')}`,
    )
}

/** A type in words that are the same for the same type. */
function describe(type: CatalogType, catalog: Catalog): string {
  if (type.domain !== null) {
    const { typeText, notNull, default: filled, checks } = type.domain
    const conditions = checks.map(({ expression }) => `check (${expression})`).sort()
    return [
      typeText,
      ...(notNull ? ['not null'] : []),
      ...(filled === null ? [] : [`default ${filled}`]),
      ...conditions,
    ].join(' ')
  }
  if (type.range !== null) return `a range of ${catalog.types.get(type.range.subtype)?.name}`
  return `(${type.fields.map((field) => `${field.name} ${field.typeText}`).join(', ')})`
}
