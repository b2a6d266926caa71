/** Compares the columns of an entity with those of the database. */
import type { CatalogColumn, CatalogTable } from '../introspect/catalog-model.js'
import { ident, type Differences } from './difference.js'

/** @param wanted The table as PostgreSQL understands the entity. */
export function compareColumns(
  where: string,
  wanted: CatalogTable,
  found: CatalogTable,
  isView: boolean,
  differences: Differences,
): void {
  const table = ident(found.schema, found.name)
  for (const column of wanted.columns) {
    const there = found.columns.find(({ name }) => name === column.name)
    if (there === undefined) {
      differences.add(
        where,
        'missing',
        'reading',
        `column ${column.name} (${column.typeText}) is not in the database`,
        isView ? null : `alter table ${table} add column ${columnSql(column)};`,
      )
    } else {
      compareColumn(where, table, column, there, isView, differences)
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
    differences.add(
      where,
      'extra',
      isNeeded && !isView ? 'writing' : 'nothing',
      `column ${column.name} (${column.typeText}) is not in the entity${isNeeded && !isView ? ', which cannot insert a row without it' : ''}`,
      isView ? null : `-- alter table ${table} drop column ${ident(column.name)};`,
    )
  }
}

function compareColumn(
  where: string,
  table: string,
  wanted: CatalogColumn,
  found: CatalogColumn,
  isView: boolean,
  differences: Differences,
): void {
  const name = ident(wanted.name)
  const differ = (breaks: 'reading' | 'writing' | 'nothing', what: string, sql: string | null): void =>
    differences.add(where, 'different', breaks, `column ${wanted.name}: ${what}`, sql)
  const says = (there: string | null, here: string | null): string =>
    `the database has ${there ?? 'none'}, the entity ${here ?? 'none'}`
  if (wanted.typeText !== found.typeText) {
    const [here, there] = [wanted.typeText, found.typeText].map((text) => text.replace(/\(.*\)/, ''))
    const isLength = here === there || (TEXTS.has(here ?? '') && TEXTS.has(there ?? ''))
    const sql = `alter table ${table} alter column ${name} type ${wanted.typeText} using ${name}::${wanted.typeText};`
    differ(isLength ? 'writing' : 'reading', says(found.typeText, wanted.typeText), isView ? null : sql)
  }
  if (isView) return
  if (wanted.notNull && !found.notNull)
    differ(
      'reading',
      'the database allows NULL, the entity does not',
      `alter table ${table} alter column ${name} set not null;`,
    )
  if (!wanted.notNull && found.notNull)
    differ(
      'writing',
      'the database refuses NULL, the entity does not',
      `alter table ${table} alter column ${name} drop not null;`,
    )
  compareFilled(wanted, found, table, name, differ)
}

/** Read alike, and written with other limits. */
const TEXTS = new Set(['text', 'character varying', 'character', 'public.citext'])

function compareFilled(
  wanted: CatalogColumn,
  found: CatalogColumn,
  table: string,
  name: string,
  differ: (breaks: 'reading' | 'writing' | 'nothing', what: string, sql: string | null) => void,
): void {
  const [here, there] = [filledBy(wanted), filledBy(found)]
  if (here === there) return
  // What PostgreSQL would have filled in has to be given now, or cannot be given any more.
  const breaks =
    here === null || (there !== null && isPlain(wanted) && isPlain(found)) ? 'nothing' : 'writing'
  const isGiven = found.generated !== null || found.identity === 'always'
  const sql =
    wanted.default !== null && isPlain(found)
      ? `alter table ${table} alter column ${name} set default ${wanted.default};`
      : here === null && isPlain(found)
        ? `alter table ${table} alter column ${name} drop default;`
        : wanted.identity !== null && there === null
          ? `alter table ${table} alter column ${name} add generated ${wanted.identity} as identity;`
          : `-- alter table ${table} ... column ${name}: ${here ?? 'no default'}`
  differ(
    isGiven ? 'writing' : breaks,
    `the database fills in ${there ?? 'nothing'}, the entity says ${here ?? 'nothing'}`,
    sql,
  )
}

function isPlain({ serial, identity, generated }: CatalogColumn): boolean {
  return !serial && identity === null && generated === null
}

/** What gives the column its value where an INSERT does not. */
function filledBy({ default: filled, serial, identity, generated }: CatalogColumn): string | null {
  if (serial) return 'a sequence of its own (serial)'
  if (identity !== null) return `generated ${identity} as identity`
  if (generated !== null)
    return `generated (${generated.expression}) ${generated.stored ? 'stored' : 'virtual'}`
  return filled
}

function columnSql(column: CatalogColumn): string {
  const { name, typeText, notNull, identity, generated, default: filled, serial } = column
  const serialType = { smallint: 'smallserial', integer: 'serial', bigint: 'bigserial' }[typeText] ?? typeText
  return [
    `${ident(name)} ${serial ? serialType : typeText}`,
    ...(identity === null ? [] : [`generated ${identity} as identity`]),
    ...(generated === null
      ? []
      : [`generated always as (${generated.expression}) ${generated.stored ? 'stored' : 'virtual'}`]),
    ...(filled === null ? [] : [`default ${filled}`]),
    ...(notNull ? ['not null'] : []),
  ].join(' ')
}
