/** Names the constants of declared types. */
import type { Catalog, CatalogType } from './catalog-model.js'
import { RESERVED_CONSTANTS } from './reserved-names.js'
import { camel, wordsOf } from './words.js'

/** Declared types by oid. Those that would share a name have their schema in it. */
export function nameTypes({ types }: Catalog): Map<string, string> {
  const declared = [...types.values()]
    .filter(
      ({ kind, schema, extension, element }) =>
        extension === null &&
        element === null &&
        schema !== 'pg_catalog' &&
        schema !== 'information_schema' &&
        kind !== 'base' &&
        kind !== 'multirange',
    )
    .sort((a, b) => (`${a.schema}\0${a.name}` < `${b.schema}\0${b.name}` ? -1 : 1))
  const short = ({ name }: CatalogType): string => camel(wordsOf(name))
  const chosen = new Map<string, string>()
  const taken = new Set<string>()
  for (const type of declared) {
    const isAlone = declared.every(
      (other) => other === type || short(other).toLowerCase() !== short(type).toLowerCase(),
    )
    const made = isAlone ? short(type) : camel([...wordsOf(type.schema), ...wordsOf(type.name)])
    const legal = /^[\p{ID_Start}_$]/u.test(made) ? made : `type${made}`
    const base = RESERVED_CONSTANTS.has(legal) ? `${legal}Type` : legal
    let name = base
    for (let count = 2; taken.has(name.toLowerCase()); count++) name = `${base}${count}`
    taken.add(name.toLowerCase())
    chosen.set(type.oid, name)
  }
  return chosen
}
