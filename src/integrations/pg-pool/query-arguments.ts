/** Reads the arguments of `query` in all forms of pg, and converts them to a statement of a batch or a Submittable. */
import type { RowMode, TypeParsers } from '../../driver/driver.js'
import type { EncodedValue } from '../../driver/values.js'
import { Engine, InvalidStatementError } from '../../index.js'
import { firstWord, mayHoldSeveral } from './statement-text.js'
import type { Submittable } from './types.js'

export type Callback = (error: Error | null | undefined, result?: unknown) => void

/** `query(...)` as it was called. */
export interface GivenQuery {
  /** Text and options; undefined if a Submittable was given. */
  readonly config: GivenConfig | undefined
  readonly submittable: Submittable | undefined
  readonly callback: Callback | undefined
}

/** The options of pg's queries that are read here. */
export interface GivenConfig {
  readonly text?: unknown
  readonly values?: unknown
  readonly name?: unknown
  readonly rowMode?: unknown
  readonly types?: TypeParsers | null | undefined
  readonly callback?: unknown
  readonly query_timeout?: number | undefined
  // What only pg's own query can do.
  readonly binary?: boolean | undefined
  readonly rows?: unknown
  readonly portal?: unknown
  readonly queryMode?: unknown
}

/** A statement that a batch can run. */
export interface BatchQuery {
  readonly text: string
  readonly values: readonly EncodedValue[] | undefined
  readonly rowMode: RowMode
  readonly types: TypeParsers | undefined
}

/** @throws TypeError as pg, for null and for a callback that is none. */
export function readArguments(query: unknown, values: unknown, callback: unknown): GivenQuery {
  if (query === null || query === undefined)
    throw new TypeError('Client was passed a null or undefined query')
  const given = typeof values === 'function' ? values : callback
  if (typeof (query as Partial<Submittable>).submit === 'function') {
    return { config: undefined, submittable: query as Submittable, callback: given as Callback | undefined }
  }
  const config: GivenConfig = typeof query === 'string' ? { text: query } : query
  const chosen = given ?? config.callback
  if (chosen !== undefined && chosen !== null && typeof chosen !== 'function')
    throw new TypeError('callback is not a function')
  const isPassed = values !== undefined && values !== null && typeof values !== 'function'
  return {
    config: isPassed ? withValues(config, values) : config,
    submittable: undefined,
    callback: (chosen ?? undefined) as Callback | undefined,
  }
}

/** Not a spread: a statement of another library may be a class with getters. */
function withValues(config: GivenConfig, values: unknown): GivenConfig {
  const { text, name, rowMode, types, query_timeout, binary, rows, portal, queryMode } = config
  return { text, values, name, rowMode, types, query_timeout, binary, rows, portal, queryMode }
}

/**
 * The statement of a batch; undefined if only pg's own query can run it: several statements, COPY, `binary`, `rows`.
 * @param texts Texts by their names, of this connection.
 * @param isSplit The text is one statement; semicolons in its bodies and literals do not count.
 * @throws Error as pg, for values that are no array, no text, a name of another text; InvalidStatementError for what is no value.
 */
export function batchQueryOf(
  config: GivenConfig,
  texts: Map<string, string>,
  isSplit = false,
): BatchQuery | undefined {
  const text = textOf(config, texts)
  const { values, rowMode, types } = config
  if (values !== undefined && values !== null && !Array.isArray(values))
    throw new InvalidStatementError('Query values must be an array')
  const isEmpty = !Array.isArray(values) || values.length === 0
  const { binary, rows, portal, queryMode } = config
  if (Boolean(binary) || Boolean(rows) || Boolean(portal) || Boolean(queryMode)) return undefined
  if (isEmpty && ((!isSplit && mayHoldSeveral(text)) || firstWord(text) === 'copy')) return undefined
  return {
    text,
    values: isEmpty ? undefined : Engine.nodePostgres.encodeValues(values),
    rowMode: rowMode === 'array' ? 'array' : 'object',
    types: types ?? undefined,
  }
}

/** The text, also if only the name of an earlier query is given. */
function textOf({ text, name }: GivenConfig, texts: Map<string, string>): string {
  if (typeof name !== 'string' || name === '') {
    if (typeof text === 'string') return text
    throw new InvalidStatementError(
      'A query must have either text or a name. Supplying neither is unsupported.',
    )
  }
  const known = texts.get(name)
  if (typeof text !== 'string' || text === '') {
    if (known !== undefined) return known
    throw new InvalidStatementError(`No query with the name '${name}' has run on this client: give its text`)
  }
  if (known !== undefined && known !== text) {
    throw new InvalidStatementError(
      `Prepared statements must be unique - '${name}' was used for a different statement`,
    )
  }
  if (known === undefined) texts.set(name, text)
  return text
}
