/**
 * A counter of the schema changes that this process knows of. A statement that was prepared under an older generation is prepared
 * again before its next use.
 *
 * 1. One counter for the whole process, for all copies of this package. The engine that runs a migration is often not the engine that
 *    serves requests, and may use another address for the same database.
 * 2. The counter only grows. A change of another database costs one Parse for each statement, and no round trip.
 */

/** The counter. */
export interface SchemaGeneration {
  current: number
}

const KEY: unique symbol = Symbol.for('lifeguard.schemaGeneration') as never

/** The counter of this process. */
export function schemaGeneration(): SchemaGeneration {
  const shared = globalThis as { [KEY]?: SchemaGeneration }
  shared[KEY] ??= { current: 0 }
  return shared[KEY]
}
