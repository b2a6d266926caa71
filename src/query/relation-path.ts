/** The paths of relations that `load` takes, such as `'songs.album'`. */
import { MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { describeArgument } from '../sql.js'
import { metaOf, type EntityMeta } from '../schema/entity-meta.js'

/** @returns the entity that the path leads to. @throws MappingError if there is no such relation. */
export function checkPath(meta: EntityMeta, path: string): EntityMeta {
  requireText(meta, path)
  let at = meta
  for (const name of path.split('.')) {
    const relation = at.relations.get(name)
    if (relation === undefined)
      throw new MappingError(
        `${at.table.key} has no relation '${name}'${didYouMean(name, at.relations.keys())}`,
      )
    at = metaOf(relation.target)
  }
  return at
}

/** @throws MappingError unless the name of a relation is a text. */
export function requireText({ table }: EntityMeta, name: unknown): asserts name is string {
  if (typeof name === 'string') return
  throw new MappingError(`A relation of ${table.key} is named by a text, not ${describeArgument(name)}`)
}
