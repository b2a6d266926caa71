/** The buffered rows of one statement. Its readers are synchronous, and can be called again. */
import type { FieldDescription } from '../driver/driver.js'
import { refuseArrayNames } from './result-mistakes.js'
import { InvalidStatementError, MultipleResultsError, NoResultError } from '../errors.js'

/** The parts of a {@link Result}. */
export interface ResultParts<Row> {
  readonly command: string
  readonly rowCount: number | null
  readonly fields: readonly FieldDescription[]
  readonly rows: readonly Row[]
  /** The scalar of a row that is no row of PostgreSQL (an entity). Default: its first column. */
  scalarOf?(row: Row): unknown
}

/**
 * The rows of one executed statement, with SQLAlchemy's readers. All rows are in memory, so every method is synchronous and may
 * be called again. (In SQLAlchemy a result is read once.)
 *
 * A *scalar* is the first column of a row. For an entity query it is the entity.
 *
 * @example
 * const result = await session.execute<{ id: number; title: string }>('select id, title from songs')
 * for (const song of result) console.log(song.id, song.title)
 */
export class Result<Row = Record<string, unknown>, Scalar = unknown> implements Iterable<Row> {
  /** First word of the command tag: `SELECT`, `INSERT`, ...; empty for an empty statement. */
  readonly command: string
  /** Number of rows returned or changed; 0 if the command has no count. */
  readonly rowCount: number
  readonly #fields: readonly FieldDescription[]
  readonly #rows: readonly Row[]
  readonly #readScalar: ResultParts<Row>['scalarOf']

  static {
    refuseArrayNames(this.prototype)
  }

  constructor(parts: ResultParts<Row>) {
    this.command = parts.command
    this.rowCount = parts.rowCount ?? 0
    this.#fields = parts.fields
    this.#rows = parts.rows
    this.#readScalar = parts.scalarOf
  }

  /** Names of the columns, in order. */
  get columns(): string[] {
    return this.#fields.map((field) => field.name)
  }

  /** Name, type and origin of each column, as PostgreSQL described them. */
  get fields(): readonly FieldDescription[] {
    return this.#fields
  }

  /** Every row. The array is the caller's own. */
  all(): Row[] {
    return [...this.#rows]
  }

  /** The first row, or null. Further rows are ignored. */
  first(): Row | null {
    return this.#rows[0] ?? null
  }

  /** The only row. @throws NoResultError, MultipleResultsError. Not safe to retry. */
  one(): Row {
    const row = this.oneOrNone()
    if (row === null)
      throw new NoResultError('No row was found when one was required. If there may be none: oneOrNone()')
    return row
  }

  /** The only row, or null if there is none. @throws MultipleResultsError. Not safe to retry. */
  oneOrNone(): Row | null {
    if (this.#rows.length > 1) {
      throw new MultipleResultsError(`${this.#rows.length} rows were found when at most one was allowed`)
    }
    return this.#rows[0] ?? null
  }

  /** First column of the first row, or null if there is no row. */
  scalar<Value = Scalar>(): Value | null {
    const row = this.first()
    return row === null ? null : this.#scalarOf<Value>(row)
  }

  /** First column of every row. */
  scalars<Value = Scalar>(): Value[] {
    return this.#rows.map((row) => this.#scalarOf<Value>(row))
  }

  /** First column of the only row. @throws NoResultError, MultipleResultsError. Not safe to retry. */
  scalarOne<Value = Scalar>(): Value {
    return this.#scalarOf<Value>(this.one())
  }

  /** First column of the only row, or null if there is none. @throws MultipleResultsError. Not safe to retry. */
  scalarOneOrNone<Value = Scalar>(): Value | null {
    const row = this.oneOrNone()
    return row === null ? null : this.#scalarOf<Value>(row)
  }

  /** Every row as an object keyed by column name, also when the rows are arrays. */
  mappings(): Record<string, unknown>[] {
    const { columns } = this
    return this.#rows.map((row) =>
      Array.isArray(row)
        ? Object.fromEntries(columns.map((name, index) => [name, row[index] as unknown]))
        : { ...(row as Record<string, unknown>) },
    )
  }

  /** The rows in arrays of `size`, the last one shorter. @throws RangeError unless `size` is a positive integer. */
  *partitions(size: number): Generator<Row[], void, undefined> {
    if (!Number.isInteger(size) || size < 1)
      throw new RangeError(`The size of a partition is a positive integer, not ${size}`)
    for (let start = 0; start < this.#rows.length; start += size) yield this.#rows.slice(start, start + size)
  }

  [Symbol.iterator](): Iterator<Row> {
    return this.#rows[Symbol.iterator]()
  }

  #scalarOf<Value>(row: Row): Value {
    if (this.#readScalar !== undefined) return this.#readScalar(row) as Value
    if (Array.isArray(row)) return row[0] as Value
    const [first, ...others] = this.#fields
    if (first === undefined) return undefined as Value
    if (others.some((field) => field.name === first.name)) {
      throw new InvalidStatementError(
        `Two columns are called "${first.name}", so an object row cannot hold the first one. Name one of them with AS.`,
      )
    }
    return (row as Record<string, unknown>)[first.name] as Value
  }
}
