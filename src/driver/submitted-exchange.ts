/**
 * Follows the messages that an object of pg's Submittable interface sends, and decides which answers the server may send. Unlike a
 * script, such an object may send at any time: a cursor reads page after page, and ends with its own Sync.
 *
 * 1. The exchange has ended when a ReadyForQuery has come for every Sync and every simple query that was sent.
 * 2. Messages that were sent after the last Sync (pg-cursor closes its portal after an error) must be answered before the connection
 *    is used again. So the connection sends another Sync.
 * 3. Every row is checked against its description, because node-postgres's parser does not.
 */
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  COMMAND_COMPLETE,
  COPY_DATA,
  COPY_DONE,
  COPY_IN,
  COPY_OUT,
  DATA_ROW,
  EMPTY_QUERY,
  ERROR_RESPONSE,
  NO_DATA,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
  unexpected,
} from './backend-messages.js'
import { checkRow, readFields } from './row-reader.js'
import type { WireGuard } from './wire-connection.js'

const ANSWERS: ReadonlySet<number> = new Set([
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  COPY_DATA,
  COPY_DONE,
  COPY_IN,
  COPY_OUT,
  EMPTY_QUERY,
  NO_DATA,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
])

/** Types of the messages of a client that the server answers with ReadyForQuery. */
const QUERY = 0x51
const SYNC = 0x53
/** CopyFail, CopyData and CopyDone belong to the query that was sent. */
const WITHIN_QUERY: ReadonlySet<number> = new Set([0x66, COPY_DATA, COPY_DONE])

export class SubmittedExchange implements WireGuard {
  readonly #onTag: (tag: string, returnsRows: boolean) => void
  /** How many messages that ask for a ReadyForQuery are not answered yet. */
  #readies = 0
  /** Something was sent behind the last Sync. */
  #unsynced = false
  #refused = false
  #hasWritten = false
  #columns: number | undefined
  #returnsRows = false

  /** @param onTag Called with the command tags. */
  constructor(onTag: (tag: string, returnsRows: boolean) => void) {
    this.#onTag = onTag
  }

  /** The Submittable has sent something. */
  get hasWritten(): boolean {
    return this.#hasWritten
  }

  get isOpen(): boolean {
    return this.#readies > 0
  }

  /** The server waits for a Sync: after an error, or behind the last one. */
  get needsSync(): boolean {
    return this.#readies === 0 && (this.#unsynced || this.#refused)
  }

  wrote(type: number): void {
    this.#hasWritten = true
    if (type === QUERY || type === SYNC) {
      this.#readies++
      this.#unsynced = false
    } else if (!WITHIN_QUERY.has(type)) this.#unsynced = true
  }

  admits(type: number, buffer: Buffer, start: number, end: number): boolean {
    switch (type) {
      case READY_FOR_QUERY:
        if (this.#readies === 0) break
        this.#readies--
        this.#refused = false
        return true
      case ROW_DESCRIPTION:
        this.#columns = readFields(buffer, start, end, 'any').length
        this.#returnsRows = true
        return true
      case DATA_ROW:
        if (this.#columns === undefined) break
        checkRow(this.#columns, buffer, start, end)
        return true
      case COMMAND_COMPLETE:
        this.#onTag(buffer.toString('latin1', start, end - 1), this.#returnsRows)
        this.#returnsRows = false
        return true
      case ERROR_RESPONSE:
        this.#refused = true
        return true
      default:
        if (ANSWERS.has(type)) return true
    }
    throw unexpected(type, 'in the answer to a query of node-postgres')
  }
}
