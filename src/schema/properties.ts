/** The descriptors of an instance's properties. */
import { ExpiredAttributeError } from '../errors.js'

/** A property with a value, which can be assigned. */
export function plainProperty(value: unknown): PropertyDescriptor {
  return { value, writable: true, enumerable: true, configurable: true }
}

/** A property that throws when it is read, until it is assigned. */
export function expiredProperty(entity: string, property: string): PropertyDescriptor {
  return {
    configurable: true,
    enumerable: true,
    get(): never {
      throw new ExpiredAttributeError(
        `${entity}.${property} has expired: the transaction or savepoint (beginNested) that it was loaded or changed in was ` +
          'rolled back, the transaction was committed with expireOnCommit, or expire() was called. Load it again with `await session.refresh(instance)`; after the end of its session, in ' +
          'another one.',
      )
    },
    set(this: object, value: unknown) {
      Object.defineProperty(this, property, plainProperty(value))
    },
  }
}
