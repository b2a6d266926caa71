/**
 * The changes that the session made to its instances in the transaction, so that a rollback can undo them: one frame for the
 * transaction, and one for each savepoint.
 */
import type { Identity, Snapshot } from '../schema/entity-meta.js'
import type { TableColumn } from '../schema/table-column.js'
import { DetachedState } from './detached-state.js'
import { unset, type KeySetting } from './flush/contract.js'
import type { IdentityMap } from './identity-map.js'
import type { Attachment, InstanceState } from './instance-state.js'
import { unload } from './relation-values.js'

/** Columns that PostgreSQL or the flush has filled in for new objects. */
interface Filled {
  readonly states: readonly InstanceState[]
  readonly columns: readonly TableColumn[]
  /** Their values from before, in the order of the columns. Default: none. */
  readonly given?: ReadonlyMap<InstanceState, readonly unknown[]> | undefined
}

/** An object that left the identity map: its row was deleted, got another key, or was not found. */
interface Departure {
  readonly state: InstanceState
  readonly identity: Identity | undefined
  /** True if the object was detached, because its row was not found or another object has its key. */
  readonly isDetached: boolean
}

interface Frame {
  /** The revision of the identity map at which it began. */
  readonly since: number
  /** New objects that were added, flushed or not. */
  readonly added: Set<InstanceState>
  /** Detached objects that were added, as they were then. */
  readonly attached: Map<InstanceState, DetachedState>
  readonly inserted: Set<InstanceState>
  readonly filled: Filled[]
  /** Foreign keys that relations have set: a new object gets them back as they were given. */
  readonly settings: KeySetting[]
  /** Objects whose row was changed, with their snapshots from before. */
  readonly updated: Map<InstanceState, Snapshot>
  /** Objects whose row was deleted. */
  readonly deleted: Set<InstanceState>
  /** In the order in which it happened. */
  readonly departures: Departure[]
  /** Objects that were marked for deletion. */
  readonly markedDeleted: Set<InstanceState>
  /** Objects that were loaded or renewed; only in savepoints: the end of a transaction expires all objects. */
  readonly loaded: Set<InstanceState>
  /** Relations that were loaded; only in savepoints. */
  readonly relations: Map<InstanceState, Set<string>>
}

/** The changes of a transaction whose COMMIT was queued. */
export interface Sealed {
  readonly frames: readonly Frame[]
  /** True if a ROLLBACK was queued after that COMMIT. */
  rollbackFollows: boolean
}

export class Journal {
  /** The frames of the open transaction. */
  readonly #frames: Frame[] = []
  readonly #sealed: Set<Sealed> = new Set()

  /** Number of open savepoints. */
  get depth(): number {
    return Math.max(0, this.#frames.length - 1)
  }

  /** True if the open transaction has changed nothing. */
  get empty(): boolean {
    return this.#frames.length === 0
  }

  get #top(): Frame {
    let top = this.#frames[this.#frames.length - 1]
    if (top === undefined) {
      top = newFrame()
      this.#frames.push(top)
    }
    return top
  }

  added(state: InstanceState): void {
    this.#top.added.add(state)
  }

  /** A detached object is about to be added. */
  attached(state: InstanceState): void {
    // An object that left the identity map returns to it.
    const hasLeft = this.#frames.some(({ departures }) => departures.some((one) => one.state === state))
    if (!hasLeft) this.#top.attached.set(state, new DetachedState(state))
  }

  markedDeleted(state: InstanceState): void {
    this.#top.markedDeleted.add(state)
  }

  inserted(state: InstanceState): void {
    this.#top.inserted.add(state)
  }

  /** PostgreSQL or the flush has filled in columns of new objects, which were inserted or added together. */
  filled(states: readonly InstanceState[], columns: readonly TableColumn[]): void {
    const [first] = states
    if (first === undefined) return
    const given = givenOf(states, columns)
    let frame: Frame | undefined
    for (const { frames } of [...this.#sealed, { frames: this.#frames }])
      frame = frames.findLast(({ inserted }) => inserted.has(first)) ?? frame
    // Without one they are not inserted yet, or are committed.
    if (frame !== undefined) frame.filled.push({ states, columns, given })
    else if (first.status === 'pending') this.#top.filled.push({ states, columns, given })
  }

  /** A flush has set foreign keys. */
  set(settings: readonly KeySetting[]): void {
    for (const setting of settings) this.#top.settings.push(setting)
  }

  updated(state: InstanceState, before: Snapshot): void {
    const { updated } = this.#top
    if (!updated.has(state)) updated.set(state, before)
  }

  deleted(state: InstanceState): void {
    this.#top.deleted.add(state)
  }

  /** The row of an object still exists although it was to be deleted. */
  stayed(state: InstanceState): void {
    for (const { frames } of this.#sealed) for (const frame of frames) frame.deleted.delete(state)
    for (const frame of this.#frames) frame.deleted.delete(state)
  }

  /** An object leaves the identity map. */
  departed(state: InstanceState, { isDetached = false }: Partial<Pick<Departure, 'isDetached'>> = {}): void {
    this.#top.departures.push({ state, identity: state.identity, isDetached })
  }

  /**
   * Where to note the objects that a query has loaded or renewed. If the query was queued inside a savepoint, they expire with its
   * rollback. Undefined if it was queued outside of every savepoint.
   */
  loads(revision: number): Pick<Frame, 'loaded' | 'relations'> | undefined {
    for (let index = this.#frames.length - 1; index > 0; index--) {
      const frame = this.#frames[index] as Frame
      if (frame.since <= revision) return frame
    }
    return undefined
  }

  /** A savepoint begins. */
  enter(revision: number): void {
    if (this.#frames.length === 0) this.#frames.push(newFrame())
    this.#frames.push(newFrame(revision))
  }

  /** The revision at which the savepoint inside `depth` others began; undefined if there is none. */
  since(depth: number): number | undefined {
    return this.#frames[depth + 1]?.since
  }

  /** The savepoints deeper than `depth` were released: their changes belong to the savepoint around them. */
  release(depth: number): void {
    while (this.depth > depth) {
      const inner = this.#frames.pop() as Frame
      const outer = this.#top
      for (const state of inner.added) outer.added.add(state)
      for (const [state, given] of inner.attached)
        if (!outer.attached.has(state)) outer.attached.set(state, given)
      for (const state of inner.inserted) outer.inserted.add(state)
      outer.filled.push(...inner.filled)
      outer.settings.push(...inner.settings)
      for (const [state, before] of inner.updated)
        if (!outer.updated.has(state)) outer.updated.set(state, before)
      for (const state of inner.deleted) outer.deleted.add(state)
      outer.departures.push(...inner.departures)
      for (const state of inner.markedDeleted) outer.markedDeleted.add(state)
      if (this.depth === 0) continue
      for (const state of inner.loaded) outer.loaded.add(state)
      for (const [state, names] of inner.relations) for (const name of names) noteRelation(outer, state, name)
    }
  }

  /** COMMIT was queued: later changes belong to the next transaction. */
  seal(): Sealed {
    const sealed = { frames: this.#frames.splice(0), rollbackFollows: false }
    this.#sealed.add(sealed)
    return sealed
  }

  /** Whether the open transaction has stored the row of an object. */
  hasStored(state: InstanceState): boolean {
    return this.#frames.some(({ inserted, updated }) => inserted.has(state) || updated.has(state))
  }

  /** The sealed changes are committed. @returns the objects whose rows were deleted. */
  committed(sealed: Sealed): InstanceState[] {
    this.#sealed.delete(sealed)
    const all: InstanceState[] = []
    for (const { deleted } of sealed.frames) for (const state of deleted) all.push(state)
    return all
  }

  /** COMMIT has failed: the next rollback undoes the sealed changes. If a rollback was queued after the COMMIT, it undoes them now. */
  failed(sealed: Sealed, identities: IdentityMap, attachment: Attachment): Set<InstanceState> {
    this.#sealed.delete(sealed)
    if (sealed.rollbackFollows) return undo(sealed.frames, identities, attachment)
    this.#frames.unshift(...sealed.frames)
    return new Set()
  }

  /**
   * Undoes the changes in the savepoints deeper than `depth`; -1 undoes the transaction.
   * @returns the objects with a row whose values must expire.
   */
  rollback(depth: number, identities: IdentityMap, attachment: Attachment): Set<InstanceState> {
    if (depth < 0) for (const sealed of this.#sealed) sealed.rollbackFollows = true
    return undo(this.#frames.splice(depth + 1), identities, attachment)
  }
}

/** A relation of an object was loaded. */
export function noteRelation(frame: Pick<Frame, 'relations'>, state: InstanceState, name: string): void {
  const names = frame.relations.get(state)
  if (names === undefined) frame.relations.set(state, new Set([name]))
  else names.add(name)
}

/**
 * New objects become transient again, without their server-generated values. Detached objects are restored as they were added.
 * Deleted objects become persistent again, and objects that left the identity map return to it. Expunged objects stay detached:
 * they may be in another session by now.
 */
function undo(frames: readonly Frame[], identities: IdentityMap, attachment: Attachment): Set<InstanceState> {
  const expiring = new Set<InstanceState>()
  for (const frame of [...frames].reverse()) undoFrame(frame, identities, attachment, expiring)
  unset(frames.flatMap(({ settings }) => settings).filter(isTransient))
  return expiring
}

/** @param expiring Receives the objects with a row whose values must expire. */
function undoFrame(
  frame: Frame,
  identities: IdentityMap,
  attachment: Attachment,
  expiring: Set<InstanceState>,
): void {
  const isOwn = (state: InstanceState): boolean => state.attachment === attachment
  const isElsewhere = (state: InstanceState): boolean => state.attachment !== undefined && !isOwn(state)
  for (const state of frame.added) {
    if (state.status === 'pending' && isOwn(state)) state.become('transient', undefined)
  }
  // In reverse: an allocated key may have been returned later in another form.
  for (const { states, columns, given } of [...frame.filled].reverse()) {
    for (const state of states) {
      if (isElsewhere(state) || Object.isFrozen(state.instance)) continue
      const values = given?.get(state)
      for (const [index, { property }] of columns.entries()) state.instance[property] = values?.[index]
    }
  }
  for (const state of frame.inserted) {
    identities.remove(state)
    if (!isElsewhere(state)) undoInsert(state)
    expiring.delete(state)
  }
  for (const [state, before] of frame.updated) {
    if (frame.inserted.has(state) || isElsewhere(state)) continue
    state.snapshot = before
    if (isOwn(state)) expiring.add(state)
  }
  // In reverse, so that the object that had a key first gets it back.
  for (const { state, identity, isDetached } of [...frame.departures].reverse()) {
    // Without a snapshot it has no row: two new objects had the same key.
    if (frame.inserted.has(state) || isElsewhere(state) || state.snapshot === undefined) continue
    identities.remove(state)
    state.identity = identity
    if (!isDetached && !isOwn(state)) continue
    state.become('persistent', attachment)
    expiring.add(state)
    const other = identities.add(state)
    // Its row was inserted by the transaction that is rolled back.
    if (other !== undefined) other.become('detached', undefined)
  }
  for (const state of frame.loaded) if (isOwn(state) && identities.has(state)) expiring.add(state)
  for (const [state, names] of frame.relations) {
    if (isOwn(state)) for (const name of names) unload(state, name)
  }
  for (const state of frame.markedDeleted) state.markedDeleted = false
  for (const [state, given] of frame.attached) {
    if (isElsewhere(state)) continue
    identities.remove(state)
    given.restore()
    expiring.delete(state)
  }
}

/** The assigned values of new objects in columns that PostgreSQL stores in another form; undefined if there are none. */
function givenOf(states: readonly InstanceState[], columns: readonly TableColumn[]): Filled['given'] {
  const isGiven = ({ snapshot }: InstanceState, { index }: TableColumn): boolean =>
    snapshot?.[index] !== undefined
  const [first] = states
  if (first === undefined || !columns.some((column) => isGiven(first, column))) return undefined
  return new Map(
    states.map((state) => [
      state,
      columns.map((column) => (isGiven(state, column) ? state.value(column) : undefined)),
    ]),
  )
}

function newFrame(since = 0): Frame {
  return {
    since,
    added: new Set(),
    attached: new Map(),
    inserted: new Set(),
    filled: [],
    settings: [],
    updated: new Map(),
    deleted: new Set(),
    departures: [],
    markedDeleted: new Set(),
    loaded: new Set(),
    relations: new Map(),
  }
}

function isTransient({ state: { snapshot, attachment, instance } }: KeySetting): boolean {
  return snapshot === undefined && attachment === undefined && !Object.isFrozen(instance)
}

function undoInsert(state: InstanceState): void {
  const { instance, meta } = state
  for (const column of state.expiredColumns) instance[column.property] = state.value(column)
  state.become('transient', undefined)
  state.insertGeneration++
  const { version } = meta.table
  if (version !== undefined && !Object.isFrozen(instance)) instance[version.property] = 1
  state.identity = undefined
  state.snapshot = undefined
  state.relations = undefined
  state.expired = undefined
  state.markedDeleted = false
}
