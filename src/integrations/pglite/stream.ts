/**
 * The stream that replaces the socket to a server. Written messages are passed to PGlite at the end of each batch (Sync or Query), and
 * its answers can be read.
 *
 * COPY FROM STDIN would end PGlite, whose protocol loop cannot wait for the data. So its statement is replaced by one that fails.
 */
import { Duplex } from 'node:stream'
import type { BackendUser, PgliteBackend } from './backend.js'
import {
  QUERY,
  SYNC,
  TERMINATE,
  firstMessage,
  messagesOf,
  query,
  queryText,
  requestCode,
  startupParameters,
  withPrefix,
  type Message,
} from './messages.js'

const CANCEL_REQUEST = 80_877_102
/** For TLS, and for encryption by GSSAPI. */
const ENCRYPTION_REQUESTS: ReadonlySet<number> = new Set([80_877_103, 80_877_104])
const NO_ENCRYPTION = 'N'
const EMPTY = Buffer.alloc(0)
const COPY_FROM_STDIN = /\bcopy\b[^;]*\bfrom\s+stdin\b/i
/** Said in the startup message alone. */
const NOT_SETTINGS: ReadonlySet<string> = new Set(['user', 'database', 'options'])

const REFUSE_COPY = query(
  `do $$ begin raise exception using errcode = '0A000', message = 'PGlite cannot do COPY FROM STDIN over a connection: insert the rows, or use COPY FROM ''/dev/blob'' of PGlite itself'; end $$`,
)

export class PgliteStream extends Duplex implements BackendUser {
  readonly #backend: PgliteBackend
  readonly prefix: string
  /** Not whole yet, or not at the end of a batch. */
  #received: Buffer = EMPTY
  #started = false
  #leaving: Promise<void> | undefined

  /** @param prefix Of the names of its prepared statements, which streams of one session would otherwise share. */
  constructor(backend: PgliteBackend, prefix = '') {
    super()
    this.#backend = backend
    this.prefix = prefix
  }

  receive(messages: Uint8Array): void {
    if (!this.destroyed) this.push(messages)
  }

  override _read(): void {
    // Answers are pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    this.#advance().then(
      () => done(),
      (error: unknown) => done(asError(error)),
    )
  }

  override _final(done: () => void): void {
    this.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#leaving ??= this.#backend.leave(this)
    void this.#leaving.then(() => done(error))
  }

  async #advance(): Promise<void> {
    while (!this.#started) {
      const first = firstMessage(this.#received)
      if (first === undefined) return
      this.#received = this.#received.subarray(first.bytes.length)
      if (ENCRYPTION_REQUESTS.has(requestCode(first))) this.push(NO_ENCRYPTION)
      else await this.#start(first)
    }
    let batch: Buffer[] = []
    let taken = 0
    let sent = 0
    for (const message of messagesOf(this.#received)) {
      const { type, bytes } = message
      if (type === TERMINATE) {
        this.#received = EMPTY
        this.push(null)
        return
      }
      taken += bytes.length
      batch.push(isCopyFromStdin(message) ? REFUSE_COPY : withPrefix(message, this.prefix))
      if (type !== SYNC && type !== QUERY) continue
      sent = taken
      await this.#backend.exchange(this, Buffer.concat(batch))
      batch = []
    }
    this.#received = this.#received.subarray(sent)
  }

  async #start(first: Message): Promise<void> {
    this.#started = true
    // PGlite runs one statement after the other in this thread: when a cancel could be read, the statement is over.
    if (requestCode(first) === CANCEL_REQUEST) {
      this.push(null)
      return
    }
    const settings = startupParameters(first).filter(([name]) => !NOT_SETTINGS.has(name))
    if (!(await this.#backend.join(this, first.bytes, settings))) this.push(null)
  }
}

function isCopyFromStdin(message: Message): boolean {
  return message.type === QUERY && COPY_FROM_STDIN.test(queryText(message))
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(`PGlite has failed: ${String(error)}`)
}
