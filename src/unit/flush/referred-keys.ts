/** Keys that a flush changes or deletes while rows refer to them, which PostgreSQL refuses: what to do is added to its error. */
import { ForeignKeyViolationError } from '../../database-errors.js'
import { addHint } from '../../internal/error-hint.js'
import { ENTITY } from '../../schema/entity-types.js'
import { equalTupleOf, type Insertion } from './rows.js'
import type { Step } from './steps.js'

const MOVED =
  ' (rows refer to a key that this flush changes, and PostgreSQL checks their foreign key after each statement: make it ON UPDATE CASCADE ' +
  "and declare it with onUpdate: 'cascade', or make it DEFERRABLE INITIALLY DEFERRED and declare it with deferred: true)"
const SWITCHED =
  ' (this flush deletes a row and inserts another one with the same key, and rows refer to it: change the stored object instead, for example ' +
  'by merge(), or delete the rows that refer to it)'

/** Adds a hint to the error of a statement if a foreign key of other rows has caused it. */
export function explainReferences(
  error: unknown,
  { kind, states, touched }: Step,
  insertions: readonly Insertion[],
): void {
  const [state] = states
  if (!(error instanceof ForeignKeyViolationError) || touched === undefined || state === undefined) return
  const { metadata } = state.meta.entity[ENTITY]
  const { table, changed } = touched
  // PostgreSQL names the table that has the foreign key.
  const referring = metadata.tables
    .filter(({ name }) => name === error.table)
    .flatMap((other) => metadata.foreignKeys(other))
    .filter(({ target }) => target === table)
  if (changed !== undefined) {
    const moves = referring.some(({ targetColumns }) => targetColumns.some((one) => changed.includes(one)))
    if (moves) addHint(error, MOVED)
  } else if (kind === 'delete' && referring.length > 0) {
    const keys = new Set(
      insertions
        .filter((row) => row.table === table)
        .map((row) => equalTupleOf(table.primaryKey, (column) => row.state.text(column))),
    )
    const isTaken = states.some(({ key }) =>
      keys.has(equalTupleOf(table.primaryKey, (column) => key[table.primaryKey.indexOf(column)])),
    )
    if (isTaken) addHint(error, SWITCHED)
  }
}
