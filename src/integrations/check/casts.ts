/** How the values of a column become values of another type. */
import { randomBytes } from 'node:crypto'
import type { Connection } from '../../index.js'
import type { CatalogTable } from '../introspect/catalog-model.js'
import { ident } from './difference.js'
import { attempt } from './shadow.js'

/**
 * `assignment`: as a statement that writes the value does it, which refuses what does not fit; `explicit`: only with a cast; `text`: PostgreSQL
 * has no cast, so by way of the text.
 */
type Cast = 'assignment' | 'explicit' | 'text'

/** Casts by `from\0to`, as SQL calls the types. */
export type Casts = ReadonlyMap<string, Cast>

/** Asks PostgreSQL for each pair of types that differ. @param schema One that takes a table for the question. */
export async function readCasts(
  connection: Connection,
  pairs: readonly { readonly wanted: CatalogTable; readonly found: CatalogTable }[],
  schema: string,
): Promise<Casts> {
  const casts = new Map<string, Cast>()
  for (const { wanted, found } of pairs) {
    for (const { name, typeText: to } of wanted.columns) {
      const from = found.columns.find((column) => column.name === name)?.typeText
      if (from === undefined || from === to || casts.has(`${from}\0${to}`)) continue
      casts.set(`${from}\0${to}`, await castOf(connection, from, to, schema))
    }
  }
  return casts
}

async function castOf(connection: Connection, from: string, to: string, schema: string): Promise<Cast> {
  // Only planned: nothing is read or written.
  const table = ident(schema, `cast ${randomBytes(4).toString('hex')}`)
  const assignment = `create table ${table} (value ${to}); explain insert into ${table} select null::${from};`
  if ((await attempt(connection, assignment)) === undefined) return 'assignment'
  return (await attempt(connection, `explain select null::${from}::${to};`)) === undefined
    ? 'explicit'
    : 'text'
}
