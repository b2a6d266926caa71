/** Calls callbacks and settles promises as pg does. */
import type { Callback } from './query-arguments.js'
import type { Settle } from './sent-query.js'

/** What a callback throws ends the process, as in pg, and not the connection or the pool. */
export function guarded(call: () => void): void {
  try {
    call()
  } catch (thrown) {
    process.nextTick(() => {
      throw thrown
    })
  }
}

/** Calls the callback of a query. @param success The error where there is none: pg's clients say null, its pools undefined. */
export function calling(callback: Callback, success: null | undefined): Settle {
  return (error, result) =>
    guarded(() => {
      if (error === null) callback(success, result)
      else callback(error)
    })
}

/** Makes the stack lead to the line that waits, not to the socket. For `catch`. */
export function withCallersStack(error: Error): never {
  Error.captureStackTrace(error, withCallersStack)
  throw error
}

/** Calls back with the end of a promise. */
export function callBack<Value>(
  promise: Promise<Value>,
  callback: (error: Error | undefined, value?: Value) => void,
): undefined {
  promise.then(
    (value) => guarded(() => callback(undefined, value)),
    (error: unknown) => guarded(() => callback(error as Error)),
  )
  return undefined
}
