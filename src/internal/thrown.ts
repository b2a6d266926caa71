/** Helpers for thrown values and abort reasons, which need not be Errors. */
import { isInstance, isRevoked, REVOKED } from './revoked.js'

/** The Error itself, or one that shows what was thrown in its place. */
export function errorFrom(thrown: unknown): Error {
  return isInstance(thrown, Error) ? thrown : new Error(textOf(thrown))
}

/** For a warning or a log: the stack of an Error, or the text of what was thrown in its place. */
export function stackOf(thrown: unknown): string {
  return isInstance(thrown, Error) ? (thrown.stack ?? thrown.message) : textOf(thrown)
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    // An object without a prototype, or whose toString() throws.
    return isRevoked(thrown) ? REVOKED : `a value without a text (${typeof thrown})`
  }
}
