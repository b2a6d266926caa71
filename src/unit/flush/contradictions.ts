/**
 * Refuses changes of one foreign key that contradict each other, before anything is sent, because one of them would be lost.
 *
 * Only changes since the last flush are compared. A loaded or flushed value never contradicts a change: a row may be moved to another
 * owner by either side, by its key, or from one collection to another.
 */
import { InvalidValueError } from '../../errors.js'
import type { TableColumn } from '../../schema/table-column.js'
import { isFilledIn } from '../../schema/filled-in.js'
import type { InstanceState } from '../instance-state.js'
import type { KeyAssignment } from './contract.js'

/** Two changes of the same foreign key. */
export type Contradiction = readonly [KeyAssignment, KeyAssignment]

/** Whether two changes of the same foreign key cannot both be kept. */
export function contradict(one: KeyAssignment, other: KeyAssignment): boolean {
  if (one.relation === other.relation && one.owner === other.owner) return false
  if (one.target !== undefined && other.target !== undefined) return one.target !== other.target
  const [leading, leaving] = one.target === undefined ? [other, one] : [one, other]
  if (leading.target === undefined) return false
  switch (leaving.source) {
    case 'relation':
      // If the relation was null before, setting it to null is no change.
      return leaving.wasLeading === true
    case 'owner':
      // An object that is removed from one collection and added to another has moved.
      return leaving.owner === leading.target
    default:
      return false
  }
}

export function contradictingAssignments([one, other]: Contradiction): InvalidValueError {
  return contradiction(one.holder, describe(one), describe(other))
}

/**
 * The value that the program has given a column since the last flush; undefined if it has given none. A default that the constructor
 * has filled in is none, and neither is NULL in a new object.
 */
export function givenValue(holder: InstanceState, column: TableColumn): unknown {
  const { instance, meta, snapshot } = holder
  if (snapshot !== undefined) return holder.changes.includes(column) ? instance[column.property] : undefined
  const value = meta.isMissing(instance, column) ? undefined : instance[column.property]
  return value === null || isFilledIn(instance, column) ? undefined : value
}

/** @throws InvalidValueError if the program has set a column to another value than a relation needs. */
export function checkGiven(assignment: KeyAssignment, column: TableColumn, needed: unknown): void {
  const { holder } = assignment
  const given = givenValue(holder, column)
  if (given === undefined || isAlike(holder, column, given, needed)) return
  throw contradiction(
    holder,
    `${holder.meta.name}.${column.property} was set${to(holder, column, given)}`,
    `${describe(assignment)}${needs(holder, column, needed)}`,
  )
}

/** The error if a relation was set to null although its columns were set. */
export function nullAgainstValue(assignment: KeyAssignment, column: TableColumn): InvalidValueError {
  const { holder } = assignment
  const given = `${holder.meta.name}.${column.property} was set${to(holder, column, givenValue(holder, column))}`
  return contradiction(holder, given, describe(assignment))
}

/** The error if a relation would change the primary key of a stored row, of which it sets only a part. */
export function partOfKeyChanged(
  assignment: KeyAssignment,
  column: TableColumn,
  needed: unknown,
): InvalidValueError {
  const { holder } = assignment
  const { name } = holder.meta
  return new InvalidValueError(
    `${describe(assignment, startOf(holder))}${needs(holder, column, needed)}, but ${name}.${column.property} belongs to the primary key of ${holder}. ` +
      `Use a ${name} with that key, or set ${name}.${column.property}, too, to give the row another key`,
  )
}

/** Whether two values of a column are equal, as far as is known; an unknown value counts as equal. */
export function isAlike(holder: InstanceState, column: TableColumn, one: unknown, other: unknown): boolean {
  if (one === other || one === undefined || other === undefined) return true
  const [text, another] = [column.normal(column.encode(one)), column.normal(column.encode(other))]
  return (
    text === another || holder.isSameKey(column, text, another) || holder.isSameKey(column, another, text)
  )
}

function contradiction(holder: InstanceState, one: string, other: string): InvalidValueError {
  return new InvalidValueError(
    `Changes of ${holder} contradict each other: ${one}, and ${other}. Make one of them only, or let both say the same`,
  )
}

/** The name of the holder as the beginning of a sentence: "A stored Song, id 1". */
function startOf(holder: InstanceState): string {
  const name = String(holder)
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`
}

/** @param subject The word that the text uses for the holder. */
function describe(
  { holder, target, source, owner, of, relation }: KeyAssignment,
  subject: string = 'it',
): string {
  const name = `${of.name}.${relation.name}`
  if (source === 'relation' || owner === undefined) {
    return `${name} was set to ${target === undefined ? 'null' : String(target)}`
  }
  if (relation.many)
    return `${subject} was ${target === undefined ? 'taken out of' : 'put into'} ${name} of ${owner}`
  return `${name} of ${owner} was set to ${target === undefined ? 'another value' : `this ${holder.meta.name}`}`
}

function to(holder: InstanceState, column: TableColumn, value: unknown): string {
  if (value === null) return ' to null'
  const shown = holder.shown(column, value)
  return shown === undefined ? '' : ` to ${shown}`
}

function needs(holder: InstanceState, column: TableColumn, value: unknown): string {
  const shown = holder.shown(column, value)
  return shown === undefined
    ? `, which needs another value of ${column}`
    : `, which needs ${column} to be ${shown}`
}
