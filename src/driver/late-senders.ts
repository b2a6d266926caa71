/**
 * Submittables that send something after their exchange has ended, or on a connection that is lost: pg-cursor closes a portal that is gone, and
 * waits for the server to be ready. Between the messages of a batch it would break the protocol, so nothing is sent. But what waits is told.
 */
import type { EventEmitter } from 'node:events'

/** Tells those that wait for ReadyForQuery, but not node-postgres's client, which would take it for the end of its query. */
export function tellWaiting(connection: EventEmitter): void {
  process.nextTick(() => {
    const [, ...others] = connection.rawListeners('readyForQuery')
    for (const listener of others) (listener as (message: object) => void).call(connection, READY)
  })
}

const READY = { name: 'readyForQuery', status: '' }
