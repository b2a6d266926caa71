/**
 * Values that a custom type reads as null although PostgreSQL stores a text. Such a value is a property with a getter, so that an
 * assigned null, which is NULL, is told from it.
 */
import { plainProperty } from './properties.js'
import type { TableColumn } from './table-column.js'

/** Of one entity. */
export class NullReads {
  readonly #texts = new WeakMap<() => null, string>()

  /** Makes the property of a column read null, for a stored text. */
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

  /** The stored text that a property stands for by reading null; undefined if it was assigned, or has another value. */
  textOf(instance: object, { property, readsNull }: TableColumn): string | undefined {
    if (!readsNull) return undefined
    const get = Object.getOwnPropertyDescriptor(instance, property)?.get
    return get && this.#texts.get(get as () => null)
  }
}
