/** The foreign keys of one object, as its changed relations set them. key-assignments.ts has the rules. */
import { InvalidValueError, MappingError } from '../../errors.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import type { KeyAssignment } from './contract.js'
import { checkGiven, givenValue, isAlike, nullAgainstValue, partOfKeyChanged } from './contradictions.js'
import { foreignKeysOf } from './rows.js'

/** Columns that lead to another row, if none of them is NULL. */
export interface Reference {
  /** For messages. */
  readonly name: string
  readonly columns: readonly TableColumn[]
}

export type ValueOf = (state: InstanceState, column: TableColumn) => unknown

/** The foreign keys of one object. */
export class HolderKeys {
  readonly #holder: InstanceState
  readonly #assignments: readonly KeyAssignment[]
  readonly #references: readonly Reference[]
  readonly #values = new Map<TableColumn, unknown>()
  /** Which relation has given a column its value. */
  readonly #givenBy = new Map<TableColumn, KeyAssignment>()

  constructor(
    holder: InstanceState,
    assignments: readonly KeyAssignment[],
    references: readonly Reference[],
  ) {
    this.#holder = holder
    this.#assignments = assignments
    this.#references = references
  }

  values(valueOf: ValueOf): ReadonlyMap<TableColumn, unknown> {
    for (const assignment of this.#assignments) this.#takeKeyOfTarget(assignment, valueOf)
    if (this.#references.length > 1) this.#checkOthers()
    for (const assignment of this.#assignments) this.#checkColumns(assignment)
    for (const assignment of this.#assignments) {
      if (assignment.target === undefined) this.#setToNull(assignment)
    }
    return this.#values
  }

  /** Sets the columns of an assignment to the key of its target. */
  #takeKeyOfTarget(assignment: KeyAssignment, valueOf: ValueOf): void {
    const { columns, target, targetColumns } = assignment
    if (target === undefined) return
    for (const [index, column] of columns.entries()) {
      const from = targetColumns[index] as TableColumn
      const value = valueOf(target, from)
      checkExact(this.#holder, column, target, from, value)
      const other = this.#givenBy.get(column)
      if (other !== undefined && this.#differ(column, value, this.#values.get(column))) {
        throw this.#contradiction(column, nameOf(other), this.#values.get(column), nameOf(assignment), value)
      }
      this.#values.set(column, value)
      this.#givenBy.set(column, assignment)
    }
  }

  /** The values that a relation needs must not contradict values that the program has assigned to its columns. */
  #checkColumns(assignment: KeyAssignment): void {
    // The key of the owner has changed, not the relation: there is nothing to compare.
    if (assignment.target === undefined || assignment.source === 'moved key') return
    for (const column of assignment.columns) {
      const value = this.#values.get(column)
      if (!this.#differ(column, value, this.#holder.value(column))) continue
      if (!this.#isPlaceholder(column)) checkGiven(assignment, column, value)
      if (this.#splitsKey(assignment, column)) throw partOfKeyChanged(assignment, column, value)
    }
  }

  /**
   * Whether a new object has 0 or '' in a column of one foreign key only: the constructor asks for a value, although a relation is to
   * set it. (A column that is shared, such as the tenant, has a meaning of its own.)
   */
  #isPlaceholder(column: TableColumn): boolean {
    const { instance, snapshot } = this.#holder
    if (snapshot !== undefined || ![0, 0n, ''].includes(instance[column.property] as number)) return false
    const [{ columns } = { columns: [] }, other] = this.#references.filter((one) =>
      one.columns.includes(column),
    )
    return other === undefined && (!isKey(column) || columns.every(isKey))
  }

  /**
   * Whether a relation would change the key of a stored row by a column that it shares with the key, as the tenant, although the key
   * does not hold all of the relation: such a row is another row, and stays where it is.
   */
  #splitsKey({ columns }: KeyAssignment, column: TableColumn): boolean {
    const holder = this.#holder
    if (holder.snapshot === undefined || !isKey(column) || columns.every(isKey)) return false
    // Another changed relation may be held by the key as a whole.
    return !this.#assignments.some(
      (other) => other.target !== undefined && other.columns.includes(column) && other.columns.every(isKey),
    )
  }

  #differ(column: TableColumn, one: unknown, other: unknown): boolean {
    return !isAlike(this.#holder, column, one, other)
  }

  /** An unchanged relation must not lead to another row because a changed relation sets a column that both share. */
  #checkOthers(): void {
    for (const { name, columns } of this.#references) {
      // A reference that gets all of its columns is assigned as a whole.
      if (columns.every((column) => this.#givenBy.has(column)) || this.#isLetGo(columns)) continue
      const moved = columns.find(
        (column) =>
          this.#givenBy.has(column) &&
          this.#differ(column, this.#values.get(column), this.#holder.value(column)),
      )
      if (moved === undefined || columns.some((column) => isNothing(this.#holder.value(column)))) continue
      const by = nameOf(this.#givenBy.get(moved) as KeyAssignment)
      throw this.#contradiction(moved, by, this.#values.get(moved), name, this.#holder.value(moved))
    }
  }

  #setToNull(assignment: KeyAssignment): void {
    const { columns, source } = assignment
    const leading = this.#assignments.find(
      (other) => other.target !== undefined && sameColumns(other.columns, columns),
    )
    if (leading !== undefined) {
      if (source !== 'relation' || assignment.wasLeading !== true) return
      throw this.#stillNeeded(assignment, nameOf(leading))
    }
    const nullable = columns.filter(({ definition }) => definition.nullable)
    const [required] = columns
    if (nullable.length === 0 && required !== undefined) {
      if (source === 'deletion') return
      throw new MappingError(
        `A ${this.#holder.meta.name} would have no owner, but ${required} is not nullable: give it another owner, or ` +
          'delete it with session.delete()',
      )
    }
    const others = this.#references.filter((reference) => !sameColumns(reference.columns, columns))
    const freeOf = (references: readonly Reference[]): TableColumn[] =>
      nullable.filter(
        (column) =>
          !this.#givenBy.has(column) && !references.some((reference) => reference.columns.includes(column)),
      )
    // A shared column is kept if another column can be NULL, even if no other relation uses it now: it may be the tenant.
    let free = freeOf(others)
    if (free.length === 0) free = freeOf(others.filter((reference) => this.#isUsed(reference)))
    if (source !== 'deletion') {
      const isSet = (column: TableColumn): boolean =>
        !isNothing(givenValue(this.#holder, column)) && !this.#isPlaceholder(column)
      const [set] = free.filter(isSet)
      if (set !== undefined) free = free.filter((column) => !isSet(column))
      if (set !== undefined && free.length === 0) throw nullAgainstValue(assignment, set)
    }
    for (const column of free) this.#values.set(column, null)
    // A relation of the holder that was null before need not set a column to NULL.
    const isDecided = source === 'owner' || (source === 'relation' && assignment.wasLeading === true)
    if (free.length > 0 || !isDecided) return
    if (columns.some((column) => isNothing(this.#valueOf(column)))) return
    const needing = others.find((reference) => reference.columns.some((column) => nullable.includes(column)))
    throw this.#stillNeeded(assignment, needing?.name ?? 'another relation')
  }

  #valueOf(column: TableColumn): unknown {
    return this.#values.has(column) ? this.#values.get(column) : this.#holder.value(column)
  }

  #isUsed({ columns }: Reference): boolean {
    return !this.#isLetGo(columns) && !columns.some((column) => isNothing(this.#valueOf(column)))
  }

  #isLetGo(columns: readonly TableColumn[]): boolean {
    return this.#assignments.some(
      (assignment) => assignment.target === undefined && sameColumns(assignment.columns, columns),
    )
  }

  #contradiction(
    column: TableColumn,
    some: string,
    someValue: unknown,
    other: string,
    otherValue: unknown,
  ): InvalidValueError {
    const values = [someValue, otherValue].map((value) => this.#holder.shown(column, value))
    const shown = values.includes(undefined) ? '' : `: ${values.join(' and ')}`
    return new InvalidValueError(
      `${some} and ${other} need different values of ${column}${shown} (${this.#holder}). Assign objects that agree, or set ` +
        'one of the relations to null',
    )
  }

  #stillNeeded(assignment: KeyAssignment, other: string): InvalidValueError {
    return new InvalidValueError(
      `${nameOf(assignment)} cannot be set to null while ${other} needs the same columns (${this.#holder}): set both to null`,
    )
  }
}

/** Whether a foreign key gets the exact key of its target: a Date in an object lacks the microseconds that PostgreSQL stores. */
function checkExact(
  holder: InstanceState,
  column: TableColumn,
  target: InstanceState,
  from: TableColumn,
  value: unknown,
): void {
  if (!(value instanceof Date) || holder.text(column, value) === target.text(from, value)) return
  throw new InvalidValueError(
    `${column} cannot follow ${from}: a Date does not hold the microseconds by which their values differ`,
  )
}

/** The references from the rows of a table to other rows: declared foreign keys, and relations. */
export function referencesOf(holder: InstanceState): readonly Reference[] {
  const { meta } = holder
  const references: Reference[] = []
  for (const { name, kind, ownColumns } of meta.relations.values()) {
    if (kind === 'belongsTo') references.push({ name: `${meta.name}.${name}`, columns: ownColumns })
  }
  for (const { columns, target } of foreignKeysOf(holder)) {
    if (references.some((reference) => sameColumns(reference.columns, columns))) continue
    const names = columns.map(({ property }) => property).join(', ')
    references.push({ name: `the foreign key of ${meta.name} on ${target.key} (${names})`, columns })
  }
  return references
}

function nameOf({ of, relation }: KeyAssignment): string {
  return `${of.name}.${relation.name}`
}

function isKey({ definition }: TableColumn): boolean {
  return definition.primaryKey === true
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined
}

function sameColumns(some: readonly TableColumn[], others: readonly TableColumn[]): boolean {
  return some.length === others.length && some.every((column) => others.includes(column))
}
