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
import { storedValue, textIfValid } from './rows.js'

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
    const owners = new Map<Relation, InstanceState[]>()
    for (const owner of this.#tracked.markedDeleted) {
      if (owner.meta.relationNames.length === 0) continue
      for (const relation of owner.meta.relations.values()) {
        if (!hasSpellings(relation)) continue
        const deleted = owners.get(relation)
        if (deleted === undefined) owners.set(relation, [owner])
        else deleted.push(owner)
      }
    }
    for (const [relation, deleted] of owners) {
      const candidates = this.#candidates(relation, deleted)
      if (candidates.length > 0) yield this.#note(deleted[0] as InstanceState, relation, candidates)
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
        targetColumns.some((column) => textIfValid(state, column) !== storedValue(state, column)),
    )
  }

  /** Each changed foreign key with each key of a deleted object that it may equal. */
  #candidates(relation: Relation, deleted: readonly InstanceState[]): Candidate[] {
    const { name, ownColumns, targetColumns } = relation
    const keys = deleted
      .map((owner) => ownColumns.map((column) => storedValue(owner, column)))
      .filter((key): key is string[] => !key.includes(null))
    const isOpen = (columns: readonly TableColumn[], texts: readonly string[]): boolean =>
      texts.some((text, index) => columns[index]?.mayRespell(text) === true)
    const openKeys = keys.filter((key) => isOpen(ownColumns, key))
    const alike = new Map<string, string[][]>()
    for (const key of keys) {
      const id = foldedTuple(key)
      const known = alike.get(id)
      if (known === undefined) alike.set(id, [key])
      else known.push(key)
    }
    const candidates: Candidate[] = []
    for (const member of this.#changedMembers(relation)) {
      const own = targetColumns.map((column) => textIfValid(member, column))
      if (!isComplete(own)) continue
      const possible = isOpen(targetColumns, own)
        ? keys
        : [...openKeys, ...(alike.get(foldedTuple(own)) ?? [])]
      for (const key of possible) {
        const asked = JSON.stringify([name, member.meta.table.key, own, key])
        const mayBeEqual = targetColumns.every((column, index) =>
          mayEqual(column, own[index] as string, ownColumns[index] as TableColumn, key[index] as string),
        )
        if (!mayBeEqual || String(own) === String(key) || this.#asked.has(asked)) continue
        this.#asked.add(asked)
        candidates.push({ member, own, key })
      }
    }
    return candidates
  }
}

/** Whether the keys of a relation to members may be written differently. */
function hasSpellings({ kind, targetColumns, ownColumns }: Relation): boolean {
  if (kind !== 'hasMany' && kind !== 'hasOne') return false
  // Integers, for example, have one form.
  return [...targetColumns, ...ownColumns].some((column) => !column.isOnlySpelling('0'))
}

/** Whether a value of a foreign key may equal a key for PostgreSQL. For texts it is a guess: see {@link folded}. */
function mayEqual(column: TableColumn, own: string, keyColumn: TableColumn, key: string): boolean {
  if (own === key || column.mayRespell(own) || keyColumn.mayRespell(key)) return true
  return folded(own) === folded(key)
}

function isComplete(texts: readonly (EncodedText | undefined)[]): texts is string[] {
  return !texts.includes(null) && !texts.includes(undefined)
}

function foldedTuple(texts: readonly string[]): string {
  return JSON.stringify(texts.map(folded))
}

/** The same for texts that differ in case, accents or blanks, and for numbers in different forms. */
function folded(text: string): string {
  const plain = text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase().trim()
  const number = Number(plain)
  // 0 and -0.
  return plain === '' || Number.isNaN(number) ? plain : String(number === 0 ? 0 : number)
}
