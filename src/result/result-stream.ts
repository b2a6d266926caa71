/** Rows that are fetched from the server while they are read. */
import { refuseResultNames } from './result-mistakes.js'

/** Where the rows come from: a cursor on the server. */
export interface RowSource<Row> {
  /** The next page; an empty one means the end. */
  next(): Promise<readonly Row[]>
  /** Closes the cursor. Called once, at the latest when the reader is done. */
  close(): void
}

/**
 * The rows of one statement as an async iterable. At most one page is in memory. Leaving the loop early (`break`, a
 * throw) closes the cursor; so do `close()` and `await using`. It is read once.
 *
 * @example
 * for await (const song of session.stream<{ id: string }>('select id from songs')) {
 *   if (song.id === wanted) break
 * }
 */
export class ResultStream<Row> implements AsyncIterable<Row>, AsyncDisposable {
  readonly #source: RowSource<Row>
  #closed = false

  constructor(source: RowSource<Row>) {
    this.#source = source
  }

  /** Yields the rows. @throws what the statement throws, at the first row or at a later page. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const page of this.pages()) yield* page
  }

  /** Yields arrays of rows: the `batchSize` rows of one round trip. */
  async *pages(): AsyncGenerator<readonly Row[], void, undefined> {
    try {
      while (!this.#closed) {
        const page = await this.#source.next()
        if (page.length === 0) return
        yield page
      }
    } finally {
      this.close()
    }
  }

  /** Ends the stream and closes the cursor on the server. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#source.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}

refuseResultNames(ResultStream.prototype)
