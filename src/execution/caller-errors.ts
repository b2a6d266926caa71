/** Converts an error of the driver or of the library to the error that the caller sees, with the caller's stack. */
import { databaseErrorFrom, isServerError, type DatabaseError } from '../database-errors.js'
import { InvalidStatementError, InvalidValueError, LifeguardError } from '../errors.js'
import { removeValues } from '../internal/plain-errors.js'
import { captureStack } from '../internal/own-frames.js'
import type { Pipeline } from '../pipeline/pipeline.js'

/** Options of `CallerErrors`. */
export interface ErrorRules {
  readonly hideParameters: boolean
  /** Replaces an error of PostgreSQL by a more specific one (a stale row, a unique conflict). */
  readonly translate: ((error: DatabaseError) => LifeguardError | undefined) | undefined
}

type ServerError = Parameters<typeof databaseErrorFrom>[0]

export class CallerErrors {
  readonly #pipeline: Pipeline
  readonly #rules: ErrorRules
  /** The error that was made for each error of PostgreSQL, so that later errors have the same object as their cause. */
  readonly #explained = new WeakMap<Error, LifeguardError>()

  constructor(pipeline: Pipeline, rules: ErrorRules) {
    this.#pipeline = pipeline
    this.#rules = rules
  }

  /**
   * The error that the caller sees. Call it in the caller's own asynchronous continuation, so that the stack leads to
   * the line that awaits the statement.
   * @param above The stack begins with the caller of this function.
   */
  explain(
    error: unknown,
    statement: string | undefined,
    above: (...parameters: never[]) => unknown,
  ): unknown {
    if (error instanceof LifeguardError) {
      if (this.#rules.hideParameters && isAboutValue(error)) removeValues(error)
      captureStack(error, above)
      const { cause } = error
      if (isServerError(cause)) {
        const explained =
          this.#explained.get(cause) ?? this.#databaseError(cause, this.#pipeline.originOf(cause))
        if (explained === error) return error
        Object.defineProperty(error, 'cause', { value: explained, configurable: true, writable: true })
      }
      return error
    }
    if (!isServerError(error)) return error
    const known = this.#explained.get(error)
    if (known !== undefined) return known
    const explained = this.#databaseError(error, this.#pipeline.originOf(error) ?? statement)
    captureStack(explained, above)
    return explained
  }

  #databaseError(error: ServerError, statement: string | undefined): LifeguardError {
    const failure = databaseErrorFrom(error, {
      statement,
      hideParameters: this.#rules.hideParameters,
      sessionMayWrite: !this.#pipeline.setup.readOnly,
    })
    const explained = this.#rules.translate?.(failure) ?? failure
    this.#explained.set(error, explained)
    return explained
  }
}

function isAboutValue(error: LifeguardError): boolean {
  return error instanceof InvalidValueError || error instanceof InvalidStatementError
}
