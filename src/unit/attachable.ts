/** Which objects a session may track: refuses those of other sessions, and those without a row to come. */
import { IllegalStateError } from '../errors.js'
import type { Attachment, InstanceState } from './instance-state.js'

/** The session that an object is added to. */
export interface Host extends Attachment {
  /** Objects whose rows are being inserted and whose keys are unknown until the promise has settled. */
  readonly awaitingKeys: ReadonlyMap<Promise<void>, readonly InstanceState[]>
  /** Whether it has an object for the same row. */
  holdsRowOf(state: InstanceState): boolean
}

/** @throws IllegalStateError if the session cannot take an object; MappingError if its table cannot be written. */
export function requireAttachable(host: Host, state: InstanceState): void {
  const { meta, status, identity, snapshot } = state
  if (status === 'transient') {
    meta.table.requireWritable('objects')
    return
  }
  if (status === 'pending' || status === 'persistent') {
    requireOwn(host, state)
  } else if (status === 'deleted') {
    throw new IllegalStateError(
      `This ${meta.name} was deleted in this transaction; to store it again, roll back, or make a new object`,
    )
  } else if (snapshot === undefined) {
    throw new IllegalStateError(
      `The row of this ${meta.name} was deleted; to store it again, make a new object`,
    )
  } else if (identity === undefined) {
    if ([...host.awaitingKeys.values()].some((states) => states.includes(state))) return
    throw new IllegalStateError(
      `This ${meta.name} is being stored by the session that it was expunged from: await that flush before you add it here`,
    )
  } else if (host.holdsRowOf(state)) {
    throw new IllegalStateError(
      `The session holds another ${meta.name} with the same key: use merge() to copy the values of this one`,
    )
  }
}

/** @throws IllegalStateError unless an object is in the session. */
export function requireOwn(host: Attachment, state: InstanceState): void {
  if (state.attachment === host) return
  throw new IllegalStateError(
    state.attachment === undefined
      ? `This ${state.meta.name} is ${state.status}: it is in no session`
      : `This ${state.meta.name} belongs to another session: expunge() it there, close that session, or merge() it here`,
  )
}
