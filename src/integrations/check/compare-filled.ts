/** Compares what gives a column its value where an INSERT does not: a default, a sequence, an expression. */
import type { CatalogColumn, CatalogTable } from '../introspect/catalog-model.js'
import type { ColumnContext, ColumnPair } from './column-pair.js'
import { ident, literal } from './difference.js'
import { live, lossy, mentions, type Proposal } from './proposal.js'
import { sequenceOptions } from './compare-sequences.js'

export function compareFilled(pair: ColumnPair, context: ColumnContext): void {
  const { wanted, found } = pair
  const [here, there] = [filledBy(wanted), filledBy(found)]
  if (here === there) return
  // What PostgreSQL would have filled in has to be given now, or cannot be given any more.
  const breaks =
    here === null || (there !== null && isPlain(wanted) && isPlain(found)) || isSameIdentity(wanted, found)
      ? 'nothing'
      : 'writing'
  const isGiven = found.generated !== null || (found.identity === 'always' && !isSameIdentity(wanted, found))
  pair.differ(
    isGiven ? 'writing' : breaks,
    `the database fills in ${there ?? 'nothing'}, the entity says ${here ?? 'nothing'}`,
    changeFilled(pair, context),
  )
}

function changeFilled(pair: ColumnPair, context: ColumnContext): Proposal[] {
  const { tableSql, name, wanted, found } = pair
  const alter = `alter table ${tableSql} alter column ${name}`
  if (wanted.generated !== null) {
    const isSameKind = found.generated?.stored === wanted.generated.stored
    const first = wanted.generated.stored ? 170_000 : 180_000
    // PostgreSQL does not check the rows of a virtual column again.
    const isRefused = !wanted.generated.stored && pair.table.constraints.some(({ kind }) => kind === 'check')
    if (isSameKind && context.version >= first && !isRefused) {
      const { expression } = wanted.generated
      const propose = [...context.anew].some((column) => mentions(expression, column)) ? lossy : live
      return [propose('generated', `${alter} set expression as (${expression})`)]
    }
    return anew(pair, context)
  }
  if (found.generated?.stored === false) return anew(pair, context)
  const end =
    found.generated !== null ? ['drop expression'] : found.identity !== null ? ['drop identity'] : []
  if (wanted.identity !== null && found.identity !== null) {
    const options = sequenceOptions(wanted.sequence ?? '', wanted.typeText)
    return [
      live(
        'column',
        ...(wanted.identity === found.identity ? [] : [`${alter} set generated ${wanted.identity}`]),
        ...((wanted.sequence ?? '') === (found.sequence ?? '')
          ? []
          : [`${alter} ${options.map((option) => `set ${option}`).join(' ')}`]),
      ),
    ]
  }
  const hasDefault = found.default !== null || found.serial
  if (wanted.identity !== null || wanted.serial) {
    const statements = [
      ...end.map((what) => `${alter} ${what}`),
      ...(hasDefault ? [`${alter} drop default`] : []),
      ...(found.serial && found.sequenceName !== null ? [`drop sequence ${found.sequenceName}`] : []),
      ...(wanted.identity === null
        ? serialStatements.create(pair, alter)
        : [
            `${alter} add generated ${wanted.identity} as identity${serialStatements.options(wanted.sequence)}`,
          ]),
      serialStatements.advance(pair),
    ]
    // The place of a sequence is lost with it.
    return [
      found.serial || found.identity !== null
        ? lossy('column', ...statements)
        : live('column', ...statements),
    ]
  }
  const last =
    wanted.default !== null ? [`set default ${wanted.default}`] : hasDefault ? ['drop default'] : []
  const statements = [...end, ...last].map((what) => `${alter} ${what}`)
  return [found.identity !== null ? lossy('column', ...statements) : live('column', ...statements)]
}

/** Drops the column and adds it, with the constraints and indexes that go with it. */
function anew({ table, tableSql, name, wanted }: ColumnPair, context: ColumnContext): Proposal[] {
  context.anew.add(wanted.name)
  const { typeText, notNull, generated, default: filled } = wanted
  const definition = [
    typeText,
    ...(generated === null ? [] : [generatedSql(generated)]),
    ...(filled === null ? [] : [`default ${filled}`]),
    ...(notNull ? ['not null'] : []),
  ].join(' ')
  return [
    ...context.aroundKeys(table, wanted.name).map((one) => ({ ...one, isLossy: true })),
    lossy(
      'generated',
      `alter table ${tableSql} drop column ${name}`,
      `alter table ${tableSql} add column ${name} ${definition}`,
      ...dependents(table, wanted.name),
    ),
  ]
}

/** The statements that create the constraints and indexes of a column. */
function dependents(table: CatalogTable, column: string): string[] {
  const tableSql = ident(table.schema, table.name)
  return [
    ...table.constraints
      .filter(({ columns, kind }) => columns.includes(column) && kind !== 'foreign key')
      .map(({ name, definition }) => `alter table ${tableSql} add constraint ${ident(name)} ${definition}`),
    ...table.indexes
      .filter(
        ({ parts, definition }) =>
          parts.some((part) => part.column === column) || mentions(definition, column),
      )
      .map(
        ({ name, unique, definition }) =>
          `create ${unique ? 'unique ' : ''}index ${ident(name)} on ${tableSql} ${definition}`,
      ),
  ]
}

export function generatedSql({ expression, stored }: NonNullable<CatalogColumn['generated']>): string {
  return `generated always as (${expression}) ${stored ? 'stored' : 'virtual'}`
}

function isPlain({ serial, identity, generated }: CatalogColumn): boolean {
  return !serial && identity === null && generated === null
}

/** The same identity, whose sequence has other options. */
function isSameIdentity(wanted: CatalogColumn, found: CatalogColumn): boolean {
  return wanted.identity !== null && wanted.identity === found.identity
}

/** What gives the column its value where an INSERT does not. */
function filledBy({ default: filled, serial, identity, sequence, generated }: CatalogColumn): string | null {
  if (serial) return 'a sequence of its own (serial)'
  if (identity !== null) return `generated ${identity} as identity${serialStatements.options(sequence)}`
  if (generated !== null)
    return `generated (${generated.expression}) ${generated.stored ? 'stored' : 'virtual'}`
  return filled
}

/** SQL for sequences that belong to a column. */
export const serialStatements = {
  options: (sequence: string | null): string =>
    sequence === null || sequence === '' ? '' : ` (${sequence})`,

  /** Takes the sequence that the column owns already, if there is one. */
  create: ({ table: { schema, name }, wanted, found }: ColumnPair, alter: string): string[] => {
    const made = ident(schema, `${name.slice(0, 25)}_${wanted.name.slice(0, 25)}_seq`)
    return [
      ...(found.sequenceName === null
        ? [`create sequence ${made} as ${wanted.typeText} owned by ${ident(schema, name, wanted.name)}`]
        : []),
      `${alter} set default nextval(${literal(found.sequenceName ?? made)})`,
    ]
  },

  /** Puts the sequence behind the values that the rows have. */
  advance: ({ tableSql, name, wanted }: ColumnPair): string => {
    const isDown = wanted.sequence?.includes('increment by -') === true
    const last = `${isDown ? 'min' : 'max'}(${name})`
    return `select setval(pg_get_serial_sequence(${literal(tableSql)}, ${literal(wanted.name)}), ${last}) from ${tableSql} having ${last} is not null`
  },
}
