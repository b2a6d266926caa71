/** Statements that load rows by their keys and by their relations; for `get`, `refresh` and the loading of relations. */
import { encodeValues, type EncodedValue } from '../driver/values.js'
import { definitionSql } from '../schema/definition-sql.js'
import { andEach } from './conditions.js'
import type { Condition } from '../sql.js'
import { columnList, concat, text } from './entity-statement.js'
import { metaOf } from '../schema/entity-meta.js'
import { fragmentOf } from './placeholders.js'
import type { Relation } from '../schema/relation-resolution.js'
import { matchesAny, rowSource, rowValues } from './unnest.js'
import type { EncodedText, StatementValue, TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'

/** A statement that loads rows. */
export interface LoadStatement {
  readonly text: string
  readonly values: readonly EncodedValue[]
}

/**
 * Selects the row with a key: all columns, in their order.
 *
 * @param key Encoded, in the order of the key.
 * @param lock What stands at the end, such as ` for update`.
 * @param conditions What else the row must meet.
 * @param lacking Deferred columns that are not read.
 */
export function selectByKey(
  table: Table,
  key: readonly EncodedText[],
  lock = '',
  conditions: readonly Condition[] = [],
  lacking: readonly TableColumn[] = table.deferred,
): LoadStatement {
  table.requireKey()
  const where = table.primaryKey
    .map(({ sql }, index) => `${table.qualifier}.${sql} = $${index + 1}`)
    .join(' and ')
  const start = `select ${table.selectList(lacking)} from ${table.sql} where ${where}`
  return withConditions(start, key, conditions, lock)
}

/** A statement whose WHERE is continued by conditions, and then by `end`. */
function withConditions(
  start: string,
  values: readonly StatementValue[],
  conditions: readonly Condition[],
  end: string,
): LoadStatement {
  if (conditions.length === 0) return { text: start + end, values }
  const whole = concat(fragmentOf(start, values), andEach(conditions), text(end))
  // Conditions that were written with the sql tag hold values that are not encoded yet.
  return { text: whole.text, values: encodeValues(whole.values) }
}

/**
 * The rows with any of the keys, in no particular order. The text is the same for every number of keys.
 * @param lacking Deferred columns that are not read.
 */
export function selectByKeys(
  table: Table,
  keys: readonly (readonly EncodedText[])[],
  lacking: readonly TableColumn[] = table.deferred,
): LoadStatement {
  table.requireKey()
  const where = matchesAny(table.primaryKey, table.qualifier)
  return {
    text: `select ${table.selectList(lacking)} from ${table.sql} where ${where}`,
    values: rowValues(table.primaryKey, keys),
  }
}

/** Whether there is a row with some values: one row, or none. @param values Encoded, in the order of the columns. */
export function selectExistence(
  table: Table,
  columns: readonly TableColumn[],
  values: readonly EncodedText[],
): LoadStatement {
  return {
    text: `select 1 from ${table.sql} where ${matchesAny(columns, table.qualifier)} limit 1`,
    values: rowValues(columns, [values]),
  }
}

/**
 * Which foreign keys equal the key of a row with a given key, by the types and collations of the table: their ordinals, from 1.
 * @param values For each: the foreign key, then the key; encoded, no NULL among them.
 */
export function selectEqualKeys(
  table: Table,
  keyColumns: readonly TableColumn[],
  columns: readonly TableColumn[],
  values: readonly (readonly EncodedText[])[],
): LoadStatement {
  const source = rowSource([...columns, ...keyColumns], table.qualifier)
  const matches = keyColumns.flatMap(({ sql }, index) => {
    const stored = `${table.qualifier}.${sql}`
    const key = source.columns[columns.length + index]
    return [`${stored} = ${source.columns[index]}`, `${stored} = ${key}`]
  })
  return {
    text: `select ${source.ordinal} from ${table.sql} cross join ${source.sql} where ${matches.join(' and ')}`,
    values: rowValues([...columns, ...keyColumns], values),
  }
}

/** What a relation loads. */
export interface RelatedStatement extends LoadStatement {
  /**
   * Number of values before the target's columns in each row. They identify the owner: by its `relation.ownColumns`, or by its
   * ordinal.
   */
  readonly ownerColumns: number
  /** True: a row names its owner by its position among the owners, from 1. */
  readonly byOrdinal: boolean
}

/**
 * The related objects of any number of owners: the owner's key, then all columns of the target. One text whatever the
 * number of owners.
 *
 * @param owners The values of `relation.ownColumns` of each owner, encoded; no NULL among them.
 * @param conditions What else the rows of the target, and of the join table, must meet.
 * @param lacking Deferred columns of the target that are not read.
 */
export function selectRelated(
  relation: Relation,
  owners: readonly (readonly EncodedText[])[],
  conditions: readonly Condition[] = [],
  lacking: readonly TableColumn[] = metaOf(relation.target).table.deferred,
): RelatedStatement {
  const { table } = metaOf(relation.target)
  const { from, ownerColumns, qualifier } = relatedRows(relation)
  // Where equal keys may be written differently, only PostgreSQL can tell which owner a row belongs to.
  const byOrdinal = !owners.every((key) =>
    key.every((text, index) => ownerColumns[index]?.isOnlySpelling(text)),
  )
  const start = byOrdinal
    ? joinedToOwners(ownerColumns, qualifier, table, from, lacking)
    : `select ${columnList(ownerColumns, qualifier)}, ${table.selectList(lacking)} from ${from} where ${matchesAny(ownerColumns, qualifier)}`
  const order = ` order by ${orderOfRelated(relation)}`
  return {
    ...withConditions(start, rowValues(ownerColumns, owners), conditions, order),
    ownerColumns: byOrdinal ? 1 : ownerColumns.length,
    byOrdinal,
  }
}

/** Where a statement reads related objects from, and the columns there that equal the owner's `ownColumns`. */
export function relatedRows(relation: Relation): {
  readonly from: string
  readonly ownerColumns: readonly TableColumn[]
  readonly qualifier: string
} {
  const { link, target, targetColumns } = relation
  const { table } = metaOf(target)
  if (link === undefined) return { from: table.sql, ownerColumns: targetColumns, qualifier: table.qualifier }
  const qualifier = linkAlias(relation)
  const on = link.other.map(
    ({ sql }, index) => `${qualifier}.${sql} = ${table.qualifier}.${targetColumns[index]?.sql}`,
  )
  const from = `${link.table.sql} as ${qualifier} join ${table.sql} on ${on.join(' and ')}`
  return { from, ownerColumns: link.own, qualifier }
}

/** The order of related objects: the declared one, or by primary key. */
export function orderOfRelated({ name, orderBy, target }: Relation): string {
  const { table } = metaOf(target)
  return orderBy === undefined
    ? columnList(table.primaryKey, table.qualifier)
    : definitionSql(`The order of ${name}`, orderBy())
}

/** The alias of a join table in a statement: its own name, which conditions use, unless the target has the same name. */
function linkAlias({ link, target }: Relation): string {
  const { table } = metaOf(target)
  if (link !== undefined && link.table.name !== table.name) return link.table.qualifier
  return table.name === 'link' ? '"links"' : '"link"'
}

/** Selects the ordinal of the owner with each row. */
function joinedToOwners(
  columns: readonly TableColumn[],
  qualifier: string,
  table: Table,
  from: string,
  lacking: readonly TableColumn[],
): string {
  const source = rowSource(columns, table.qualifier)
  const matches = columns.map(({ sql }, index) => `${qualifier}.${sql} = ${source.columns[index]}`)
  return `select ${source.ordinal}, ${table.selectList(lacking)} from ${from} cross join ${source.sql} where ${matches.join(' and ')}`
}
