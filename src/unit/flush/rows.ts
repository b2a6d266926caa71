/** The rows that a flush inserts, updates and deletes. They are encoded first, so nothing is sent if a value is wrong. */
import { InvalidValueError, MappingError } from '../../errors.js'
import { plainMessageOf, withPlainMessage } from '../../internal/plain-errors.js'
import { ENTITY } from '../../schema/entity-types.js'
import { hadValue } from '../../schema/filled-in.js'
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { RelationLink } from '../../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import type { InstanceState } from '../instance-state.js'

/** Rows of one join table, by their encoded values. */
export interface LinkChanges {
  readonly link: RelationLink
  readonly columns: readonly TableColumn[]
  readonly added: readonly (readonly EncodedText[])[]
  readonly removed: readonly (readonly EncodedText[])[]
}

/** A row that is new. */
export interface Insertion {
  readonly state: InstanceState
  readonly table: Table
  /** The columns that PostgreSQL fills in; rows that agree in them are one statement. */
  readonly shape: string
  /** The values by index of the column; undefined where it is left out. */
  readonly values: (EncodedText | undefined)[]
  /** Columns that name rows or refer to others, and that PostgreSQL may store in another form: they are read back. */
  readonly respelled: readonly TableColumn[]
  /** Foreign keys that are stored as NULL first, because the rows they lead to come later. */
  postponed: ReadonlySet<TableColumn>
}

/** A row that changes. */
export interface Change {
  readonly state: InstanceState
  readonly table: Table
  readonly columns: readonly TableColumn[]
  /** In the order of `columns`. */
  readonly values: readonly EncodedText[]
  /** As in {@link Insertion}. */
  readonly respelled: readonly TableColumn[]
  /** The key that its row has when it is written. */
  key: readonly EncodedText[]
  readonly version: EncodedText | undefined
  /** The values that `onUpdate` has computed. The object gets them when the change is sent. */
  readonly computed?: ReadonlyMap<TableColumn, unknown> | undefined
  /** Set if `state` is deleted, and a new object gets its row: see row-switch.ts. */
  readonly successor?: Successor | undefined
}

/** A new object that gets the row of a deleted one. */
export interface Successor {
  readonly state: InstanceState
  /** The columns that it leaves to PostgreSQL. */
  readonly readBack: readonly TableColumn[]
}

/** A row that is deleted. */
export interface Removal {
  readonly state: InstanceState
  readonly table: Table
  /** The key that its row has when it is deleted. */
  key: readonly EncodedText[]
  /** Foreign keys that have to become NULL first. */
  postponed: ReadonlySet<TableColumn>
  /** Values that the row must still hold to be deleted: it is deleted with its owner, and may have another owner by now. */
  readonly guard: ReadonlyMap<TableColumn, EncodedText> | undefined
}

const NONE: ReadonlySet<TableColumn> = new Set()

/**
 * @param before The row before it, which probably has the same shape.
 * @throws InvalidValueError
 */
export function insertionOf(state: InstanceState, before?: Insertion): Insertion {
  const { instance, meta } = state
  const { table } = meta
  const values = new Array<EncodedText | undefined>(table.columns.length)
  for (const column of table.columns) {
    const value = instance[column.property]
    const isLeftOut =
      column.definition.generated !== undefined || (value === undefined && column.serverFilled)
    values[column.index] = isLeftOut ? undefined : encodeOf(state, column, value)
  }
  const shape =
    before?.table === table && isAlike(values, before.values) ? before.shape : shapeOf(table, values)
  const respelled = respelledIn(state, ({ index }) => values[index])
  return { state, table, shape, values, respelled, postponed: NONE }
}

const NOT_RESPELLED: readonly TableColumn[] = []

/** Whether the key of a written row is known only when it is read back. */
export function hasRespelledKey({ respelled }: Insertion | Change): boolean {
  return respelled.some(({ definition }) => definition.primaryKey === true)
}

/** See {@link Insertion.respelled}. */
function respelledIn(
  { instance, meta }: InstanceState,
  valueOf: (column: TableColumn) => EncodedText | undefined,
): readonly TableColumn[] {
  let respelled = NOT_RESPELLED
  for (const column of meta.table.naming) {
    const text = valueOf(column)
    if (typeof text !== 'string') continue
    const value = instance[column.property]
    // A uuid in upper case is written in lower case.
    if (column.mayRespell(text) || (typeof value === 'string' && !column.mutable && value !== text))
      respelled = [...respelled, column]
  }
  return respelled
}

function isAlike(
  values: readonly (EncodedText | undefined)[],
  others: readonly (EncodedText | undefined)[],
): boolean {
  for (let index = 0; index < values.length; index++) {
    if ((values[index] === undefined) !== (others[index] === undefined)) return false
  }
  return true
}

function shapeOf({ key }: Table, values: readonly (EncodedText | undefined)[]): string {
  let shape = `${key} `
  for (let index = 0; index < values.length; index++) if (values[index] === undefined) shape += `${index},`
  return shape
}

/** The change of an object's row; undefined if nothing has changed. @throws InvalidValueError, MappingError */
export function changeOf(state: InstanceState): Change | undefined {
  const { changes } = state
  // Most objects have not changed, and cost nothing more.
  return changes.length === 0 ? undefined : changeTo(state, changes)
}

function changeTo(state: InstanceState, changes: readonly TableColumn[]): Change {
  const { instance, meta } = state
  const { table } = meta
  const columns = [...changes]
  const version = columns.find(({ definition }) => definition.version === true)
  if (version !== undefined)
    throw new MappingError(
      `${version} is incremented by the session and cannot be set; merge() compares it with the stored version`,
    )
  const generated = columns.find(({ definition }) => definition.generated !== undefined)
  if (generated !== undefined)
    throw new MappingError(`${generated} is computed by PostgreSQL and cannot be changed`)
  const values = columns.map((column) => encodeOf(state, column, instance[column.property]))
  let computed: Map<TableColumn, unknown> | undefined
  for (const column of table.columns) {
    const { onUpdate } = column.definition
    if (typeof onUpdate !== 'function' || changes.includes(column)) continue
    const value = onUpdate()
    columns.push(column)
    values.push(encodeOf(state, column, value))
    computed = (computed ?? new Map<TableColumn, unknown>()).set(column, value)
  }
  const respelled = respelledIn(state, (column) => values[columns.indexOf(column)])
  return { state, table, columns, values, respelled, key: state.key, version: versionOf(state), computed }
}

/** @throws InvalidValueError that names the object, too. */
function encodeOf(state: InstanceState, column: TableColumn, value: unknown): EncodedText {
  const { instance, meta, snapshot } = state
  const kept = value === null ? meta.nullReads.textOf(instance, column) : undefined
  if (kept !== undefined) return kept
  try {
    return column.encodeStored(value, snapshot?.[column.index])
  } catch (error) {
    if (!(error instanceof InvalidValueError)) throw error
    const { message, cause } = error
    const isHidden = value === undefined && snapshot === undefined && hadValue(instance, column)
    const hint = isHidden ? `; a field of the class needs 'declare ${column.property}'` : ''
    const named = `${hint} (${state})`
    const options = cause === undefined ? undefined : { cause }
    throw withPlainMessage(
      new InvalidValueError(`${message}${named}`, options),
      `${plainMessageOf(error)}${named}`,
    )
  }
}

export function removalOf(state: InstanceState, guard?: Removal['guard']): Removal {
  return { state, table: state.meta.table, key: state.key, postponed: NONE, guard }
}

/** The version that was loaded, if the table has one. */
export function versionOf(state: InstanceState): EncodedText | undefined {
  const { version } = state.meta.table
  return version && state.storedText(version)
}

/** The foreign keys of a table. */
export function foreignKeysOf({ meta }: InstanceState): readonly ForeignKey[] {
  return meta.entity[ENTITY].metadata.foreignKeys(meta.table)
}

/** Some values of a row as one text, to compare; undefined if one is NULL or not known. */
export function tupleOf(values: readonly (EncodedText | undefined)[]): string | undefined {
  return values.some((value) => value === null || value === undefined) ? undefined : JSON.stringify(values)
}

/** As {@link tupleOf}, the same for values that are known to be equal for PostgreSQL (`1` and `1.00`). */
export function equalTupleOf(
  columns: readonly TableColumn[],
  valueOf: (column: TableColumn) => EncodedText | undefined,
): string | undefined {
  return tupleOf(columns.map((column) => column.normal(valueOf(column))))
}

/** A stored value as text, in the form in which new values are encoded. */
export function storedValue(state: InstanceState, column: TableColumn): EncodedText {
  const stored = state.snapshot?.[column.index]
  return stored === undefined ? null : column.canonical(stored)
}

/** The encoded value. Undefined for a value that cannot be encoded: the flush throws the error. */
export function textIfValid(state: InstanceState, column: TableColumn): EncodedText | undefined {
  try {
    return state.text(column)
  } catch {
    return undefined
  }
}
