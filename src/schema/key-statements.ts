/** Statements that load rows by their keys and by their relations; for `get`, `refresh` and the loading of relations. */
import { definitionSql } from './definition-sql.js'
import { columnList } from './entity-statement.js'
import { metaOf } from './entity-meta.js'
import type { Relation } from './relation-resolution.js'
import { matchesAny, rowValues } from './row-source.js'
import type { EncodedText, StatementValue } from './table-column.js'
import type { Table } from './table.js'

/** A statement that loads rows. */
export interface LoadStatement {
  readonly text: string
  readonly values: readonly StatementValue[]
}

/**
 * The row with a key: all columns, in their order.
 *
 * @param key Encoded, in the order of the key.
 * @param lock What stands at the end, such as ` for update`.
 */
export function selectByKey(table: Table, key: readonly EncodedText[], lock = ''): LoadStatement {
  const where = table.primaryKey.map(({ sql }, index) => `${sql} = $${index + 1}`).join(' and ')
  return { text: `select ${table.columnList} from ${table.sql} where ${where}${lock}`, values: key }
}

/** The rows with any of the keys, in no particular order. One text whatever the number of keys. */
export function selectByKeys(
  table: Table,
  keys: readonly (readonly EncodedText[])[],
  lock = '',
): LoadStatement {
  const where = matchesAny(table.primaryKey, table.qualifier)
  return {
    text: `select ${table.columnList} from ${table.sql} where ${where}${lock}`,
    values: rowValues(table.primaryKey, keys),
  }
}

/** What a relation loads. */
export interface RelatedStatement extends LoadStatement {
  /**
   * How many values stand in front of the columns of the target in each row: the values of `relation.ownColumns` of the
   * owner that it belongs to.
   */
  readonly ownerColumns: number
}

/**
 * The related objects of any number of owners: the owner's key, then all columns of the target. One text whatever the
 * number of owners.
 *
 * @param owners The values of `relation.ownColumns` of each owner, encoded; no NULL among them.
 */
export function selectRelated(
  relation: Relation,
  owners: readonly (readonly EncodedText[])[],
): RelatedStatement {
  const { table } = metaOf(relation.target)
  // A table may be called like the alias.
  const alias = table.name === 'link' ? '"links"' : '"link"'
  const { link } = relation
  const [ownerColumns, qualifier] =
    link === undefined ? [relation.targetColumns, table.qualifier] : [link.own, alias]
  const joined = link?.other.map((column, index) => {
    const target = relation.targetColumns[index]
    return `${alias}.${column.sql} = ${table.qualifier}.${target?.sql}`
  })
  const from =
    link === undefined
      ? table.sql
      : `${link.table.sql} as ${alias} join ${table.sql} on ${joined?.join(' and ')}`
  const where = matchesAny(ownerColumns, qualifier)
  const start =
    `select ${columnList(ownerColumns, qualifier)}, ${table.columnList} ` +
    `from ${from} where ${where} order by `
  const { orderBy } = relation
  const order =
    orderBy === undefined
      ? columnList(table.primaryKey, table.qualifier)
      : definitionSql(`The order of ${relation.name}`, orderBy())
  return {
    text: start + order,
    values: rowValues(ownerColumns, owners),
    ownerColumns: ownerColumns.length,
  }
}
