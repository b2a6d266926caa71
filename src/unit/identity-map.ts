/** The identity map: at most one instance for each row. */
import type { EntityMeta, Identity } from '../schema/entity-meta.js'
import type { Table } from '../schema/table.js'
import type { InstanceState } from './instance-state.js'

/** The instances of one table. */
export type TableIdentities = Map<Identity, InstanceState>

export class IdentityMap {
  readonly #tables = new Map<Table, TableIdentities>()

  /** The instances of a table. */
  of({ table }: EntityMeta): TableIdentities {
    let identities = this.#tables.get(table)
    if (identities === undefined) {
      identities = new Map()
      this.#tables.set(table, identities)
    }
    return identities
  }

  /** Puts an instance in its place. */
  add(state: InstanceState): void {
    if (state.identity !== undefined) this.of(state.meta).set(state.identity, state)
  }

  /** Takes an instance out, if the place is still its own. */
  remove(state: InstanceState): void {
    if (state.identity === undefined) return
    const identities = this.of(state.meta)
    if (identities.get(state.identity) === state) identities.delete(state.identity)
  }

  /** Every instance, by table, in the order in which they came. */
  *states(): Generator<InstanceState, void, undefined> {
    for (const identities of this.#tables.values()) yield* identities.values()
  }

  get empty(): boolean {
    for (const { size } of this.#tables.values()) if (size > 0) return false
    return true
  }

  clear(): void {
    this.#tables.clear()
  }
}
