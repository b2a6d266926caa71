/** The identity map: at most one instance for each row. */
import type { EntityMeta, Identity } from '../schema/entity-meta.js'
import type { Table } from '../schema/table.js'
import type { InstanceState } from './instance-state.js'

/** The instances of one table. */
export type TableIdentities = Map<Identity, InstanceState>

/** Instances that are looked at one by one, and not copied: a session may hold very many. */
export interface States {
  forEach(call: (state: InstanceState) => void): void
}

/** A property of instances by which a flush finds the tables that it has to look at. */
export type Trait = 'relations' | 'hooks'

interface Entry {
  readonly identities: TableIdentities
  /** Instances that left the map because their row was deleted or got another key. */
  readonly left: TableIdentities
  /** The traits that some of the instances have. */
  readonly traits: Set<Trait>
}

/** The revisions of a transaction or savepoint that was rolled back. */
interface Undone {
  readonly since: number
  readonly until: number
}

// After this many rollbacks, every query that was queued before the oldest one has been answered.
const MOST_UNDONE = 32

export class IdentityMap {
  readonly #tables = new Map<Table, Entry>()
  /** Counts the flushes. The rows of a query that was queued at one revision do not contain later flushes. */
  revision = 0
  readonly #undone: Undone[] = []

  /** The instances of a table. */
  of(meta: EntityMeta): TableIdentities {
    let entry = this.#tables.get(meta.table)
    if (entry === undefined) {
      entry = { identities: new Map(), left: new Map(), traits: new Set() }
      this.#tables.set(meta.table, entry)
    }
    if (meta.relationNames.length > 0) entry.traits.add('relations')
    if (meta.hasHooks) entry.traits.add('hooks')
    return entry.identities
  }

  /** Adds an instance under its key. @returns the instance that had this key before. */
  add(state: InstanceState): InstanceState | undefined {
    if (state.identity === undefined) return undefined
    const identities = this.of(state.meta)
    const before = identities.get(state.identity)
    identities.set(state.identity, state)
    return before === state ? undefined : before
  }

  /** Whether an instance is in the map under its key. */
  has(state: InstanceState): boolean {
    return state.identity !== undefined && this.of(state.meta).get(state.identity) === state
  }

  /** Removes an instance, if it is still the one with its key. */
  remove(state: InstanceState): void {
    if (state.identity !== undefined && this.has(state)) this.of(state.meta).delete(state.identity)
  }

  /** Removes an instance whose row does not have this key any more. */
  leave(state: InstanceState): void {
    const { identity, meta } = state
    if (identity === undefined || !this.has(state)) return
    this.remove(state)
    this.#tables.get(meta.table)?.left.set(identity, state)
  }

  /** The instance of a row that was read at a revision, if it has left the map since. */
  leftSince(revision: number, meta: EntityMeta, identity: Identity): InstanceState | undefined {
    const state = this.#tables.get(meta.table)?.left.get(identity)
    return state !== undefined && state.revision > revision ? state : undefined
  }

  /**
   * ROLLBACK was queued: rows that were read before it belong to the rolled back transaction or savepoint, and are ignored.
   * @param since The revision at which the savepoint began.
   */
  rolledBack(since = 0): void {
    this.#undone.push({ since, until: ++this.revision })
    if (this.#undone.length > MOST_UNDONE) this.#undone.shift()
  }

  isRolledBack(revision: number): boolean {
    return this.#undone.some(({ since, until }) => since <= revision && revision < until)
  }

  /** The transaction has ended, so no running query can still return rows that it has deleted. */
  forgetLeft(): void {
    for (const { left } of this.#tables.values()) left.clear()
  }

  /** Every instance, by table, in the order in which they came; or those of tables some of whose instances have a trait. */
  states(trait?: Trait): InstanceState[] {
    const byTable: InstanceState[][] = []
    for (const { identities, traits } of this.#tables.values()) {
      if (trait === undefined || traits.has(trait)) byTable.push([...identities.values()])
    }
    return byTable.length === 1 ? (byTable[0] as InstanceState[]) : byTable.flat()
  }

  /** The instances for which the function returns true. Each flush asks, so the others are not copied. */
  filter(isMeant: (state: InstanceState) => boolean): InstanceState[] {
    const meant: InstanceState[] = []
    this.forEach((state) => {
      if (isMeant(state)) meant.push(state)
    })
    return meant
  }

  /** Calls a function with every instance, by table, in the order in which they came. */
  forEach(call: (state: InstanceState) => void): void {
    for (const { identities } of this.#tables.values()) for (const state of identities.values()) call(state)
  }

  /** The instances with relations. Each flush asks several times, and most sessions have none. */
  related(): InstanceState[] {
    const related: InstanceState[] = []
    for (const { identities, traits } of this.#tables.values()) {
      if (!traits.has('relations')) continue
      for (const state of identities.values())
        if (state.markedDeleted || state.holdsRelation) related.push(state)
    }
    return related
  }

  get empty(): boolean {
    for (const { identities } of this.#tables.values()) if (identities.size > 0) return false
    return true
  }

  clear(): void {
    // One by one: `clear()` leaves the old table to the garbage collector. If that table is in the old generation, it keeps its
    // entries alive until the next full collection.
    for (const { identities, left } of this.#tables.values()) {
      identities.clear()
      left.clear()
    }
    this.#tables.clear()
  }
}
