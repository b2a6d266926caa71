/**
 * Handles Submittables that send messages after their exchange has ended, or on a lost connection: pg-cursor closes a portal that no
 * longer exists, and waits for ReadyForQuery. Between the messages of a batch this would break the protocol, so nothing is sent, and
 * the Submittable gets the answer that it waits for.
 */
import type { EventEmitter } from 'node:events'

/**
 * Emits ReadyForQuery to the listeners that wait for it, except the first: that is node-postgres's client, which would take it for
 * the end of its query.
 */
export function tellWaiting(connection: EventEmitter): void {
  process.nextTick(() => {
    const [, ...others] = connection.rawListeners('readyForQuery')
    for (const listener of others) (listener as (message: object) => void).call(connection, READY)
  })
}

const READY = { name: 'readyForQuery', status: '' }
