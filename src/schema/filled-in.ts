/** What a constructor filled in by itself: a default, NULL, nothing. `merge` must not take that for values that were given. */
import { Existing } from '../internal/existing.js'
import type { TableColumn } from './table-column.js'

/** Stands for a value that was given. */
export const GIVEN: unique symbol = Symbol('given') as never

class FilledIn extends Existing {
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

  /** @param values What was filled in, by index of the column; {@link GIVEN} for the rest. Never changed afterwards. */
  add(instance: object, values: readonly unknown[]): void {
    this.last = values
    new FilledIn(instance, values)
  }
}

/** Whether a column still has the value that the constructor filled in. */
export function isFilledIn(instance: object, { index, property }: TableColumn): boolean {
  const values = FilledIn.valuesOf(instance)
  if (values === undefined || values[index] === GIVEN) return false
  // Also NaN.
  return Object.is((instance as Record<string, unknown>)[property], values[index])
}

/** Whether a column had a value when the constructor of its class had run, before fields of classes that extend it. */
export function hadValue(instance: object, { index }: TableColumn): boolean {
  return FilledIn.valuesOf(instance)?.[index] !== undefined
}
