/** What an entity class wants to know of the life of its instances: `static readonly hooks = { ... }`. */
import { MappingError } from '../errors.js'

/** What a hook may return: anything but a promise. (With `toString`, which everything has, it is no type of options only.) */
type Synchronous = void | null | undefined | { readonly then?: never; toString(): string }

/**
 * Called by the session with an instance. They are synchronous, because they run while a batch is put together, and
 * must not flush; what they throw ends the flush, or the load, and nothing of it is sent or kept. So does a promise that
 * they return, with a MappingError: what waits belongs to `beforeFlush` of the session factory.
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
  /** Before changes are stored, once for each flush that finds some; may change more. */
  beforeUpdate?(instance: T): Synchronous
  /** Before its row is deleted. */
  beforeDelete?(instance: T): Synchronous
  /** After it was made from a row: the constructor is not run then. Not called when it is refreshed. */
  afterLoad?(instance: T): Synchronous
}

const NAMES: readonly string[] = [
  'beforeInsert',
  'beforeUpdate',
  'beforeDelete',
  'afterLoad',
] satisfies (keyof EntityHooks<object>)[]

/** The hooks of a class, which refuse to go on without waiting. @throws MappingError for what is no hook. */
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
  // What it would have thrown ends in this error, not in the process.
  outcome.then(ignore, ignore)
  return new MappingError(
    `${hook} is async: hooks of entities are synchronous; use beforeFlush of the session factory, which is awaited`,
  )
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function ignore(): void {
  // It was refused.
}
