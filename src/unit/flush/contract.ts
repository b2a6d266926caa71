/** What a flush needs from its session, and what it returns: statements are passed to the session, which has the connection. */
import type { StatementSubject } from '../../internal/channels.js'
import type { EntityMeta } from '../../schema/entity-meta.js'
import type { Relation } from '../../schema/relation-resolution.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import type { StatementResult, TypeParsers } from '../../driver/driver.js'
import type { EncodedValue } from '../../driver/values.js'
import { AbortedError } from '../../errors.js'
import { RAW_INTEGERS } from '../../codecs/raw-values.js'

/** A statement of the unit of work; its rows are arrays of PostgreSQL's values. */
export interface UnitStatement {
  readonly text: string
  readonly values: readonly EncodedValue[]
  readonly rowMode: 'array'
  readonly types: TypeParsers
  /** Called when it takes its place in the queue. */
  readonly queued?: () => void
}

/**
 * Queues a statement before it returns, unless the statement has to wait for its savepoint block.
 * @param subject For the channel of statements.
 */
export type Send = (statement: UnitStatement, subject?: StatementSubject) => Promise<StatementResult>

/** A statement in the form in which the session takes it. */
export function sendable({
  text,
  values,
}: {
  readonly text: string
  readonly values: readonly EncodedValue[]
}): UnitStatement {
  return { text, values, rowMode: 'array', types: RAW_INTEGERS }
}

/** The error of a flush whose transaction was rolled back while it loaded what it needs. */
export function rolledBackMeanwhile(): AbortedError {
  return new AbortedError(
    'The transaction or savepoint was rolled back while this flush was being prepared: nothing was stored',
  )
}

/** A foreign key that must lead to an object, or to none. */
export interface KeyAssignment {
  readonly holder: InstanceState
  readonly columns: readonly TableColumn[]
  readonly target: InstanceState | undefined
  readonly targetColumns: readonly TableColumn[]
  /** Where it comes from: the holder's own relation, the relation of its owner, the deletion of its owner, or the changed key of its owner. */
  readonly source: 'relation' | 'owner' | 'deletion' | 'moved key'
  /** The owner whose relation it is; undefined for a relation of the holder. */
  readonly owner?: InstanceState | undefined
  /** For a relation of the holder that is null now: whether its stored foreign key leads to a row. */
  readonly wasLeading?: boolean
  /** The entity whose relation it is, and the relation. */
  readonly of: EntityMeta
  readonly relation: Relation
}

/** A column that a flush has set because of a relation. */
export interface KeySetting {
  readonly state: InstanceState
  readonly column: TableColumn
  readonly before: unknown
  readonly value: unknown
}

/** Restores the columns that still have the value that was set. @param settings In the order in which they were made. */
export function unset(settings: readonly KeySetting[]): void {
  for (const { state, column, before, value } of [...settings].reverse()) {
    if (state.instance[column.property] === value) state.instance[column.property] = before
  }
}
