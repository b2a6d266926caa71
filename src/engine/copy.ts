/** COPY as Node streams; into the database through `pg-copy-streams` (an optional peer). */
import { Readable, type Writable } from 'node:stream'

import { CopyOut } from '../driver/copy-out.js'
import type { DriverConnection } from '../driver/driver.js'
import { AbortedError, InvalidOptionError, InvalidStatementError } from '../errors.js'
import type { StatementRunner } from './statement-runner.js'

/** What node-postgres calls when the server refuses. */
interface Refusable {
  handleError(error: unknown): void
}

type CopyStream = (Readable | Writable) & Refusable

/** The function of `pg-copy-streams` that is used. */
interface CopyStreams {
  from(text: string): Writable & Refusable
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
  return start(runner, text, from(text))
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
  if (typeof text === 'string' && form.test(text)) return
  throw new InvalidStatementError(`The statement must be \`${wanted}\``)
}

/** Resolves with the stream as soon as the connection is its own. */
function start<Stream extends CopyStream>(
  runner: StatementRunner,
  text: string,
  stream: Stream,
): Promise<Stream> {
  let over = false
  const refuse = stream.handleError.bind(stream)
  stream.handleError = (error) => {
    over = true
    const explained = runner.explain(error, text)
    // It waits for this answer.
    if (stream.destroyed) return refuse(explained)
    // pg-copy-streams would only emit the error: whoever turns to the stream later would wait for ever.
    stream._destroy = (reason, done) => done(reason)
    stream.destroy(explained as Error)
  }
  // Whoever has the stream listens as well; if nobody does, the transaction still reports the error.
  stream.on('error', () => undefined)
  return new Promise((resolve, reject) => {
    const run = (connection: DriverConnection, leave: (reason: Error) => void): Promise<void> =>
      new Promise((done, failed) => {
        // Called off while it waited for the connection: what was destroyed would not notice the end of its exchange.
        if (stream.destroyed) throw new AbortedError('The COPY was left before it began')
        connection.lend(stream, (error) => {
          over = true
          if (error === undefined) done()
          else failed(error)
        })
        stream.once('close', () => {
          if (over || !(stream instanceof Readable) || stream.readableEnded) return
          leave(new AbortedError('The COPY was left before its end, and so cancelled on the server'))
          drain(stream)
        })
        resolve(stream)
      })
    runner
      .exclusive(text, {
        run,
        stop: (reason) => stream.destroy(reason),
        get left() {
          return stream.destroyed
        },
      })
      // The stream reports it itself, once it has been handed out.
      .catch(reject)
  })
}

/** The server does not notice a cancel while it waits for somebody to take what it sends. */
function drain(stream: Readable): void {
  stream.push = () => true
  stream._read(0)
}
