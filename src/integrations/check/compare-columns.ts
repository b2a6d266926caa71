/** Compares the columns of an entity with those of the database. */
import type { CatalogColumn, CatalogTable } from '../introspect/catalog-model.js'
import type { Casts } from './casts.js'
import type { ColumnContext, ColumnPair } from './column-pair.js'
import { compareFilled, generatedSql, serialStatements } from './compare-filled.js'
import { ident, type Differences } from './difference.js'
import { live, lossy, type Proposal } from './proposal.js'

/** @param wanted The table as PostgreSQL understands the entity. */
export function compareColumns(
  wanted: CatalogTable,
  found: CatalogTable,
  context: ColumnContext,
  differences: Differences,
): void {
  const { where, isView } = context
  const tableSql = ident(found.schema, found.name)
  // First, as what uses these columns has to wait for them.
  for (const column of wanted.columns)
    if (usersOf(column, found, context) !== undefined) context.anew.add(column.name)
  for (const column of wanted.columns) {
    const there = found.columns.find(({ name }) => name === column.name)
    if (there === undefined) {
      differences.add(
        where,
        'missing',
        'reading',
        `column ${column.name} (${column.typeText}) is not in the database`,
        isView ? [] : [addColumn(tableSql, column)],
      )
    } else {
      const pair: ColumnPair = {
        table: found,
        tableSql,
        name: ident(column.name),
        wanted: column,
        found: there,
        differ: (breaks, what, proposals) =>
          differences.add(
            where,
            'different',
            breaks,
            `column ${column.name}: ${what}`,
            isView ? [] : proposals,
          ),
      }
      compareColumn(pair, context)
    }
  }
  for (const column of found.columns) {
    if (wanted.columns.some(({ name }) => name === column.name)) continue
    const isNeeded =
      column.notNull &&
      column.default === null &&
      column.identity === null &&
      !column.serial &&
      column.generated === null
    const step = column.generated === null ? 'column' : 'drop generated'
    differences.add(
      where,
      'extra',
      isNeeded && !isView ? 'writing' : 'nothing',
      `column ${column.name} (${column.typeText}) is not in the entity${isNeeded && !isView ? ', which cannot insert a row without it' : ''}`,
      isView
        ? []
        : [
            noted(
              lossy(step, `alter table ${tableSql} drop column ${ident(column.name)}`),
              namedUsers(found, column.name, context),
            ),
          ],
    )
  }
}

/** What PostgreSQL would name when it refuses to change the type of a column. Undefined: it would not, or the type is the same. */
function usersOf(wanted: CatalogColumn, table: CatalogTable, context: ColumnContext): string | undefined {
  const found = table.columns.find(({ name }) => name === wanted.name)
  if (context.isView || found === undefined || found.typeText === wanted.typeText) return undefined
  return namedUsers(table, wanted.name, context)
}

function namedUsers(table: CatalogTable, column: string, { typeUsers }: ColumnContext): string | undefined {
  return typeUsers.get(`${table.schema}\0${table.name}\0${column}`)?.join(', ')
}

/** @param users What PostgreSQL would name when it refuses the statement. */
function noted(one: Proposal, users: string | undefined): Proposal {
  if (users === undefined) return one
  const note = `PostgreSQL refuses this while it is used: drop that before, and create it after: ${users}`
  return { ...one, isLossy: true, note }
}

function compareColumn(given: ColumnPair, context: ColumnContext): void {
  const users = usersOf(given.wanted, given.table, context)
  // PostgreSQL refuses the change, and what else the column needs may fit only its new type.
  const pair: ColumnPair =
    users === undefined
      ? given
      : {
          ...given,
          differ: (breaks, what, proposals) =>
            given.differ(
              breaks,
              what,
              proposals.map((one) => noted(one, users)),
            ),
        }
  const { tableSql, name, wanted, found, differ } = pair
  const alter = `alter table ${tableSql} alter column ${name}`
  if (wanted.typeText !== found.typeText) {
    const [here, there] = [wanted.typeText, found.typeText].map((text) => text.replace(/\(.*\)/, ''))
    const isLength = here === there || (TEXTS.has(here ?? '') && TEXTS.has(there ?? ''))
    differ(
      isLength ? 'writing' : 'reading',
      `the database has ${found.typeText}, the entity ${wanted.typeText}`,
      [...(isLength ? [] : context.aroundKeys(pair.table, wanted.name)), ...changeType(pair, context.casts)],
    )
  }
  if (context.isView) return
  if (wanted.notNull && !found.notNull)
    differ('reading', 'the database allows NULL, the entity does not', [
      live('column', `${alter} set not null`),
    ])
  compareFilled(pair, context)
  if (!wanted.notNull && found.notNull) {
    // Only a column without an identity may have NULL, and to drop that is for a person to decide.
    const propose = found.identity === null ? live : lossy
    differ('writing', 'the database refuses NULL, the entity does not', [
      propose('column', `${alter} drop not null`),
    ])
  }
}

/** Read alike, and written with other limits. */
const TEXTS = new Set(['text', 'character varying', 'character', 'public.citext'])

function changeType({ tableSql, name, wanted, found }: ColumnPair, casts: Casts): Proposal[] {
  // A column that is dropped and added has its type from then on.
  if ((wanted.generated === null) !== (found.generated === null) && wanted.generated !== null) return []
  const cast = casts.get(`${found.typeText}\0${wanted.typeText}`)
  const value = cast === 'text' ? `${name}::text::${wanted.typeText}` : `${name}::${wanted.typeText}`
  // PostgreSQL computes the values of a generated column anew.
  const using = cast === 'assignment' || found.generated !== null ? '' : ` using ${value}`
  const part = `alter column ${name}`
  const actions = [
    // It is of the old type, and PostgreSQL casts only what it can cast by assignment.
    ...(found.default === null ? [] : [`${part} drop default`]),
    `${part} type ${wanted.typeText}${using}`,
    ...(wanted.default === null || found.default === null ? [] : [`${part} set default ${wanted.default}`]),
  ]
  return [live('column', `alter table ${tableSql} ${actions.join(', ')}`)]
}

function addColumn(tableSql: string, column: CatalogColumn): Proposal {
  const { name, typeText, notNull, identity, sequence, generated, default: filled, serial } = column
  const serialType = { smallint: 'smallserial', integer: 'serial', bigint: 'bigserial' }[typeText] ?? typeText
  const definition = [
    `${ident(name)} ${serial ? serialType : typeText}`,
    ...(identity === null ? [] : [`generated ${identity} as identity${serialStatements.options(sequence)}`]),
    ...(generated === null ? [] : [generatedSql(generated)]),
    ...(filled === null ? [] : [`default ${filled}`]),
    ...(notNull ? ['not null'] : []),
  ].join(' ')
  const step = generated === null ? 'column' : 'generated'
  return {
    ...live(step, `alter table ${tableSql} add column ${definition}`),
    creates: { table: tableSql, column: name },
  }
}
