/**
 * `COPY ... TO STDOUT` as a stream, whose rows come through the connection's own reader.
 *
 * `pg-copy-streams` is not used for it: its stream reads the socket itself, and a length below four keeps it busy forever.
 */
import { Readable } from 'node:stream'

/** What is used of node-postgres's `Connection`. */
interface CopyConnection {
  readonly stream: { pause(): unknown; resume(): unknown }
  query(text: string): void
}

/**
 * Speaks pg's Submittable interface. A slow reader of the stream pauses the socket. The connection resumes the socket when the
 * exchange has ended.
 */
export class CopyOut extends Readable {
  readonly text: string
  /** Rows that the server has copied; 0 until it has finished. */
  rowCount = 0
  #connection: CopyConnection | undefined
  /** The rows that came in this tick. The reader gets them as one chunk, not one for each row. */
  #rows: Buffer[] = []

  constructor(text: string) {
    super()
    this.text = text
  }

  override _read(): void {
    this.#connection?.stream.resume()
  }

  submit(connection: CopyConnection): void {
    this.#connection = connection
    connection.query(this.text)
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    this.#rows.push(chunk)
    if (this.#rows.length === 1) process.nextTick(flush, this)
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.rowCount = Number(/^COPY (\d+)$/.exec(text)?.[1] ?? 0)
  }

  handleReadyForQuery(): void {
    this.flush()
    this.#connection = undefined
    this.push(null)
  }

  handleError(error: Error): void {
    this.#connection = undefined
    this.destroy(error)
  }

  /** Hands the collected rows to the reader. */
  flush(): void {
    const rows = this.#rows
    if (rows.length === 0) return
    this.#rows = []
    if (!this.push(rows.length === 1 ? rows[0] : Buffer.concat(rows))) this.#connection?.stream.pause()
  }
}

function flush(stream: CopyOut): void {
  stream.flush()
}
