/**
 * Errors that may show a part of a value: the message of an error of the caller's own function, or the name of a property in a
 * document. The engine is not known where they are made, so they also carry their text for `hideParameters`.
 */
const PLAIN: unique symbol = Symbol.for('lifeguard.plain') as never

interface Marked {
  [PLAIN]?: string
}

/** Notes what an error says with `hideParameters`, where its message differs then. */
export function saysPlainly<Made extends Error>(error: Made, message: string | undefined): Made {
  if (message === undefined || message === error.message) return error
  Object.defineProperty(error, PLAIN, { value: message, configurable: true })
  return error
}

/** What an error says with `hideParameters`. */
export function plainMessageOf(error: Error): string {
  return (error as Marked)[PLAIN] ?? error.message
}

/** Takes out of an error what may show a value: what its message has more than the plain one, and an error of the caller's function. */
export function takeOutValues(error: Error): void {
  const message = plainMessageOf(error)
  const isMarked = message !== error.message
  if (!isMarked && error.cause === undefined) return
  delete error.cause
  if (!isMarked) return
  delete (error as Marked)[PLAIN]
  error.message = message
  // It begins with the message.
  Error.captureStackTrace(error, takeOutValues)
}
