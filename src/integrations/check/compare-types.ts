/** Compares declared types (enums, domains, composite types, ranges) with those of the database. */
import type { Catalog, CatalogDomain, CatalogType } from '../introspect/catalog-model.js'
import type { DeclaredType } from '../../schema/column.js'
import { ident, type Differences } from './difference.js'
import { compareLabels } from './compare-labels.js'
import { byHand, live, lossy, type Proposal } from './proposal.js'
import type { Users } from './recreate-enum.js'

/** @param found The type of the database before anything was created. */
export function compareType(
  declared: DeclaredType,
  schema: string,
  found: CatalogType | undefined,
  wanted: CatalogType | undefined,
  before: Catalog,
  after: Catalog,
  users: Users,
  differences: Differences,
): void {
  const where = `${schema}.${declared.name}`
  const type = ident(schema, declared.name)
  if (found === undefined) {
    const word = declared.kind === 'domain' ? 'domain' : 'type'
    differences.add(where, 'missing', 'reading', `the ${declared.kind} type is not in the database`, [
      live('type', `create ${word} ${type} ${declared.definition}`.trimEnd()),
    ])
    return
  }
  if (wanted === undefined) return
  if (found.kind !== declared.kind) {
    differences.add(
      where,
      'different',
      'reading',
      `the database has a ${found.kind} type, the entities a type that is ${declared.kind}`,
      [anew(type, declared)],
    )
    return
  }
  if (declared.kind === 'enum') {
    compareLabels(where, found, wanted.labels, before, users, differences)
    return
  }
  const [here, there] = [describe(wanted, after), describe(found, before)]
  if (here !== there) {
    differences.add(
      where,
      'different',
      declared.kind === 'domain' ? 'writing' : 'reading',
      `the database has ${there}, the entities ${here}`,
      found.domain !== null && wanted.domain !== null
        ? changeDomain(type, declared, found.domain, wanted.domain)
        : declared.kind === 'composite'
          ? changeFields(type, declared, found, wanted)
          : [anew(type, declared)],
    )
  }
}

/** What PostgreSQL has no statement for. */
function anew(type: string, { definition }: DeclaredType): Proposal {
  return byHand('type', `no statement changes ${type} into this; create it anew: ${definition}`)
}

function changeDomain(
  type: string,
  declared: DeclaredType,
  found: CatalogDomain,
  wanted: CatalogDomain,
): Proposal[] {
  if (found.typeText !== wanted.typeText) return [anew(type, declared)]
  const alter = `alter domain ${type}`
  const added = wanted.checks.filter((one) =>
    found.checks.every(({ expression }) => expression !== one.expression),
  )
  const dropped = found.checks.filter((one) =>
    wanted.checks.every(({ expression }) => expression !== one.expression),
  )
  const isReplaced = (name: string): boolean => added.some((one) => one.name === name)
  const filled = wanted.default === null ? 'drop default' : `set default ${wanted.default}`
  return [
    ...(wanted.default === found.default ? [] : [live('type', `${alter} ${filled}`)]),
    ...(wanted.notNull === found.notNull
      ? []
      : [live('type', `${alter} ${wanted.notNull ? 'set' : 'drop'} not null`)]),
    ...dropped.map(({ name }) => {
      const statement = `${alter} drop constraint ${ident(name)}`
      return isReplaced(name) ? live('type', statement) : lossy('type', statement)
    }),
    ...added.map(({ name, expression }) => {
      const isTaken =
        found.checks.some((one) => one.name === name) && dropped.every((one) => one.name !== name)
      const constraint = isTaken ? '' : `constraint ${ident(name)} `
      // Validated by a statement of its own, which does not keep others from writing.
      return isTaken
        ? live('type', `${alter} add check (${expression})`)
        : live(
            'type',
            `${alter} add ${constraint}check (${expression}) not valid`,
            `${alter} validate constraint ${ident(name)}`,
          )
    }),
  ]
}

function changeFields(
  type: string,
  declared: DeclaredType,
  found: CatalogType,
  wanted: CatalogType,
): Proposal[] {
  const added = wanted.fields.filter(({ name }) => found.fields.every((other) => other.name !== name))
  const dropped = found.fields.filter(({ name }) => wanted.fields.every((other) => other.name !== name))
  const after = [...found.fields.filter((field) => !dropped.includes(field)), ...added]
  // A new field is the last one.
  if (after.some(({ name }, index) => name !== wanted.fields[index]?.name)) return [anew(type, declared)]
  return [
    ...dropped.map(({ name }) => lossy('type', `alter type ${type} drop attribute ${ident(name)}`)),
    ...added.map(({ name, typeText }) =>
      live('type', `alter type ${type} add attribute ${ident(name)} ${typeText}`),
    ),
    ...wanted.fields.flatMap(({ name, typeText }): Proposal[] =>
      found.fields.some((other) => other.name === name && other.typeText !== typeText)
        ? [
            {
              ...lossy('type', `alter type ${type} alter attribute ${ident(name)} type ${typeText}`),
              note: 'PostgreSQL refuses this while a column has the type',
            },
          ]
        : [],
    ),
  ]
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
