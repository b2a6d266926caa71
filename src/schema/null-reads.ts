/**
 * Values that a custom type reads as null although PostgreSQL stores a text. Such a value is a property with a getter, which
 * distinguishes it from an assigned null, which is NULL.
 */
import { plainProperty } from './properties.js'
import type { TableColumn } from './table-column.js'

/** The values of one entity that are read as null. */
export class NullReads {
  readonly #texts = new WeakMap<() => null, string>()

  /** Defines the property of a column so that it reads as null and stands for a stored text. */
  define(instance: object, { property }: TableColumn, text: string): void {
    const get = (): null => null
    this.#texts.set(get, text)
    Object.defineProperty(instance, property, {
      configurable: true,
      enumerable: true,
      get,
      set(this: object, value: unknown) {
        Object.defineProperty(this, property, plainProperty(value))
      },
    })
  }

  /** The stored text that a property stands for; undefined if the property was assigned, or was not read as null. */
  textOf(instance: object, { property, readsNull }: TableColumn): string | undefined {
    if (!readsNull) return undefined
    const get = Object.getOwnPropertyDescriptor(instance, property)?.get
    return get && this.#texts.get(get as () => null)
  }
}
