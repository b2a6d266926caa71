/**
 * The state of a detached object when it was added to a session. A rollback restores it, so that changes made before `add` are not
 * lost when the first attempt to store them fails.
 */
import type { Identity, Snapshot } from '../schema/entity-meta.js'
import type { TableColumn } from '../schema/table-column.js'
import type { InstanceState, RememberedRelation } from './instance-state.js'
import { isArray } from '../internal/revoked.js'

interface CopiedValue {
  readonly column: TableColumn
  readonly value: unknown
  /** The encoded value, if it can change in place and can be encoded. */
  readonly snapshot: unknown
  /** The stored text that the value, null, was read from. */
  readonly readFrom: string | undefined
}

export class DetachedState {
  readonly #state: InstanceState
  readonly #identity: Identity | undefined
  readonly #snapshot: Snapshot | undefined
  readonly #expired: InstanceState['expired']
  readonly #expiredColumns: readonly TableColumn[]
  readonly #values: readonly CopiedValue[]
  readonly #remembered: ReadonlyMap<string, RememberedRelation> | undefined
  /** The objects of its relations, with a copy of the arrays. */
  readonly #held: ReadonlyMap<string, readonly [unknown, readonly unknown[] | undefined]>

  constructor(state: InstanceState) {
    const { instance, meta, identity, snapshot, expired, expiredColumns, relations } = state
    this.#state = state
    this.#identity = identity
    this.#snapshot = snapshot && [...snapshot]
    this.#expired = expired
    this.#expiredColumns = expiredColumns
    this.#values = meta.table.columns
      .filter((column) => !expiredColumns.includes(column) && !meta.isMissing(instance, column))
      .map((column) => copiedValue(state, column))
    this.#remembered = relations && new Map(relations)
    const held = meta.relationNames.filter((name) => Object.hasOwn(instance, name))
    this.#held = new Map(
      held.map((name) => {
        const value = instance[name]
        return [name, [value, isArray(value) ? [...value] : undefined]]
      }),
    )
  }

  /** Restores the object; it is detached again. */
  restore(): void {
    const state = this.#state
    const { instance, meta } = state
    state.become('detached', undefined)
    state.identity = this.#identity
    state.snapshot = this.#snapshot
    state.expired = this.#expired
    state.relations = this.#remembered && new Map(this.#remembered)
    state.markedDeleted = false
    // A frozen object has not changed.
    if (Object.isFrozen(instance)) return
    for (const copied of this.#values) {
      const value = restored(copied)
      const { column, readFrom } = copied
      if (column.readsNull) meta.setRead(instance, column, value, readFrom)
      else if (
        meta.isExpired(instance, column) ||
        meta.isMissing(instance, column) ||
        instance[column.property] !== value
      ) {
        meta.set(instance, column, value)
      }
    }
    for (const column of meta.deferredOf(instance)) {
      const isCopied = this.#values.some((copied) => copied.column === column)
      if (!isCopied && !this.#expiredColumns.includes(column)) meta.defer(instance, column)
    }
    meta.expire(instance, this.#expiredColumns)
    for (const name of meta.relationNames) {
      const held = this.#held.get(name)
      if (held === undefined) {
        if (Object.hasOwn(instance, name)) delete instance[name]
        continue
      }
      const [value, members] = held
      if (members !== undefined && !Object.isFrozen(value)) {
        ;(value as unknown[]).splice(0, Infinity, ...members)
      }
      instance[name] = value
    }
  }
}

function copiedValue({ instance, meta }: InstanceState, column: TableColumn): CopiedValue {
  const value = instance[column.property]
  const readFrom = meta.nullReads.textOf(instance, column)
  if (!column.mutable || typeof value !== 'object') return { column, value, snapshot: undefined, readFrom }
  try {
    return { column, value, snapshot: column.snapshot(value), readFrom }
  } catch {
    // It cannot be encoded: the flush throws the error.
    return { column, value, snapshot: undefined, readFrom }
  }
}

function restored({ column, value, snapshot }: CopiedValue): unknown {
  if (snapshot === undefined || snapshot === null || !column.hasChanged(value, snapshot)) return value
  return column.restore(snapshot)
}
