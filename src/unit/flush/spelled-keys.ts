/**
 * Foreign keys that were changed to the key of a deleted object in another form (`POP` for `pop` in citext, `1` for `1.00`): only
 * PostgreSQL knows that they are equal. It is asked before the flush, so that their objects are deleted with their owner, or let go of it.
 */
import { selectEqualKeys, type LoadStatement } from '../../query/key-statements.js'
import { metaOf, type RawRow } from '../../schema/entity-meta.js'
import type { Relation } from '../../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import type { TrackedInstances } from '../tracked-instances.js'
import { storedValue } from './rows.js'

/** A foreign key that may equal the key of a deleted object. */
interface Candidate {
  readonly member: InstanceState
  readonly own: readonly EncodedText[]
  readonly key: readonly EncodedText[]
}

export class SpelledKeys {
  readonly #tracked: TrackedInstances
  readonly #fetch: (statement: LoadStatement) => Promise<RawRow[]>
  /** What was asked for the flush that is being prepared. */
  readonly #asked = new Set<string>()

  constructor(tracked: TrackedInstances, fetch: (statement: LoadStatement) => Promise<RawRow[]>) {
    this.#tracked = tracked
    this.#fetch = fetch
  }

  /** The next flush is prepared from the start. */
  reset(): void {
    this.#asked.clear()
  }

  /** Asks for the foreign keys that may equal the keys of deleted objects, and notes those that do. */
  *ask(): Generator<Promise<void>, void, undefined> {
    const members = new Map<Relation, readonly InstanceState[]>()
    for (const owner of this.#tracked.markedDeleted) {
      if (owner.meta.relationNames.length === 0) continue
      for (const relation of owner.meta.relations.values()) {
        if (!hasSpellings(relation)) continue
        const changed = members.get(relation) ?? this.#changedMembers(relation)
        members.set(relation, changed)
        const candidates = changed.flatMap((member) => this.#candidate(owner, relation, member) ?? [])
        if (candidates.length > 0) yield this.#note(owner, relation, candidates)
      }
    }
  }

  async #note(
    { meta: { table } }: InstanceState,
    { ownColumns, targetColumns }: Relation,
    candidates: readonly Candidate[],
  ): Promise<void> {
    const values = candidates.map(({ own, key }) => [...own, ...key])
    const rows = await this.#fetch(selectEqualKeys(table, ownColumns, targetColumns, values))
    for (const [ordinal] of rows) {
      const { member, own, key } = candidates[Number(ordinal) - 1] as Candidate
      for (const [index, column] of targetColumns.entries()) {
        const [text, other] = [own[index] as EncodedText, key[index] as EncodedText]
        if (text !== other) member.noteSpelling(column, text, other)
      }
    }
  }

  /** The tracked objects whose foreign key was changed since it was loaded. */
  #changedMembers({ target, targetColumns }: Relation): readonly InstanceState[] {
    return [...this.#tracked.identities.of(metaOf(target)).values()].filter(
      (state) =>
        !state.markedDeleted &&
        targetColumns.some((column) => textOf(state, column) !== storedValue(state, column)),
    )
  }

  #candidate(
    owner: InstanceState,
    { name, ownColumns, targetColumns }: Relation,
    member: InstanceState,
  ): Candidate | undefined {
    const own = targetColumns.map((column) => textOf(member, column))
    const key = ownColumns.map((column) => storedValue(owner, column))
    const mayBeEqual = targetColumns.every((column, index) =>
      mayEqual(member, column, own[index], ownColumns[index] as TableColumn, key[index]),
    )
    const asked = JSON.stringify([name, member.meta.table.key, own, key])
    if (!mayBeEqual || String(own) === String(key) || this.#asked.has(asked)) return undefined
    this.#asked.add(asked)
    return { member, own: own as EncodedText[], key }
  }
}

/** Whether the keys of a relation to members may be written differently. */
function hasSpellings({ kind, targetColumns, ownColumns }: Relation): boolean {
  if (kind !== 'hasMany' && kind !== 'hasOne') return false
  // Integers, for example, have one form.
  return [...targetColumns, ...ownColumns].some((column) => !column.isOnlySpelling('0'))
}

/** Whether a value of a foreign key may equal a key for PostgreSQL. For texts it is a guess: they differ in case, accents or blanks. */
function mayEqual(
  member: InstanceState,
  column: TableColumn,
  own: EncodedText | undefined,
  keyColumn: TableColumn,
  key: EncodedText | undefined,
): boolean {
  if (own === null || own === undefined || key === null || key === undefined) return false
  if (member.isSameKey(column, own, key) || column.normal(own) === keyColumn.normal(key)) return true
  if (column.mayRespell(own) || keyColumn.mayRespell(key)) return true
  // 0 and -0.
  return folded(own) === folded(key) || Number(own) === Number(key)
}

function folded(text: string): string {
  return text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase().trim()
}

/** Undefined for a value that cannot be encoded: the flush throws the error. */
function textOf(state: InstanceState, column: TableColumn): EncodedText | undefined {
  try {
    return state.text(column)
  } catch {
    return undefined
  }
}
