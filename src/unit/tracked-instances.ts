/** The instances that a session tracks: which are new or marked for deletion, and how commit and rollback change them. */
import { IllegalStateError } from '../errors.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import { requireAttachable, requireOwn } from './attachable.js'
import { addedWith, newWith, noteAdopted, requireAllAttached, reattachedWith } from './cascade.js'
import { IdentityMap } from './identity-map.js'
import type { Attachment, InstanceState } from './instance-state.js'
import { Journal, type Sealed } from './journal.js'
import { expire } from './loader.js'
import { hasChanged, isTouched } from './relation-values.js'

/** Values that a row must still hold to be deleted: otherwise another session has given it another owner. */
export type Guard = ReadonlyMap<TableColumn, EncodedText>

/** Objects that are deleted, each with its guard; undefined: the values of the row are not compared. */
export type Deletions = ReadonlyMap<InstanceState, Guard | undefined>

export class TrackedInstances implements Attachment {
  closed = false
  readonly hidesValues: boolean
  readonly identities: IdentityMap = new IdentityMap()
  readonly journal: Journal = new Journal()
  /** New objects, in the order of `add`. */
  readonly pending: Set<InstanceState> = new Set()
  /** Arguments of `add`: the flush decides whether a new one of them goes with a deleted owner, and not the call of `delete`. */
  readonly given: Set<InstanceState> = new Set()
  /** New objects of the open transaction that were taken out, or rolled back with a savepoint: their keys lead to nothing. */
  readonly dropped: Set<InstanceState> = new Set()
  /** Objects whose rows are being inserted and whose keys are unknown until the promise has settled. */
  readonly awaitingKeys: Map<Promise<void>, readonly InstanceState[]> = new Map()
  /** Objects to delete: the arguments of `delete`, and the objects that are deleted with them as far as they are settled. */
  readonly markedDeleted: Set<InstanceState> = new Set()
  /** The arguments of `delete`, with the number of the call. */
  readonly roots: Map<InstanceState, number> = new Map()
  /**
   * Objects that were added after a `delete`, with the number of the call: they are not deleted with the owners of earlier calls.
   * Infinity: an orphan that is kept.
   */
  readonly spared: Map<InstanceState, number> = new Map()
  /** Counts the calls of `add` and `delete`. */
  #calls = 0
  /** The guards of objects that are deleted with their owners. */
  readonly guards: Map<InstanceState, Guard> = new Map()
  /** Objects that others are deleted with. */
  owners: ReadonlySet<InstanceState> = new Set()
  /** New objects that relations with `delete-orphan` have adopted, with these relations. */
  readonly adopted: Map<InstanceState, Set<Relation>> = new Map()

  constructor(hidesValues: boolean) {
    this.hidesValues = hidesValues
  }

  /** Adds an object and the objects that its relations add: all of them, or none. */
  add(root: InstanceState): void {
    if (this.roots.size > 0) this.spared.set(root, ++this.#calls)
    this.#addWith(root)
    this.given.add(root)
  }

  /** Keeps an orphan. */
  keep(orphan: InstanceState): void {
    this.spared.set(orphan, Infinity)
  }

  /** Adds the objects that were put into relations since the last call. */
  addRelated(): void {
    const related = this.related()
    let isComplete = true
    for (const state of related) {
      if (state.markedDeleted) continue
      for (const member of addedWith(state)) {
        if (this.#tracks(member)) continue
        this.#addWith(member)
        isComplete = false
      }
      noteAdopted(state, this.adopted)
    }
    // Checked last: the other side may have been added after this one.
    for (const state of isComplete ? related : this.related())
      if (!state.markedDeleted) requireAllAttached(state)
  }

  /** Whether there is nothing but values of columns to write: no object holds a relation, and none is deleted. */
  get hasColumnsOnly(): boolean {
    if (this.roots.size + this.markedDeleted.size + this.adopted.size > 0) return false
    for (const state of this.pending) if (state.holdsRelation) return false
    return this.identities.related().length === 0
  }

  /** Objects that may have changed relations, new objects first. */
  related(): InstanceState[] {
    const related: InstanceState[] = []
    for (const state of this.pending) if (state.holdsRelation) related.push(state)
    return related.concat(this.identities.related())
  }

  /** Marks an object for deletion. The next flush settles which related objects are deleted with it. */
  delete(root: InstanceState): void {
    if (root.status === 'deleted') return
    if (root.status === 'transient' || root.status === 'pending') {
      throw new IllegalStateError(
        `This ${root.meta.name} was made with new and has no stored row. To delete a row, get() its object, ` +
          `or run deleteFrom(${root.meta.name}).where(...). If the object was added, remove it with expunge().`,
      )
    }
    this.#markDeleted(root)
    this.roots.set(root, ++this.#calls)
    this.spared.delete(root)
    const taken = new Set([root])
    for (const state of taken) {
      for (const member of newWith(state)) if (!this.given.has(member)) taken.add(member)
      if (state !== root && state.attachment === this) this.expunge(state)
    }
  }

  /** Replaces the objects that the next flush deletes. @param owners Those that others are deleted with. */
  settle(deletions: Deletions, owners: ReadonlySet<InstanceState>): void {
    this.owners = owners
    for (const state of this.markedDeleted) {
      if (deletions.has(state)) continue
      state.markedDeleted = false
      this.markedDeleted.delete(state)
    }
    this.guards.clear()
    for (const [state, guard] of deletions) {
      if (!state.markedDeleted) this.#markDeleted(state)
      if (guard !== undefined) this.guards.set(state, guard)
    }
  }

  /** Detaches an object; its row stays as it is. */
  expunge(state: InstanceState): void {
    requireOwn(this, state)
    this.pending.delete(state)
    this.given.delete(state)
    this.#unmarkDeleted(state)
    this.identities.remove(state)
    if (state.status === 'pending') this.dropped.add(state)
    state.become(state.status === 'pending' ? 'transient' : 'detached', undefined)
  }

  /** The row of an object was not found: detaches the object. */
  gone(state: InstanceState): void {
    this.journal.departed(state, { isDetached: true })
    this.expunge(state)
  }

  /** @throws IllegalStateError unless the object has a row and this session tracks it. */
  requirePersistent(state: InstanceState, what: string): void {
    if (state.status === 'persistent' && state.attachment === this) return
    throw new IllegalStateError(
      `${what} needs an object that was loaded or flushed in this session; this ${state.meta.name} is ${state.status}` +
        (state.attachment !== undefined && state.attachment !== this ? ' in another session' : ''),
    )
  }

  /**
   * A flush was sent for the new objects and those marked for deletion.
   * @param moved Objects whose keys the flush may have changed.
   * @param done Settles when the flush was answered.
   */
  flushed(moved: Iterable<InstanceState>, done: Promise<void>): void {
    const awaitingKeys = [...this.pending, ...moved].filter(({ identity }) => identity === undefined)
    if (awaitingKeys.length > 0) {
      const arrived = (): boolean => this.awaitingKeys.delete(done)
      this.awaitingKeys.set(done, awaitingKeys)
      done.then(arrived, arrived)
    }
    this.pending.clear()
    this.#forgetDeletions()
  }

  /** Objects that have a row, or will have one when a running flush is answered. */
  *persistent(): Generator<InstanceState, void, undefined> {
    yield* this.identities.states()
    for (const states of this.awaitingKeys.values()) {
      for (const state of states) if (this.#tracks(state)) yield state
    }
  }

  /** COMMIT was queued: later changes belong to the next transaction. */
  committing(): Sealed {
    const sealed = this.journal.seal()
    for (const state of this.pending) this.journal.added(state)
    for (const state of this.markedDeleted) this.journal.markedDeleted(state)
    return sealed
  }

  committed(sealed: Sealed, expireAll: boolean): void {
    this.dropped.clear()
    // Objects that left during the next transaction are still needed for its rollback.
    if (this.journal.empty) this.identities.forgetLeft()
    for (const state of this.journal.committed(sealed)) {
      if (state.status !== 'deleted') continue
      state.snapshot = undefined
      state.become('detached', undefined)
    }
    if (!expireAll) return
    for (const state of this.identities.states()) {
      if (!isTouched(state) && !this.journal.hasStored(state)) forget(state)
    }
  }

  commitFailed(sealed: Sealed): void {
    for (const state of this.#tidied(this.journal.failed(sealed, this.identities, this))) forgetUndone(state)
  }

  /** ROLLBACK was queued. Without a transaction, only changes of objects are undone. */
  rolledBack(hadTransaction: boolean): void {
    const expiring = this.#undo(-1)
    this.dropped.clear()
    this.identities.forgetLeft()
    this.identities.rolledBack()
    for (const state of this.identities.states()) {
      if (hadTransaction || expiring.has(state) || isTouched(state)) forgetUndone(state)
    }
  }

  /** A savepoint was rolled back: objects that changed since then expire. */
  rolledBackTo(depth: number): void {
    const since = this.journal.since(depth)
    if (since !== undefined) this.identities.rolledBack(since)
    const held = [...this.pending, ...this.identities.states()]
    const expiring = this.#undo(depth)
    for (const state of held) if (state.status === 'transient') this.dropped.add(state)
    for (const state of this.identities.states()) {
      if (expiring.has(state) || isTouched(state)) forgetUndone(state)
    }
  }

  /** The session is closed. Uncommitted changes are undone; objects that were only read stay as they are. */
  close(): void {
    for (const state of this.#undo(-1)) forget(state)
    this.closed = true
    for (const state of this.markedDeleted) state.markedDeleted = false
    this.pending.clear()
    this.dropped.clear()
    this.#forgetDeletions()
    this.identities.clear()
  }

  #undo(depth: number): Set<InstanceState> {
    return this.#tidied(this.journal.rollback(depth, this.identities, this))
  }

  /** Removes the marks of objects whose changes were undone. */
  #tidied(expiring: Set<InstanceState>): Set<InstanceState> {
    for (const state of this.pending) if (state.status !== 'pending') this.pending.delete(state)
    for (const state of this.markedDeleted) if (!state.markedDeleted) this.#unmarkDeleted(state)
    if (this.roots.size === 0) this.spared.clear()
    return expiring
  }

  #addWith(root: InstanceState): void {
    if (!root.holdsRelation) {
      requireAttachable(this, root)
      this.#attach(root)
      return
    }
    const reached = new Set([root])
    // Iterating a set includes the elements that are added meanwhile.
    for (const state of reached) {
      // Related objects of a tracked object were added with it, or are added by the flush: each graph is visited once.
      const isOld = state !== root && this.#tracks(state)
      requireAttachable(this, state)
      if (isOld || !state.holdsRelation) continue
      for (const member of addedWith(state)) reached.add(member)
      for (const member of reattachedWith(state)) {
        // If the session holds the same row already, the object is needed only for its changes.
        if (!this.holdsRowOf(member) || hasChanged(member)) reached.add(member)
      }
    }
    for (const state of reached) this.#attach(state)
    for (const state of reached) if (state.holdsRelation) noteAdopted(state, this.adopted)
  }

  #markDeleted(state: InstanceState): void {
    if (state.status === 'detached') {
      requireAttachable(this, state)
      this.#attach(state)
    }
    requireOwn(this, state)
    state.meta.table.requireWritable('objects')
    state.markedDeleted = true
    this.markedDeleted.add(state)
    this.journal.markedDeleted(state)
  }

  #unmarkDeleted(state: InstanceState): void {
    state.markedDeleted = false
    this.markedDeleted.delete(state)
    this.roots.delete(state)
    this.guards.delete(state)
  }

  #forgetDeletions(): void {
    // Usually all are empty, and `clear()` makes a new table even then.
    for (const all of [this.given, this.markedDeleted, this.roots, this.spared, this.guards, this.adopted])
      if (all.size > 0) all.clear()
  }

  /** Whether the session has an object for the same row. */
  holdsRowOf({ meta, identity }: InstanceState): boolean {
    return identity !== undefined && this.identities.of(meta).has(identity)
  }

  #tracks(state: InstanceState): boolean {
    return state.attachment === this && state.status !== 'deleted'
  }

  #attach(state: InstanceState): void {
    switch (state.status) {
      case 'transient':
        this.pending.add(state)
        this.dropped.delete(state)
        this.journal.added(state)
        state.become('pending', this)
        return
      case 'detached':
        this.journal.attached(state)
        state.become('persistent', this)
        this.identities.add(state)
        return
      default:
        this.#unmarkDeleted(state)
    }
  }
}

/** Expires an object after a rollback. Its version is unknown, too: it may have been read from a row that was rolled back. */
function forgetUndone(state: InstanceState): void {
  forget(state)
  const { meta, snapshot, expired } = state
  const { version } = meta.table
  if (version === undefined || snapshot === undefined || expired !== 'all') return
  state.snapshot = snapshot.with(version.index, undefined)
}

/** Expires an object. A frozen object keeps its values: it is read-only. */
function forget(state: InstanceState): void {
  if (!Object.isFrozen(state.instance)) expire(state)
}
