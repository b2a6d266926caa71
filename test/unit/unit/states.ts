/** Instances as a session would know them, without a session. */
import type { Attachment, InstanceState, InstanceStatus } from '../../../src/unit/instance-state.js'
import { stateOf } from '../../../src/unit/instance-state.js'

/** What stands for the session. */
export const SESSION: Attachment = { closed: false, hidesValues: false }

/** A new object that was added. */
export function pending(instance: object): InstanceState {
  const state = stateOf(instance)
  state.become('pending', SESSION)
  return state
}

/** An object whose row holds what it holds now. */
export function persistent(instance: object, status: InstanceStatus = 'persistent'): InstanceState {
  const state = stateOf(instance)
  const { meta } = state
  state.snapshot = meta.table.columns.map((column) => column.snapshot(state.instance[column.property]))
  state.identity = meta.identityOfStored(state.snapshot)
  state.become(status, status === 'persistent' ? SESSION : undefined)
  return state
}
