/** The options that the adapters share, and how errors are answered and reported. */
import { InvalidOptionError } from '../../index.js'
import { checkAnswers, errorAnswer, type ErrorAnswer, type ErrorAnswers } from './error-answers.js'
import type { RequestSessionsOptions } from './request-scope.js'

/** Options of adapters that answer errors themselves. */
export interface AnsweringOptions<Request> extends RequestSessionsOptions<Request> {
  /** Replaces answers to errors, by SQLSTATE or code: `{ '23505': { message: 'This title is taken' } }`. */
  readonly errors?: ErrorAnswers | undefined
  /**
   * Called for each error that was answered, for the log. Default: a process warning (`LIFEGUARD_REQUEST`) for every status of
   * 500 or greater, because the answer does not contain the cause.
   */
  readonly onError?: ((error: unknown, answer: ErrorAnswer) => void) | undefined
}

const SESSION_NAMES = ['session', 'rollbackOnStatus', 'causality'] as const

/**
 * @param more Names of the options that this adapter has besides the common ones.
 * @param call What takes the options.
 * @throws InvalidOptionError
 */
export function checkOptions(options: object, more: readonly string[], call = 'requestSessions'): void {
  const known: readonly string[] = [...SESSION_NAMES, ...more]
  if (typeof options !== 'object' || options === null)
    throw new InvalidOptionError('options', `The options of ${call} must be an object`)
  checkAnswers((options as AnsweringOptions<unknown>).errors)
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown === undefined) return
  const message = `${call} has no option '${unknown}'; it has ${known.join(', ')}`
  throw new InvalidOptionError(unknown, message)
}

/** The answer to an error, which is reported; undefined for an error that is not Lifeguard's. */
export function answerFor<Request>(
  error: unknown,
  { errors, onError = warn }: AnsweringOptions<Request>,
): ErrorAnswer | undefined {
  const answer = errorAnswer(error, errors)
  if (answer !== undefined) onError(error, answer)
  return answer
}

function warn(error: unknown, { status }: ErrorAnswer): void {
  if (status >= 500) warnOfRequest(error)
}

/** Reports an error that reaches neither a client nor a caller. */
export function warnOfRequest(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.emitWarning(`A request failed: ${text}`, { type: 'LifeguardWarning', code: 'LIFEGUARD_REQUEST' })
}
