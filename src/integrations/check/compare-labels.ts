/** Compares the labels of an enum type. */
import type { Catalog, CatalogType } from '../introspect/catalog-model.js'
import { ident, literal, type Differences } from './difference.js'
import { recreateEnum, type Users } from './recreate-enum.js'

export function compareLabels(
  where: string,
  found: CatalogType,
  wanted: readonly string[],
  catalog: Catalog,
  users: Users,
  differences: Differences,
): void {
  const type = ident(found.schema, found.name)
  const extra = found.labels.filter((one) => !wanted.includes(one))
  const shared = found.labels.filter((one) => wanted.includes(one))
  const isReordered = shared.join('\0') !== wanted.filter((one) => found.labels.includes(one)).join('\0')
  const anew = extra.length > 0 || isReordered ? [recreateEnum(found, wanted, catalog, users)] : []
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
