/**
 * How often the schema has changed, as far as this process knows. A statement that was prepared under an older
 * generation is prepared anew before its next use.
 *
 * 1. One counter for the whole process, both copies of this package included: the engine that runs a migration is often
 *    another one than the engine that serves requests, and may reach the same database under another address.
 * 2. It only grows. A change that concerns another database costs one Parse for each statement, and no round trip.
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
