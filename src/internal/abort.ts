/** Helpers for the caller's signals: listening, refusing, pauses that end early, and the resulting error. */
import { setMaxListeners } from 'node:events'
import { AbortedError } from '../errors.js'
import type { Clock } from './clock.js'
import type { Unsubscribe } from './emitter.js'

/** The error of an aborted call. */
export function abortedBy(signal: AbortSignal): AbortedError {
  return new AbortedError('The operation was aborted', { cause: signal.reason })
}

/** @throws AbortedError if the signal has fired. */
export function requireNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedBy(signal)
}

/** Calls the listener once, when the signal fires; returns a function that removes it. */
export function onAbort(signal: AbortSignal, listener: () => void): Unsubscribe {
  // Many calls may share a signal. Each removes its listener when it is done, so this is not the leak that Node warns of.
  setMaxListeners(0, signal)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

/** Waits for `millis`. If the signal fires, the wait ends early. */
export function pause(clock: Clock, millis: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel()
      off?.()
      resolve()
    }
    const timer = clock.setTimer(end, millis)
    const off = signal && onAbort(signal, end)
  })
}

/** Settles as the promise, or rejects with an AbortedError if the signal fires first. */
export function orAbort<Value>(promise: Value | Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, () => reject(abortedBy(signal)))
    Promise.resolve(promise).then(resolve, reject).finally(off)
  })
}
