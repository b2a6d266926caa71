/**
 * What the session did to its instances in the transaction, so that a rollback can undo it: one frame for the
 * transaction, and one for each savepoint.
 */
import type { Snapshot } from '../schema/entity-meta.js'
import type { TableColumn } from '../schema/table-column.js'
import type { IdentityMap } from './identity-map.js'
import type { Attachment, InstanceState } from './instance-state.js'

/** Columns that PostgreSQL, or the flush in its name, filled in for new objects. */
interface Filled {
  readonly states: readonly InstanceState[]
  readonly columns: readonly TableColumn[]
}

interface Frame {
  /** The revision of the identity map at which it began. */
  readonly since: number
  /** Objects that were added, flushed or not. */
  readonly added: Set<InstanceState>
  readonly inserted: Set<InstanceState>
  readonly filled: Filled[]
  /** Objects whose row was changed, with what was stored before. */
  readonly updated: Map<InstanceState, Snapshot>
  /** Objects whose row was deleted. */
  readonly deleted: Set<InstanceState>
  /** Objects that the session follows no more, as another one has their key. */
  readonly displaced: Set<InstanceState>
  /** Objects that `delete` was called for. */
  readonly doomed: Set<InstanceState>
}

/** What a transaction did whose COMMIT is on its way. */
export interface Sealed {
  readonly frames: readonly Frame[]
  /** ROLLBACK is on its way behind that COMMIT. */
  rollbackFollows: boolean
}

export class Journal {
  /** Of the transaction that is open. */
  readonly #frames: Frame[] = []
  readonly #sealed: Set<Sealed> = new Set()

  /** Frames of savepoints that are open. */
  get depth(): number {
    return Math.max(0, this.#frames.length - 1)
  }

  /** Nothing has happened in the transaction that is open. */
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

  doomed(state: InstanceState): void {
    this.#top.doomed.add(state)
  }

  inserted(state: InstanceState): void {
    this.#top.inserted.add(state)
  }

  /** Columns of new objects were filled in that were inserted, or added, together. */
  filled(states: readonly InstanceState[], columns: readonly TableColumn[]): void {
    const [first] = states
    if (first === undefined) return
    const frames = [...[...this.#sealed].flatMap((sealed) => sealed.frames), ...this.#frames]
    const frame = frames.findLast(({ inserted }) => inserted.has(first))
    // Without one they are not inserted yet, or are committed.
    if (frame !== undefined) frame.filled.push({ states, columns })
    else if (first.status === 'pending') this.#top.filled.push({ states, columns })
  }

  updated(state: InstanceState, before: Snapshot): void {
    const { updated } = this.#top
    if (!updated.has(state)) updated.set(state, before)
  }

  deleted(state: InstanceState): void {
    this.#top.deleted.add(state)
  }

  displaced(state: InstanceState): void {
    this.#top.displaced.add(state)
  }

  /** A savepoint begins. */
  enter(revision: number): void {
    if (this.#frames.length === 0) this.#frames.push(newFrame())
    this.#frames.push(newFrame(revision))
  }

  /** The revision at which the savepoint began that `depth` others are around; undefined if there is none. */
  since(depth: number): number | undefined {
    return this.#frames[depth + 1]?.since
  }

  /** The savepoints deeper than `depth` were released: what happened in them belongs to the one around them. */
  release(depth: number): void {
    while (this.depth > depth) {
      const inner = this.#frames.pop() as Frame
      const outer = this.#top
      for (const state of inner.added) outer.added.add(state)
      for (const state of inner.inserted) outer.inserted.add(state)
      outer.filled.push(...inner.filled)
      for (const [state, before] of inner.updated)
        if (!outer.updated.has(state)) outer.updated.set(state, before)
      for (const state of inner.deleted) outer.deleted.add(state)
      for (const state of inner.displaced) outer.displaced.add(state)
      for (const state of inner.doomed) outer.doomed.add(state)
    }
  }

  /** COMMIT is on its way: what happens from now on belongs to the next transaction. */
  seal(): Sealed {
    const sealed = { frames: this.#frames.splice(0), rollbackFollows: false }
    this.#sealed.add(sealed)
    return sealed
  }

  /** Whether the open transaction has stored the row of an object. */
  hasStored(state: InstanceState): boolean {
    return this.#frames.some(({ inserted, updated }) => inserted.has(state) || updated.has(state))
  }

  /** What was sealed is committed. @returns the objects whose rows are gone. */
  committed(sealed: Sealed): InstanceState[] {
    this.#sealed.delete(sealed)
    return sealed.frames.flatMap(({ deleted }) => [...deleted])
  }

  /** COMMIT has failed: the rollback that is to come undoes what was sealed. One that was given behind it has undone it. */
  failed(sealed: Sealed, identities: IdentityMap, attachment: Attachment): Set<InstanceState> {
    this.#sealed.delete(sealed)
    if (sealed.rollbackFollows) return undo(sealed.frames, identities, attachment)
    this.#frames.unshift(...sealed.frames)
    return new Set()
  }

  /**
   * Undoes what happened in the savepoints deeper than `depth`; -1 undoes the transaction.
   * @returns the objects that exist, but whose values are not known any more.
   */
  rollback(depth: number, identities: IdentityMap, attachment: Attachment): Set<InstanceState> {
    if (depth < 0) for (const sealed of this.#sealed) sealed.rollbackFollows = true
    return undo(this.#frames.splice(depth + 1), identities, attachment)
  }
}

/**
 * New objects become transient again, without what PostgreSQL had filled in. Deleted ones come back. What was expunged stays
 * away, and belongs to another session by now, perhaps.
 */
function undo(frames: readonly Frame[], identities: IdentityMap, attachment: Attachment): Set<InstanceState> {
  const unknown = new Set<InstanceState>()
  const isOwn = (state: InstanceState): boolean => state.attachment === attachment
  const isElsewhere = (state: InstanceState): boolean => state.attachment !== undefined && !isOwn(state)
  for (const frame of [...frames].reverse()) {
    for (const state of frame.added) {
      if (state.status === 'pending' && isOwn(state)) state.become('transient', undefined)
    }
    for (const { states, columns } of frame.filled) {
      for (const state of states) {
        if (isElsewhere(state) || Object.isFrozen(state.instance)) continue
        for (const { property } of columns) state.instance[property] = undefined
      }
    }
    for (const state of frame.inserted) {
      identities.remove(state)
      if (!isElsewhere(state)) undoInsert(state)
      unknown.delete(state)
    }
    for (const [state, before] of frame.updated) {
      if (frame.inserted.has(state) || isElsewhere(state)) continue
      identities.remove(state)
      state.snapshot = before
      state.identity = state.meta.identityOfStored(before)
      if (isOwn(state)) unknown.add(state)
    }
    for (const state of frame.deleted) if (!frame.inserted.has(state) && isOwn(state)) unknown.add(state)
    for (const state of unknown) {
      state.become('persistent', attachment)
      identities.add(state)
    }
    for (const state of frame.displaced) {
      // Two new objects with one key: neither has a row.
      if (isElsewhere(state) || state.snapshot === undefined) continue
      state.become('persistent', attachment)
      identities.add(state)
    }
    for (const state of frame.doomed) state.doomed = false
  }
  return unknown
}

function newFrame(since = 0): Frame {
  return {
    since,
    added: new Set(),
    inserted: new Set(),
    filled: [],
    updated: new Map(),
    deleted: new Set(),
    displaced: new Set(),
    doomed: new Set(),
  }
}

function undoInsert(state: InstanceState): void {
  const { instance, meta } = state
  for (const column of state.expiredColumns) instance[column.property] = state.value(column)
  state.become('transient', undefined)
  state.life++
  const { version } = meta.table
  if (version !== undefined && !Object.isFrozen(instance)) instance[version.property] = 1
  state.identity = undefined
  state.snapshot = undefined
  state.relations = undefined
  state.expired = undefined
  state.doomed = false
}
