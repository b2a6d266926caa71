/** Finds which rows of a flush refer to which others, by the values of their foreign keys. */
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import type { InstanceState } from '../instance-state.js'
import { foreignKeysOf, equalTupleOf } from './rows.js'

/** One foreign key of a row that leads to another row of the flush. */
export interface Reference<Row> {
  readonly key: ForeignKey
  readonly target: Row
}

interface AnyRow {
  readonly state: InstanceState
  readonly table: Table
}

/** A value of a row, encoded; undefined where it is not known. */
export type ValueOf<Row> = (row: Row, column: TableColumn) => EncodedText | undefined

export class References<Row extends AnyRow> {
  readonly #rows: readonly Row[]
  readonly #valueOf: ValueOf<Row>
  /** Rows by the columns that foreign keys lead to, and by the values of these. */
  readonly #targets = new Map<string, Map<string, Row>>()
  #referring: Map<Row, Row[]> | undefined

  constructor(rows: readonly Row[], valueOf: ValueOf<Row>) {
    this.#rows = rows
    this.#valueOf = valueOf
  }

  /** The rows that a row refers to, itself left out. @param valueOf Returns the values of its foreign keys. Default: the function for all rows. */
  of<Other extends AnyRow>(row: Other, valueOf: ValueOf<Other>): Reference<Row>[] {
    return foreignKeysOf(row.state).flatMap((key) => {
      const tuple = equalTupleOf(key.columns, (column) => valueOf(row, column))
      const target = tuple === undefined ? undefined : this.#targetsOf(key).get(tuple)
      return target === undefined || target.state === row.state ? [] : [{ key, target }]
    })
  }

  /** The rows that refer to a row. */
  to(row: Row): readonly Row[] {
    if (this.#referring === undefined) {
      this.#referring = new Map()
      for (const referring of this.#rows) {
        for (const { target } of this.of(referring, this.#valueOf)) {
          const known = this.#referring.get(target)
          if (known === undefined) this.#referring.set(target, [referring])
          else known.push(referring)
        }
      }
    }
    return this.#referring.get(row) ?? []
  }

  #targetsOf({ target, targetColumns }: ForeignKey): Map<string, Row> {
    const id = `${target.key} ${targetColumns.map(({ index }) => index).join()}`
    let targets = this.#targets.get(id)
    if (targets === undefined) {
      targets = new Map()
      for (const row of this.#rows) {
        if (row.table !== target) continue
        const tuple = equalTupleOf(targetColumns, (column) => this.#valueOf(row, column))
        if (tuple !== undefined) targets.set(tuple, row)
      }
      this.#targets.set(id, targets)
    }
    return targets
  }
}
