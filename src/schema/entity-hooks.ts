/** What an entity class wants to know of the life of its instances: `static readonly hooks = { ... }`. */
import { MappingError } from '../errors.js'

/**
 * Called by the session with an instance. They are synchronous, because they run while a packet is put together, and
 * must not flush; what they throw ends the flush, or the load, and nothing of it is sent or kept.
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
  beforeInsert?(instance: T): void
  /** Before changes are stored, once for each flush that finds some; may change more. */
  beforeUpdate?(instance: T): void
  /** Before its row is deleted. */
  beforeDelete?(instance: T): void
  /** After it was made from a row: the constructor is not run then. Not called when it is refreshed. */
  afterLoad?(instance: T): void
}

const NAMES: readonly string[] = [
  'beforeInsert',
  'beforeUpdate',
  'beforeDelete',
  'afterLoad',
] satisfies (keyof EntityHooks<object>)[]

/** @throws MappingError for what is no hook. */
export function readHooks(entity: object, name: string): EntityHooks<object> {
  const { hooks = {} } = entity as { readonly hooks?: Record<string, unknown> }
  for (const [key, hook] of Object.entries(hooks)) {
    if (!NAMES.includes(key))
      throw new MappingError(`${name}.hooks has no '${key}'; there are ${NAMES.join(', ')}`)
    if (typeof hook !== 'function') throw new MappingError(`${name}.hooks.${key} must be a function`)
  }
  return hooks
}
