/** Helpers for the caller's signals: listening, refusing, and the resulting error. */
import { setMaxListeners } from 'node:events'
import { AbortedError } from '../errors.js'
import type { Unsubscribe } from './emitter.js'

/** The error of an aborted call. */
export function abortedBy(signal: AbortSignal): AbortedError {
  return new AbortedError('The operation was aborted', { cause: signal.reason })
}

/** @throws AbortedError if the signal has fired. */
export function requireNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedBy(signal)
}

/** Calls the listener once, when the signal fires; returns what takes it off again. */
export function onAbort(signal: AbortSignal, listener: () => void): Unsubscribe {
  // Many may listen to one signal, and each takes its listener away when it is done: not the leak that Node warns of.
  setMaxListeners(0, signal)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

/** The promise, or the rejection with the signal's reason if that fires first. */
export function orAbort<Value>(promise: Value | Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, () => reject(abortedBy(signal)))
    Promise.resolve(promise).then(resolve, reject).finally(off)
  })
}
