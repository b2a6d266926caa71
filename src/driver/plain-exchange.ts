/**
 * Decides which messages a server may send while node-postgres runs a script or a COPY.
 *
 *   ready for a command ──▶ rows ('T', 'D' ...) ──┐
 *      ▲  │  ├─────────────▶ copying in ('G') ─────┤
 *      │  │  └─────────────▶ copying out ('H', 'd' ..., 'c') ──┤
 *      └──┴──── done ('C', 'I', or 'E' for the whole script) ◀─┘
 *
 * ReadyForQuery may come when at least one command is done and none is under way.
 */
import {
  COMMAND_COMPLETE,
  COPY_DATA,
  COPY_DONE,
  COPY_IN,
  COPY_OUT,
  DATA_ROW,
  EMPTY_QUERY,
  ERROR_RESPONSE,
  ProtocolError,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
  unexpected,
} from './backend-messages.js'
import { checkRow, readFields } from './row-reader.js'
import type { WireGuard } from './wire-connection.js'

type State = 'command' | 'rows' | 'copying in' | 'copying out' | 'copied' | 'refused'

/** Called with the tag of a command that has run, and whether it returned rows. */
type TagListener = (tag: string, returnsRows: boolean) => void

export class PlainExchange implements WireGuard {
  readonly #kind: 'script' | 'copy'
  readonly #onTag: TagListener | undefined
  #state: State = 'command'
  #columns = 0
  /** How many messages with data of a COPY have come. */
  #copied = 0
  #isAnswered = false

  /** @param onTag Called with the command tags of a script. */
  constructor(kind: 'script' | 'copy', onTag?: TagListener) {
    this.#kind = kind
    this.#onTag = onTag
  }

  admits(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (type === COMMAND_COMPLETE) {
      this.#onTag?.(buffer.toString('latin1', start, end - 1), this.#state === 'rows')
    }
    switch (this.#state) {
      case 'command':
        return this.#command(type, buffer, start, end)
      case 'rows':
        if (type !== DATA_ROW) return this.#done(type)
        // The rows of a script are discarded.
        checkRow(this.#columns, buffer, start, end)
        return false
      case 'copying out':
        if (type === COPY_DATA) {
          this.#copied++
          return this.#kind === 'copy'
        }
        if (type !== COPY_DONE) return this.#refused(type)
        this.#state = 'copied'
        return true
      case 'copied':
        if (type === COMMAND_COMPLETE) this.#checkCopied(buffer.toString('latin1', start, end - 1))
        return this.#done(type)
      case 'copying in':
        return this.#done(type)
      case 'refused':
        if (type === READY_FOR_QUERY || type === ERROR_RESPONSE) return true
    }
    throw this.#unexpected(type)
  }

  #command(type: number, buffer: Buffer, start: number, end: number): boolean {
    switch (type) {
      case READY_FOR_QUERY:
        if (!this.#isAnswered) break
        return true
      case EMPTY_QUERY:
      case COMMAND_COMPLETE:
        return this.#done(type)
      case COPY_IN:
        this.#state = 'copying in'
        return true
      case COPY_OUT:
        this.#state = 'copying out'
        this.#copied = 0
        return true
      case ROW_DESCRIPTION:
        if (this.#kind === 'copy') throw notCopy()
        this.#columns = readFields(buffer, start, end, 'any').length
        this.#state = 'rows'
        return false
    }
    return this.#refused(type)
  }

  /** Each row is one message; a header is one more. */
  #checkCopied(tag: string): void {
    const rows = Number(/^COPY (\d+)$/.exec(tag)?.[1] ?? 0)
    if (this.#copied >= rows) return
    throw new ProtocolError(`The server sent ${this.#copied} rows of a COPY, and said that it has ${rows}`)
  }

  /** The command is done, or refused. */
  #done(type: number): boolean {
    if (type !== COMMAND_COMPLETE && !(type === EMPTY_QUERY && this.#state === 'command')) {
      return this.#refused(type)
    }
    if (this.#kind === 'copy' && this.#state === 'command') throw notCopy()
    this.#state = 'command'
    this.#isAnswered = true
    return true
  }

  #refused(type: number): boolean {
    if (type !== ERROR_RESPONSE) throw this.#unexpected(type)
    this.#state = 'refused'
    return true
  }

  #unexpected(type: number): ProtocolError {
    return unexpected(type, this.#kind === 'copy' ? 'in the answer to COPY' : 'in the answer to a script')
  }
}

function notCopy(): ProtocolError {
  return new ProtocolError('What was run as COPY is none')
}
