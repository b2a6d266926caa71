/** A column of an entity with that of the database, and what its comparison needs. */
import type { CatalogColumn, CatalogTable } from '../introspect/catalog-model.js'
import type { Casts } from './casts.js'
import type { Difference } from './difference.js'
import type { Proposal } from './proposal.js'
import type { TypeUsers } from './type-users.js'

/** What the comparison of a column needs to know besides. */
export interface ColumnContext {
  readonly where: string
  readonly isView: boolean
  readonly casts: Casts
  readonly typeUsers: TypeUsers
  /** Of the server: 180001. */
  readonly version: number
  /** Drops and creates the foreign keys on a column, around a change of its type. */
  aroundKeys(table: CatalogTable, column: string): readonly Proposal[]
  /** Gets the columns that are to be dropped and added, or whose type cannot simply change: both are comments. */
  readonly anew: Set<string>
}

/** One column in both. */
export interface ColumnPair {
  readonly table: CatalogTable
  /** In SQL. */
  readonly tableSql: string
  readonly name: string
  readonly wanted: CatalogColumn
  readonly found: CatalogColumn
  differ(breaks: Difference['breaks'], what: string, proposals: readonly Proposal[]): void
}
