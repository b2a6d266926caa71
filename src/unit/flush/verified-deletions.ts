/**
 * Locks and reads again, before the flush, rows that are deleted with an owner, if other rows are deleted with them, or new objects get
 * them (row-switch.ts): another session may have moved them to another owner since they were loaded. Then they stay, and the rows that
 * belong to them.
 *
 * The locks keep the order of all flushes (row-locks.ts).
 */
import { selectByKeys, type LoadStatement } from '../../query/key-statements.js'
import type { RawRow } from '../../schema/entity-meta.js'
import type { Table } from '../../schema/table.js'
import { hasDependents } from '../cascade.js'
import type { InstanceState } from '../instance-state.js'
import type { Loader } from '../loader.js'
import { RelationChanges } from '../relation-changes.js'
import type { TrackedInstances } from '../tracked-instances.js'
import { locksAhead } from './row-locks.js'
import { groupBy } from './row-order.js'

export class VerifiedDeletions {
  readonly #tracked: TrackedInstances
  readonly #loader: Loader
  readonly #fetch: (statement: LoadStatement) => Promise<RawRow[]>
  readonly #send: (statement: LoadStatement) => Promise<unknown>
  #verified = new Set<InstanceState>()

  constructor(
    tracked: TrackedInstances,
    loader: Loader,
    fetch: (statement: LoadStatement) => Promise<RawRow[]>,
    send: (statement: LoadStatement) => Promise<unknown>,
  ) {
    this.#tracked = tracked
    this.#loader = loader
    this.#fetch = fetch
    this.#send = send
  }

  /** The next flush is prepared from the start. */
  reset(): void {
    this.#verified = new Set()
  }

  /** Objects whose rows were locked and read for the flush that is being prepared. */
  get verified(): ReadonlySet<InstanceState> {
    return this.#verified
  }

  /**
   * Reads the rows that were not read again yet.
   *
   * @param recalled Tables of which rows are being loaded: theirs wait, because they are to be locked by their keys, and not level by level.
   * @param replaced Objects whose rows new objects get.
   */
  *verify(
    recalled: ReadonlySet<Table>,
    replaced: ReadonlySet<InstanceState>,
  ): Generator<Promise<void>, void, undefined> {
    const { guards, owners } = this.#tracked
    const unsure = [...guards.keys()].filter(
      (state) =>
        !this.#verified.has(state) &&
        !recalled.has(state.meta.table) &&
        (owners.has(state) || replaced.has(state) || hasDependents(state)),
    )
    if (unsure.length === 0) return
    yield this.#lockAhead(new Set(unsure.map(({ meta }) => meta.table)))
    for (const alike of groupBy(unsure, ({ meta }) => meta.table.key)) yield this.#read(alike)
  }

  async #lockAhead(tables: ReadonlySet<Table>): Promise<void> {
    const { holders } = RelationChanges.of(this.#tracked)
    const touched: Parameters<typeof locksAhead>[0][number][] = []
    for (const state of this.#tracked.identities.states()) {
      if (state.markedDeleted || holders.has(state)) touched.push([state, undefined])
      else if (state.changes.length > 0) touched.push([state, state.changes])
    }
    await Promise.all(locksAhead(touched, tables).map(({ statement }) => this.#send(statement)))
  }

  async #read(states: readonly InstanceState[]): Promise<void> {
    const [{ meta }] = states as [InstanceState]
    const keys = states.map(({ key }) => key)
    const { identities } = this.#tracked
    const rows = await this.#fetch(selectByKeys(meta.table, keys))
    const found = new Set(this.#loader.states(meta, rows, identities.revision, 'renew'))
    for (const state of states) {
      this.#verified.add(state)
      if (!found.has(state) && identities.has(state)) this.#tracked.gone(state)
    }
  }
}
