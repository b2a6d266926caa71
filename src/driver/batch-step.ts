/**
 * One statement of a batch, and the part of its answer that has arrived.
 *
 * The server answers each message of the statement in order. A step accepts only the answer to the next message:
 *
 *   Parse      Bind       Describe              Execute
 *   parsed ──▶ bound ───▶ described ──────────▶ rows ──▶ over
 *   '1'        '2'        'T' or 'n'            'D' ..., then 'C', 's' or 'I'
 * |
 *   Close: closed ──▶ over ('3')
 *
 * A statement without Parse or without Describe skips that place.
 */
import { InvalidValueError } from '../errors.js'
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  COMMAND_COMPLETE,
  COPY_BOTH,
  COPY_IN,
  COPY_OUT,
  DATA_ROW,
  EMPTY_QUERY,
  GREATEST_ROW,
  HEADER_BYTES,
  NO_DATA,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  ProtocolError,
  ROW_DESCRIPTION,
  SHORTEST_ROW,
  checkBody,
  malformed,
  unexpected,
} from './backend-messages.js'
import type { BatchStatement, StandbyWaitEnded, StatementResult, TypeParsers } from './driver.js'
import { RowsUnreadable } from './driver.js'
import { RowShape, type RowReader } from './row-reader.js'
import type { PreparedStatement } from './statement-cache.js'
import { readInt32 } from './value-readers.js'
import { errorFrom } from '../internal/thrown.js'

/** Which answer a step waits for. */
export type StepStage = 'parsed' | 'bound' | 'described' | 'rows' | 'closed' | 'over'

/** A portal that stays open when its step is over. */
export interface OpenPortal {
  /** The shape of its rows; undefined until the server has described them, null if it returns none. */
  shape: RowShape | null | undefined
}

/** What was written for a step. */
export interface StepParts {
  readonly statement: BatchStatement
  readonly stage: StepStage
  readonly prepared?: PreparedStatement | undefined
  /** True: it uses a statement that was prepared before this batch. */
  readonly kept?: boolean | undefined
  /** Describe was written. */
  readonly describes?: boolean | undefined
  /** The named portal that it opens or continues. */
  readonly portal?: OpenPortal | undefined
}

/** Tags of the statements that begin or end a transaction. */
const CONTROL_TAGS = new Set(['BEGIN', 'START TRANSACTION', 'COMMIT', 'ROLLBACK', 'PREPARE TRANSACTION'])
const END_TEXTS = new Set(['COMMIT', 'COMMIT AND CHAIN', 'ROLLBACK'])
/** Commands of which a prepared statement that was once described as returning no rows never returns any. `CALL` and `EXECUTE` may. */
const ROWLESS =
  /^\s*(?:begin|start|commit|end|abort|rollback|savepoint|release|set|insert|update|delete|merge)\b/i

/** The portal has no further rows. */
const COMPLETE = { suspended: false }

export class BatchStep {
  readonly statement: BatchStatement
  readonly prepared: PreparedStatement | undefined
  readonly #types: TypeParsers
  readonly kept: boolean
  readonly #describes: boolean
  readonly #portal: OpenPortal | undefined
  #stage: StepStage
  #shape: RowShape | null = null
  #reader: RowReader | undefined
  readonly #rows: unknown[] = []
  #received = 0
  /** A row could not be decoded; the other rows are skipped. */
  #failure: Error | undefined
  /** The answer, complete once the step is over; undefined if the server refused the statement. */
  result: StatementResult | undefined
  /** The error of the server; only ReadyForQuery is to come. */
  refusal: Error | undefined
  /** `onResult` or `onError` of the statement was called. */
  isSettled = false
  /** It began or ended a transaction. */
  isControl = false
  /** Committed, but the wait for a standby was cut short. */
  standbyWaitEnded: StandbyWaitEnded | undefined

  constructor({ statement, stage, prepared, kept, describes, portal }: StepParts, types: TypeParsers) {
    this.statement = statement
    this.prepared = prepared
    this.#types = statement.types ?? types
    this.kept = kept === true
    this.#describes = describes === true
    this.#portal = portal
    this.#stage = stage
  }

  get isOver(): boolean {
    return this.#stage === 'over'
  }

  get isParsed(): boolean {
    return this.#stage !== 'parsed'
  }

  /** True: the server has bound its values and planned it. */
  get isBound(): boolean {
    return this.#stage !== 'parsed' && this.#stage !== 'bound'
  }

  /** True: the statement returns rows. */
  get returnsRows(): boolean {
    return (this.#portal?.shape ?? this.#shape) !== null
  }

  /**
   * Takes the next message of its answer.
   * @throws ProtocolError if that is no answer to what was sent.
   */
  receive(type: number, buffer: Buffer, start: number, end: number): void {
    switch (this.#stage) {
      case 'rows':
        this.#complete(type, buffer, start, end)
        return
      case 'bound':
        if (type !== BIND_COMPLETE) break
        if (this.statement.onlyBind === true) this.#stage = 'closed'
        else this.#stage = this.#describes ? 'described' : 'rows'
        return
      case 'described':
        if (type !== ROW_DESCRIPTION && type !== NO_DATA) break
        this.#describe(type === ROW_DESCRIPTION ? this.#shapeOf(buffer, start, end) : null)
        return
      case 'parsed':
        if (type !== PARSE_COMPLETE) break
        this.#stage = 'bound'
        return
      case 'closed':
        if (type !== CLOSE_COMPLETE) break
        this.#end('')
        return
      case 'over':
    }
    throw this.#unexpected(type)
  }

  /**
   * Takes consecutive whole rows from `start` on, in a loop of its own because results have many. Returns where they end; `receive`
   * takes the message there.
   * @throws ProtocolError if a row does not fit.
   */
  receiveRows(buffer: Buffer, start: number): number {
    if (this.#stage !== 'rows') return start
    const read = (this.#reader ??= this.#readerOf())
    const rows = this.#rows
    const last = buffer.length - HEADER_BYTES
    let taken = 0
    let at = start
    while (at <= last && buffer[at] === DATA_ROW) {
      const length = readInt32(buffer, at + 1)
      const end = at + 1 + length
      if (length < SHORTEST_ROW || length > GREATEST_ROW || end > buffer.length) break
      if (this.#failure === undefined) {
        try {
          rows.push(read(buffer, at + HEADER_BYTES, end))
        } catch (error) {
          if (error instanceof ProtocolError) throw error
          this.#failure = unreadable(error)
        }
      }
      taken++
      at = end
    }
    this.#received += taken
    return at
  }

  /** Calls `onResult` or `onError` of the statement. */
  settle(): void {
    this.isSettled = true
    if (this.standbyWaitEnded !== undefined) this.statement.onError(this.standbyWaitEnded)
    else if (this.#failure !== undefined) this.statement.onError(new RowsUnreadable(this.#failure))
    else if (this.result !== undefined) this.statement.onResult(this.result)
  }

  #shapeOf(buffer: Buffer, start: number, end: number): RowShape {
    const known = this.prepared?.shape
    if (known?.isDescribedBy(buffer, start, end) === true) return known
    return new RowShape(buffer, start, end)
  }

  #describe(shape: RowShape | null): void {
    this.#stage = 'rows'
    this.#shape = shape
    if (this.#portal !== undefined) this.#portal.shape = shape
    const { prepared } = this
    if (prepared !== undefined) {
      prepared.shape = shape === null && !ROWLESS.test(prepared.text) ? undefined : shape
    }
  }

  #readerOf(): RowReader {
    const shape = this.#portal?.shape ?? this.#shape
    if (shape === null) throw this.#unexpected(DATA_ROW)
    return shape.reader(this.statement.rowMode ?? 'object', this.#types)
  }

  #complete(type: number, buffer: Buffer, start: number, end: number): void {
    const { maxRows = 0 } = this.statement
    if (type === COMMAND_COMPLETE) {
      checkBody(type, buffer, start, end)
      this.#end(buffer.toString('latin1', start, end - 1))
    } else if (type === PORTAL_SUSPENDED && maxRows > 0 && this.#received === maxRows)
      this.#end('', { suspended: true })
    else if (type === EMPTY_QUERY && this.#received === 0) this.#end('')
    else throw this.#unexpected(type)
  }

  #end(tag: string, { suspended } = COMPLETE): void {
    const { statement } = this
    if (END_TEXTS.has(statement.text) && tag !== 'COMMIT' && tag !== 'ROLLBACK') {
      throw malformed(COMMAND_COMPLETE)
    }
    this.#stage = 'over'
    this.isControl = CONTROL_TAGS.has(tag)
    const shape = this.#portal?.shape ?? this.#shape
    const result = resultOf(tag, shape?.fields ?? NO_FIELDS, this.#rows, suspended)
    // Before PostgreSQL 13 the tag of the last part of a portal with RETURNING counts the rows of all parts.
    const isWhole = this.#portal === undefined || result.command === 'SELECT'
    if (shape && isWhole && result.rowCount !== null && result.rowCount !== this.#received) {
      throw new ProtocolError(
        `The server sent ${this.#received} rows of a result, and said that it has ${result.rowCount}`,
      )
    }
    this.result = result
  }

  #unexpected(type: number): ProtocolError {
    if (type === COPY_IN || type === COPY_OUT || type === COPY_BOTH) {
      // The server has entered COPY mode, which a batch cannot leave: the connection must be closed.
      return new ProtocolError('COPY was run as a plain statement; the connection was closed')
    }
    return unexpected(type, 'in the answer to a statement')
  }
}

/** Why a row cannot be read: what a type parser throws, or a value that is longer than any string. */
function unreadable(cause: unknown): Error {
  if ((errorFrom(cause) as { code?: unknown }).code !== 'ERR_STRING_TOO_LONG') {
    return errorFrom(cause)
  }
  return new InvalidValueError('A value of the result is longer than the longest string of this runtime', {
    cause,
  })
}

const NO_FIELDS: StatementResult['fields'] = []

function resultOf(
  tag: string,
  fields: StatementResult['fields'],
  rows: readonly unknown[],
  suspended: boolean,
): StatementResult {
  const space = tag.indexOf(' ')
  if (space === -1) return { command: tag, rowCount: null, fields, rows, suspended }
  // `INSERT 0 5`, `SELECT 5`, but also `CREATE TABLE`, which has no count.
  const count = Number(tag.slice(tag.lastIndexOf(' ') + 1))
  if (Number.isNaN(count)) return { command: tag, rowCount: null, fields, rows, suspended }
  return { command: tag.slice(0, space), rowCount: count, fields, rows, suspended }
}
