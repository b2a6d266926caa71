/** The hooks of an entity class, which are called for its instances: `static readonly hooks = { ... }`. */
import { MappingError } from '../errors.js'

/** What a hook may return: anything but a promise. (With `toString` it is no weak type, to which TypeScript would refuse most values.) */
type Synchronous = void | null | undefined | { readonly then?: never; toString(): string }

/**
 * Called by the session with an instance. They are synchronous, because they run while a batch is built, and must not flush. If
 * a hook throws, the flush or the load rejects with its error, and nothing is sent or kept. If it returns a promise, they
 * reject with a MappingError: use `beforeFlush` of the session factory for asynchronous work.
 *
 * @example
 * class Song extends Base.entity('songs', { ... }) {
 *   static readonly hooks: EntityHooks<Song> = {
 *     beforeInsert: (song) => { song.slug = slugOf(song.title) },
 *   }
 * }
 */
export interface EntityHooks<T extends object> {
  /** Before a new object is stored; may change it. */
  beforeInsert?(instance: T): Synchronous
  /** Before changes are stored, once for each flush that finds changes of the object; may change more. */
  beforeUpdate?(instance: T): Synchronous
  /** Before its row is deleted. */
  beforeDelete?(instance: T): Synchronous
  /** After an instance was made from a row, for which the constructor does not run. Not called by `refresh`. */
  afterLoad?(instance: T): Synchronous
}

const NAMES: readonly string[] = [
  'beforeInsert',
  'beforeUpdate',
  'beforeDelete',
  'afterLoad',
] satisfies (keyof EntityHooks<object>)[]

/** The hooks of a class, which throw if they return a promise. @throws MappingError for an unknown or invalid hook. */
export function readHooks(entity: object, name: string): EntityHooks<object> {
  const { hooks = {} } = entity as { readonly hooks?: Record<string, (instance: object) => unknown> }
  const read: Record<string, (instance: object) => void> = {}
  for (const [key, hook] of Object.entries(hooks)) {
    if (!NAMES.includes(key))
      throw new MappingError(`${name}.hooks has no '${key}'; there are ${NAMES.join(', ')}`)
    if (typeof hook !== 'function') throw new MappingError(`${name}.hooks.${key} must be a function`)
    read[key] = (instance) => {
      // Looked up for each call: tests put spies in its place.
      const outcome = hooks[key]?.(instance)
      if (isThenable(outcome)) throw notAwaited(outcome, `${key} of ${name}`)
    }
  }
  return read
}

function notAwaited(outcome: PromiseLike<unknown>, hook: string): MappingError {
  // Its own rejection must not become an unhandled one.
  outcome.then(ignore, ignore)
  return new MappingError(
    `${hook} is async: hooks of entities are synchronous; use beforeFlush of the session factory, which is awaited`,
  )
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function ignore(): void {
  // The hook was refused, so its result does not matter.
}
