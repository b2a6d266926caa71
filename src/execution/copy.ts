/** COPY as Node streams; into the database through `pg-copy-streams` (an optional peer). */
import { Readable, type Writable, type WritableOptions } from 'node:stream'

import { CopyOut } from '../driver/copy-out.js'
import { StatementNotRun, type DriverConnection } from '../driver/driver.js'
import { AbortedError, InvalidOptionError, InvalidStatementError, LifeguardError } from '../errors.js'
import { requireText } from '../internal/statement-text.js'
import { noteStreamFailure } from './block-context.js'
import type { ExclusiveWork } from '../pipeline/operation.js'
import { isPlainRead } from '../pipeline/read-tracker.js'
import type { StatementRunner } from './statement-runner.js'
import { abortedTooLate } from '../pipeline/transaction-errors.js'

/** Methods that node-postgres calls when the server refuses, and when it is ready for the next command. */
interface Answerable {
  handleError(error: unknown): void
  handleReadyForQuery(): void
}

type CopyStream = (Readable | Writable) & Answerable

/** The function of `pg-copy-streams` that is used. */
interface CopyStreams {
  from(text: string, options: WritableOptions): Writable & Answerable
}

async function loadCopyStreams(): Promise<CopyStreams> {
  try {
    const module = (await import('pg-copy-streams')) as unknown as CopyStreams & { default?: CopyStreams }
    return module.default ?? module
  } catch (cause) {
    throw new InvalidOptionError(
      'copy',
      'copyFrom() needs the package pg-copy-streams: npm install pg-copy-streams',
      { cause },
    )
  }
}

/** Starts `COPY ... FROM STDIN`; the session's later statements wait until the stream has ended. */
export async function copyFrom(runner: StatementRunner, text: string): Promise<Writable> {
  requireCopy(text, /\bfrom\s+stdin\b/i, 'COPY ... FROM STDIN')
  const { from } = await loadCopyStreams()
  const stream = from(text, { decodeStrings: false })
  return start(runner, text, stream, encodeTexts(stream))
}

/**
 * Starts `COPY ... TO STDOUT`; the session's later statements wait until the stream has been read, or was left and the
 * server has obeyed the cancel.
 */
export async function copyTo(runner: StatementRunner, text: string): Promise<Readable> {
  requireCopy(text, /\bto\s+stdout\b/i, 'COPY ... TO STDOUT')
  return await start(runner, text, new CopyOut(text))
}

function requireCopy(text: unknown, form: RegExp, wanted: string): void {
  if (typeof text !== 'string' || !form.test(text)) {
    throw new InvalidStatementError(`The statement must be \`${wanted}\``)
  }
  requireText('COPY', text)
}

interface Chunk {
  chunk: unknown
  encoding: BufferEncoding
}

/** Why the COPY has been given up. */
type Refusal = () => Error | undefined

/** Encodes texts itself, because Node would send half a surrogate pair as U+FFFD. */
function encodeTexts(stream: Writable): Refusal {
  let refusal: Error | undefined
  const writeAll = stream._writev?.bind(stream)
  const write = (chunks: Chunk[], done: (error?: Error | null) => void): void => {
    try {
      for (const each of chunks) each.chunk = bytesOf(each)
    } catch (error) {
      refusal = error as Error
      return done(refusal)
    }
    writeAll?.(chunks, done)
  }
  stream._writev = write
  stream._write = (chunk, encoding, done) => write([{ chunk, encoding }], done)
  return () => refusal
}

/** @throws InvalidStatementError for half a surrogate pair. */
function bytesOf({ chunk, encoding }: Chunk): unknown {
  if (typeof chunk !== 'string') return chunk
  if (/^utf-?8$/i.test(encoding) && !chunk.isWellFormed()) {
    throw new InvalidStatementError(
      'The text of a COPY holds half a character (a lone surrogate), or a character was cut into two writes',
    )
  }
  return Buffer.from(chunk, encoding)
}

/**
 * Resolves with the stream as soon as it has the connection. The stream ends, or fails, only when the outcome of the COPY is known.
 */
function start<Stream extends CopyStream>(
  runner: StatementRunner,
  text: string,
  stream: Stream,
  refusal?: Refusal,
): Promise<Stream> {
  let over = false
  /** Why the rows are discarded, although the COPY may have stored something. */
  let discarded: Error | undefined
  const refuse = stream.handleError.bind(stream)
  stream.handleError = () => void (over = true)
  const finish = holdEnd(stream)
  const fail = (error: unknown): void => {
    // `destroy` was called and waits for this answer.
    if (stream.destroyed) return refuse(error)
    // pg-copy-streams would only emit the error, so a caller that reads the stream later would never see it.
    stream._destroy = (reason, done) => done(reason)
    stream.destroy(error as Error)
  }
  // The caller may add a listener; without one, the transaction still reports the error.
  stream.on('error', () => undefined)
  return new Promise((resolve, reject) => {
    const run = (connection: DriverConnection, leave: (reason: Error) => void): Promise<void> =>
      new Promise((done, failed) => {
        // It was called off while it waited for the connection. A destroyed stream would not notice the end of its exchange.
        if (stream.destroyed) {
          throw new StatementNotRun(new AbortedError('The COPY was left before it began'))
        }
        if (connection.copy === undefined) {
          throw new InvalidStatementError('The driver of this engine cannot run COPY')
        }
        connection.copy.start(stream, (error) => {
          over = true
          if (error !== undefined) return failed(error)
          if (discarded === undefined) finish.now()
          else fail(abortedTooLate(discarded))
          done()
        })
        stream.once('close', () => {
          if (over || !(stream instanceof Readable) || stream.readableEnded) return
          leave(new AbortedError('The COPY stream was closed early, so the COPY was cancelled on the server'))
          drain(stream)
        })
        resolve(stream)
      })
    const work: ExclusiveWork = {
      run,
      stop: (reason) => {
        // The answer of the COPY decides. The cancel is already under way.
        if (finish.begun) return
        if (stream instanceof Readable && runner.standsAlone && !isPlainRead(innerQuery(text))) {
          discarded = reason
          drain(stream)
        } else {
          stream.destroy(reason)
        }
      },
      get left() {
        return stream.destroyed
      },
      get incomplete() {
        return !(stream instanceof Readable) && !finish.begun
      },
    }
    runner.exclusive('copy', text, work).catch((failure: unknown) => {
      // The error of the server only confirms the cancel.
      const error = refusal?.() ?? failure
      if (error instanceof LifeguardError) noteStreamFailure(runner.pipeline, error)
      reject(error)
      fail(error)
    })
  })
}

/** The end of a stream, which is held back until the outcome of the COPY is known. */
interface HeldEnd {
  /** Every byte was written: CopyDone may have been sent. */
  readonly begun: boolean
  now(): void
}

function holdEnd(stream: CopyStream): HeldEnd {
  const held = { begun: false, now: stream.handleReadyForQuery.bind(stream) }
  stream.handleReadyForQuery = () => undefined
  if (stream instanceof Readable) return held
  const final = stream._final.bind(stream)
  stream._final = (done) => {
    held.begun = true
    final(done)
  }
  return held
}

/** The query in the brackets of `copy (select ...) to stdout`; for a table, a query that reads it. */
function innerQuery(text: string): string {
  const query = /\bcopy\s*\((.*)\)\s*to\b/is.exec(text)?.[1]
  return query ?? 'table'
}

/** Reads and discards the rest: the server does not notice a cancel while its send buffer is full. */
function drain(stream: Readable): void {
  stream.push = () => true
  stream._read(0)
}
