/** The rows of join tables that changed `manyToMany` relations insert and delete. */
import { InvalidValueError } from '../errors.js'
import type { Relation, RelationLink } from '../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { InstanceState } from './instance-state.js'
import { storedValue, type LinkChanges } from './flush/rows.js'
import { hasRow, currentText, type TextOf } from './relation-values.js'

/** Two objects, and the relation that links them. */
export interface Pair {
  readonly relation: Relation
  readonly link: RelationLink
  readonly owner: InstanceState
  readonly member: InstanceState
}

interface LinkRow {
  readonly pair: Pair
  readonly values: EncodedText[]
}

/** The changes of join tables. @throws InvalidValueError if both sides say different things about a pair. */
export function linkChanges(linkedPairs: readonly Pair[], unlinked: readonly Pair[]): LinkChanges[] {
  const byTable = new Map<string, Pair[]>()
  for (const pair of [...linkedPairs, ...unlinked]) {
    const id = [pair.link.table.key, ...linkColumns(pair.link).map(({ name }) => name)].join('\0')
    const pairs = byTable.get(id)
    if (pairs === undefined) byTable.set(id, [pair])
    else pairs.push(pair)
  }
  const linked = new Set(linkedPairs)
  return [...byTable.values()].map((pairs) => {
    const { link } = pairs[0] as Pair
    const columns = linkColumns(link)
    const added = new Map<string, LinkRow>()
    const removed = new Map<string, LinkRow>()
    for (const pair of pairs) {
      const isLinked = linked.has(pair)
      if (!isLinked && !(hasRow(pair.owner) && hasRow(pair.member))) continue
      const values = linkValues(pair, columns, isLinked ? currentText : storedValue)
      ;(isLinked ? added : removed).set(JSON.stringify(values), { pair, values })
    }
    for (const [id, { pair }] of removed) {
      const other = added.get(id)
      // The key of a deleted object may be that of a new one: the row is deleted and inserted.
      const isDeleted = pair.owner.markedDeleted || pair.member.markedDeleted
      if (other !== undefined && !isDeleted) throw linkedAndUnlinked(other.pair, pair)
    }
    return { link, columns, added: rowsOf(added), removed: rowsOf(removed) }
  })
}

/** The columns of a row of the join table, in the order of the table, so that both sides write the same. The two keys may share some. */
function linkColumns({ own, other }: RelationLink): readonly TableColumn[] {
  return [...new Set([...own, ...other])].sort((a, b) => a.index - b.index)
}

/** @throws InvalidValueError if both sides share a column of the link, and have different values of it. */
function linkValues(
  { relation, link, owner, member }: Pair,
  columns: readonly TableColumn[],
  textOf: TextOf,
): EncodedText[] {
  return columns.map((column) => {
    const texts: (EncodedText | undefined)[] = []
    const [own, other] = [link.own.indexOf(column), link.other.indexOf(column)]
    if (own !== -1) texts.push(textOf(owner, relation.ownColumns[own] as TableColumn))
    if (other !== -1) texts.push(textOf(member, relation.targetColumns[other] as TableColumn))
    const [text, another = text] = texts
    if (column.normal(text) !== column.normal(another))
      throw cannotLink(owner, relation, member, column, [text, another])
    // Without a text, encode throws an error that says what is wrong.
    return text ?? column.encode(text)
  })
}

function cannotLink(
  owner: InstanceState,
  relation: Relation,
  member: InstanceState,
  column: TableColumn,
  texts: readonly (EncodedText | undefined)[],
): InvalidValueError {
  const values = texts.map((text) =>
    text === null || text === undefined ? undefined : owner.shown(column, column.decode(text)),
  )
  const shown = values.includes(undefined) ? '' : `: ${values.join(' and ')}`
  return new InvalidValueError(
    `${owner.meta.name}.${relation.name} cannot link ${owner} with ${member}: they need different values of ${column}${shown}`,
  )
}

function linkedAndUnlinked(added: Pair, removed: Pair): InvalidValueError {
  const nameOf = ({ owner, relation }: Pair): string => `${owner.meta.name}.${relation.name} of ${owner}`
  return new InvalidValueError(
    `Changes contradict each other: ${added.member} was put into ${nameOf(added)}, and ${removed.member} was taken out of ` +
      `${nameOf(removed)}. Both are the same row of ${added.link.table.key}: make one of the changes only`,
  )
}

function rowsOf(rows: ReadonlyMap<string, LinkRow>): EncodedText[][] {
  return [...rows.values()].map(({ values }) => values)
}
