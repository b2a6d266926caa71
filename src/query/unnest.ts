/** Passes any number of rows as one array parameter per column, so that the text does not depend on their number. */
import { ArrayParameter } from '../driver/array-parameter.js'
import { arrayLiteral } from '../codecs/array-codec.js'
import type { ColumnType } from '../schema/column.js'
import type { EncodedText, StatementValue, TableColumn } from '../schema/table-column.js'

// Names that no table is likely to have, since SQL of the user may stand beside them.
const ROWS = '"#rows"'

/** Rows, as something that stands after FROM. */
export interface RowSource {
  readonly sql: string
  /** Each column in SQL, of its own type. */
  readonly columns: readonly string[]
  /** The number of a row, from 1. */
  readonly ordinal: string
}

/**
 * Rows as one array for each column; the parameters are those of {@link rowValues}.
 * @param beside The table that stands in the same FROM, quoted.
 * @param after How many parameters of the statement come before them.
 */
export function rowSource(columns: readonly TableColumn[], beside?: string, after = 0): RowSource {
  const rows = beside === ROWS ? '"#rows#"' : ROWS
  const ordinal = `${rows}."#"`
  if (columns.length === 0)
    return { sql: `generate_series(1, $${after + 1}::integer) as ${rows} ("#")`, columns: [], ordinal }
  const parameters = columns.map(({ definition: { type } }, index) =>
    type.travelsAsText === true ? `$${after + index + 1}::text[]` : `$${after + index + 1}::${type.cast}[]`,
  )
  const names = columns.map((_, index) => `"#${index}"`)
  return {
    sql: `unnest(${parameters.join(', ')}) with ordinality as ${rows} (${names.join(', ')}, "#")`,
    columns: columns.map(({ definition: { type } }, index) =>
      type.travelsAsText === true ? `${rows}."#${index}"::${type.cast}` : `${rows}."#${index}"`,
    ),
    ordinal,
  }
}

/**
 * The parameters of a {@link rowSource}.
 * @param rows At least one.
 * @param places Where the value of each column stands in a row; default: in the order of `columns`.
 */
export function rowValues(
  columns: readonly TableColumn[],
  rows: readonly (readonly (EncodedText | undefined)[])[],
  places?: readonly number[],
): readonly StatementValue[] {
  if (columns.length === 0) return [String(rows.length)]
  return columns.map(({ definition: { type } }, index) => {
    const place = places?.[index] ?? index
    return arrayOf(
      type,
      rows.map((row) => row[place] ?? null),
    )
  })
}

/** Many values of a type as one parameter. */
function arrayOf({ element, codec }: ColumnType, texts: readonly EncodedText[]): StatementValue {
  const literal = (): string => arrayLiteral(texts, codec.plain)
  return element !== undefined && texts.every((text) => text === null || element.reads?.(text) !== false)
    ? new ArrayParameter(element, texts, literal)
    : literal()
}

/**
 * A condition that columns equal those of any row; the parameters are those of {@link rowValues}.
 * @param after How many parameters of the statement come before them.
 */
export function matchesAny(columns: readonly TableColumn[], qualifier: string, after = 0): string {
  const [only, ...others] = columns
  if (only !== undefined && others.length === 0 && only.definition.type.travelsAsText !== true) {
    return `${qualifier}.${only.sql} = any($${after + 1}::${only.definition.type.cast}[])`
  }
  const source = rowSource(columns, undefined, after)
  const own = columns.map(({ sql }) => `${qualifier}.${sql}`).join(', ')
  return `(${own}) in (select ${source.columns.join(', ')} from ${source.sql})`
}
