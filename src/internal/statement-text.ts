/** The text of a statement or script, before anything is sent. */
import { InvalidStatementError } from '../errors.js'

/** @throws InvalidStatementError for what PostgreSQL cannot be sent as it is: NUL ends a text, and half a character would become U+FFFD. */
export function requireText(what: string, text: string): void {
  if (text.includes('\0'))
    throw new InvalidStatementError(`The text of a ${what} must not hold a NUL character`)
  if (!text.isWellFormed()) {
    throw new InvalidStatementError(`The text of a ${what} must not hold half a character (a lone surrogate)`)
  }
}
