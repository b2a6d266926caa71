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

  /** Lets `console.log` show null instead of a getter. @param prototype That of the class. */
  show(prototype: object): void {
    if (INSPECT in prototype) return
    const texts = this.#texts
    // One for each object, so that circles of relations are found.
    const shown = new WeakMap<object, object>()
    Object.defineProperty(prototype, INSPECT, {
      configurable: true,
      writable: true,
      value(this: object): object {
        const plain = shown.get(this) ?? withoutInspection(this)
        shown.set(this, plain)
        for (const name of Object.keys(plain)) Reflect.deleteProperty(plain, name)
        for (const [name, own] of Object.entries(Object.getOwnPropertyDescriptors(this))) {
          const isNull = own.get !== undefined && texts.has(own.get as () => null)
          Object.defineProperty(plain, name, isNull ? plainProperty(null) : { ...own, configurable: true })
        }
        return plain
      },
    })
  }
}

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** An object of the same class, which is shown as it is. */
function withoutInspection(instance: object): object {
  const prototype = Object.create(Object.getPrototypeOf(instance) as object, {
    [INSPECT]: { value: undefined },
  }) as object
  return Object.create(prototype) as object
}
