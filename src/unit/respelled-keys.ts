/**
 * Keys that PostgreSQL stores in another form than they were sent (`1` as `1.00`). Foreign keys of other objects still hold the
 * sent form, which is equal for PostgreSQL: they keep referring to the same object.
 */
import { metaOf, type EntityMeta, type RawRow } from '../schema/entity-meta.js'
import { ENTITY } from '../schema/entity-types.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { InstanceState } from './instance-state.js'

/** Columns that refer to others, in their order. */
type Reference = readonly [columns: readonly TableColumn[], targets: readonly TableColumn[]]

/** The keys of one answer. */
export class RespelledKeys {
  /** Stored values by assigned values. */
  readonly #forms = new Map<TableColumn, Map<EncodedText, EncodedText>>()
  /** The classes of their objects. */
  readonly #owners = new Set<EntityMeta>()

  /** Notes the stored value of an object whose snapshot still holds the assigned one. */
  note({ meta, snapshot }: InstanceState, returned: readonly TableColumn[], row: RawRow): void {
    for (const [index, column] of returned.entries()) {
      if (column.definition.primaryKey !== true) continue
      const [given, raw = null] = [snapshot?.[column.index], row[index]]
      if (given === undefined || raw === null) continue
      const [before, after] = [column.canonical(given), column.canonicalOf(raw)]
      if (before === after) continue
      const forms = this.#forms.get(column) ?? new Map<EncodedText, EncodedText>()
      this.#forms.set(column, forms.set(before, after))
      this.#owners.add(meta)
    }
  }

  /** Notes, for each object that refers to one of these keys, that both forms are equal. @param tracked All objects with a row. */
  noteReferences(tracked: () => Iterable<InstanceState>): void {
    if (this.#forms.size === 0) return
    const references = new Map<EntityMeta, readonly Reference[]>()
    for (const state of tracked()) {
      const known = references.get(state.meta) ?? this.#referencesOf(state.meta)
      references.set(state.meta, known)
      for (const [columns, targets] of known) {
        for (const [index, column] of columns.entries()) {
          const text = state.text(column)
          const stored =
            text === undefined ? undefined : this.#forms.get(targets[index] as TableColumn)?.get(text)
          if (text !== undefined && stored !== undefined) state.noteSpelling(column, text, stored)
        }
      }
    }
  }

  /** The references from objects of a class to these keys: foreign keys, and relations of either side. */
  #referencesOf({ entity, table, relations }: EntityMeta): readonly Reference[] {
    const references: Reference[] = []
    for (const { columns, targetColumns } of entity[ENTITY].metadata.foreignKeys(table))
      references.push([columns, targetColumns])
    for (const { kind, ownColumns, targetColumns } of relations.values())
      if (kind === 'belongsTo') references.push([ownColumns, targetColumns])
    for (const owner of this.#owners) {
      for (const { kind, target, ownColumns, targetColumns } of owner.relations.values()) {
        const isHeldByKey = kind === 'hasMany' || kind === 'hasOne'
        if (isHeldByKey && metaOf(target).table === table) references.push([targetColumns, ownColumns])
      }
    }
    return references.filter(([, targets]) => targets.some((column) => this.#forms.has(column)))
  }
}
