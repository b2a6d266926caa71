/** The tables of `scale.ts`. */
import { query } from '../../test/helpers/databases.js'
import { SERIES, wideColumns, WIDE_ROWS, wideTable } from './scale-work.js'

const ROWS = Math.max(...SERIES.load.sizes)

export async function createScaleTables(url: string): Promise<void> {
  const columns = '(id serial PRIMARY KEY, name text NOT NULL, amount integer NOT NULL, note text NOT NULL)'
  await query(url, `CREATE TABLE held ${columns} WITH (fillfactor = 50)`)
  await query(url, `CREATE TABLE added ${columns}`)
  await query(
    url,
    `INSERT INTO held (name, amount, note)
       SELECT 'name ' || number, number, 'a note' FROM generate_series(1, ${String(ROWS)}) AS number`,
  )
  await query(url, 'CREATE TABLE large (id serial PRIMARY KEY, characters text, bytes bytea)')
  for (const count of SERIES.columnsLoad.sizes) {
    const wide = wideColumns(count)
    const definitions = wide.map(({ name, isText }) => `${name} ${isText ? 'text' : 'integer'}`)
    await query(url, `CREATE TABLE ${wideTable(count)} (id serial PRIMARY KEY, ${definitions.join(', ')})`)
    const values = wide.map(({ isText }) => (isText ? `'text ' || number` : 'number'))
    await query(
      url,
      `INSERT INTO ${wideTable(count)} (${wide.map(({ name }) => name).join(', ')})
         SELECT ${values.join(', ')} FROM generate_series(1, ${String(WIDE_ROWS)}) AS number`,
    )
  }
  await query(url, 'VACUUM ANALYZE')
}

/** Removes what transactions that were rolled back left in the files. */
export async function tidyScaleTables(url: string): Promise<void> {
  await query(url, 'TRUNCATE added, large RESTART IDENTITY')
  await query(url, `VACUUM held, ${SERIES.columnsFlush.sizes.map(wideTable).join(', ')}`)
}
