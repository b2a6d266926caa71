/**
 * Remembers which values a constructor has filled in (a default, NULL, nothing), because `merge` must not treat them as values of the
 * caller.
 */
import { ReturnOverride } from '../internal/return-override.js'
import type { TableColumn } from './table-column.js'

/** Marks a value of the caller. */
export const GIVEN: unique symbol = Symbol('given') as never

/** A default that can be changed in place, with its original value. */
class Changeable {
  readonly value: object
  readonly #snapshot: unknown

  constructor(value: object, column: TableColumn) {
    this.value = value
    try {
      this.#snapshot = column.snapshot(value)
    } catch {
      // It cannot be encoded, and counts as a value of the caller: the flush throws the error.
    }
  }

  isUnchanged(column: TableColumn): boolean {
    return !column.hasChanged(this.value, this.#snapshot)
  }
}

/** The note of a default: its value, and what finds changes inside it. */
export function noteOf(value: unknown, column: TableColumn): unknown {
  return column.mutable && typeof value === 'object' && value !== null ? new Changeable(value, column) : value
}

class FilledIn extends ReturnOverride {
  readonly #values: readonly unknown[]

  /** @param values By index of the column. */
  constructor(instance: object, values: readonly unknown[]) {
    super(instance)
    this.#values = values
  }

  static valuesOf(instance: object): readonly unknown[] | undefined {
    return #values in instance ? instance.#values : undefined
  }
}

/** Notes what the constructor of a class fills in. */
export class FilledInNotes {
  /** What was noted last. */
  last: readonly unknown[] = []

  /**
   * @param values What was filled in, or its {@link noteOf}, by index of the column; {@link GIVEN} for the rest. Never
   *   changed afterwards.
   */
  add(instance: object, values: readonly unknown[]): void {
    this.last = values
    new FilledIn(instance, values)
  }
}

/** Notes values that an object has although the program has not given them. @param values As for {@link FilledInNotes.add}. */
export function noteFilledIn(instance: object, values: readonly unknown[]): void {
  new FilledIn(instance, values)
}

/** Whether a column still has the value that the constructor filled in, and as it was. */
export function isFilledIn(instance: object, column: TableColumn): boolean {
  const values = FilledIn.valuesOf(instance)
  if (values === undefined) return false
  const value = (instance as Record<string, unknown>)[column.property]
  const noted = values[column.index]
  if (noted instanceof Changeable) return value === noted.value && noted.isUnchanged(column)
  // Also NaN.
  return Object.is(value, noted)
}

/** Whether a column had a value when the constructor of its class had run, before fields of classes that extend it. */
export function hadValue(instance: object, { index }: TableColumn): boolean {
  return FilledIn.valuesOf(instance)?.[index] !== undefined
}
