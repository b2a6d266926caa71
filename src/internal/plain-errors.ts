/**
 * Errors that may show a part of a value: the message of an error of the caller's own function, or the name of a property in a
 * document. The engine is not known where they are made, so they also carry their text for `hideParameters`.
 */
const PLAIN: unique symbol = Symbol.for('lifeguard.plain') as never

interface Marked {
  [PLAIN]?: string
}

/** Adds the message for `hideParameters` to an error, if it differs. */
export function withPlainMessage<Made extends Error>(error: Made, message: string | undefined): Made {
  if (message === undefined || message === error.message) return error
  Object.defineProperty(error, PLAIN, { value: message, configurable: true })
  return error
}

/** The message of an error with `hideParameters`. */
export function plainMessageOf(error: Error): string {
  return (error as Marked)[PLAIN] ?? error.message
}

/** Removes from an error whatever may show a value: sets the plain message, and deletes `cause`, an error of the caller's function. */
export function removeValues(error: Error): void {
  const message = plainMessageOf(error)
  const isMarked = message !== error.message
  if (!isMarked && error.cause === undefined) return
  delete error.cause
  if (!isMarked) return
  delete (error as Marked)[PLAIN]
  error.message = message
  // The stack begins with the message.
  Error.captureStackTrace(error, removeValues)
}
