/** Foreign keys that stand in the way of a change: they are dropped before it and created after it. */
import type { Catalog, CatalogConstraint, CatalogTable } from '../introspect/catalog-model.js'
import { ident } from './difference.js'
import { live, type Proposal } from './proposal.js'

interface KeyChanges {
  /** Around a change of a column's type. */
  column(table: CatalogTable, column: string): readonly Proposal[]
  /** Around a change of the key that foreign keys refer to. */
  key(table: CatalogTable, columns: readonly string[]): readonly Proposal[]
}

/** @param fates Those that are dropped anyway. */
export function keyChanges(
  { tables }: Catalog,
  fates: ReadonlyMap<CatalogConstraint, 'changed' | 'extra'>,
): KeyChanges {
  const moved = (
    isConcerned: (
      key: CatalogConstraint,
      target: NonNullable<CatalogConstraint['target']>,
      of: CatalogTable,
    ) => boolean,
  ): Proposal[] =>
    tables.flatMap((of) =>
      of.constraints.flatMap((key) => {
        if (key.target === null || fates.has(key) || !isConcerned(key, key.target, of)) return []
        const alter = `alter table ${ident(of.schema, of.name)}`
        return [
          live('drop foreign key', `${alter} drop constraint ${ident(key.name)}`),
          live('foreign key', `${alter} add constraint ${ident(key.name)} ${key.definition}`),
        ]
      }),
    )
  const leadsTo = (
    target: NonNullable<CatalogConstraint['target']>,
    { schema, name }: CatalogTable,
  ): boolean => target.schema === schema && target.table === name
  return {
    column: (table, column) =>
      moved(
        ({ columns }, target, of) =>
          (of === table && columns.includes(column)) ||
          (leadsTo(target, table) && target.columns.includes(column)),
      ),
    key: (table, columns) =>
      moved(
        (_key, target) =>
          leadsTo(target, table) && [...target.columns].sort().join('\0') === [...columns].sort().join('\0'),
      ),
  }
}
