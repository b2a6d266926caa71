/**
 * A statement with its own signal or timeout: it is removed from the queue or cancelled when the signal fires or the time is over.
 */
import { abortedBy, onAbort } from '../internal/abort.js'
import type { Clock, Timer } from '../internal/clock.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import type { Operation } from '../pipeline/operation.js'
import { timedOut, type StatementOptions } from './statement-options.js'

/** Calls the operation off when its signal aborts or its time is over. @returns a function that ends the watch. */
export function watch(
  pipeline: Pipeline,
  clock: Clock,
  operation: Operation,
  { signal, timeoutMillis }: StatementOptions,
): (() => void) | undefined {
  if (signal === undefined && timeoutMillis === undefined) return undefined
  operation.cancellable = true
  const unlisten = signal && onAbort(signal, () => pipeline.callOff(operation, abortedBy(signal)))
  let timer: Timer | undefined
  if (timeoutMillis !== undefined) {
    timer = clock.setTimer(
      () => pipeline.callOff(operation, timedOut(operation.text, timeoutMillis)),
      timeoutMillis,
    )
  }
  return () => {
    unlisten?.()
    timer?.cancel()
  }
}

/** Whether a signal or a timeout may call the statement off. */
export function isWatched({ signal, timeoutMillis }: StatementOptions): boolean {
  return signal !== undefined || timeoutMillis !== undefined
}
