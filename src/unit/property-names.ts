/** Checks the names that `expire` and `refresh` take, and divides them into columns and relations. */
import { MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { requireNames } from '../internal/validate.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { TableColumn } from '../schema/table-column.js'

/** Some properties of an entity. */
export interface Named {
  readonly columns: readonly TableColumn[]
  readonly relations: readonly string[]
}

/** The columns and relations with these names. @throws MappingError for another name; InvalidOptionError. */
export function namedProperties(meta: EntityMeta, names: readonly string[]): Named {
  requireNames('names', names)
  const { table, relationNames } = meta
  for (const name of names) {
    if (table.has(name) || meta.hasRelation(name)) continue
    const known = [...table.columns.map(({ property }) => property), ...relationNames]
    throw new MappingError(`${table.key} has no column or relation '${name}'${didYouMean(name, known)}`)
  }
  return {
    columns: names.filter((name) => table.has(name)).map((name) => table.column(name)),
    relations: names.filter((name) => meta.hasRelation(name)),
  }
}

/**
 * The columns and relations that `refresh` reads again: the named columns, and the relations in `load`; for a `belongsTo` also its
 * foreign key.
 *
 * @throws MappingError for a name that is no column; InvalidOptionError.
 */
export function propertiesToRefresh(
  meta: EntityMeta,
  names: readonly string[],
  paths: readonly string[],
): Named {
  requireNames('columns', names)
  for (const name of names) {
    if (!meta.hasRelation(name)) continue
    throw new MappingError(`${meta.name}.${name} is a relation: name it in 'load' instead of 'columns'`)
  }
  const columns = new Set(names.map((name) => meta.table.column(name)))
  const relations = new Set(paths.map((path) => path.split('.', 1)[0] as string))
  for (const name of relations) {
    const { kind, ownColumns } = meta.relations.get(name) as Relation
    if (kind === 'belongsTo') for (const column of ownColumns) columns.add(column)
  }
  return { columns: [...columns], relations: [...relations] }
}
