/** COPY as Node streams, through `pg-copy-streams` (an optional peer). */
import type { Readable, Writable } from 'node:stream'

import { LifeguardError, InvalidStatementError } from '../errors.js'
import type { StatementRunner } from './statement-runner.js'

/** The two functions of `pg-copy-streams` that are used. */
interface CopyStreams {
  from(text: string): Writable
  to(text: string): Readable
}

async function loadCopyStreams(): Promise<CopyStreams> {
  try {
    const module = (await import('pg-copy-streams')) as unknown as CopyStreams & { default?: CopyStreams }
    return module.default ?? module
  } catch (cause) {
    throw new LifeguardError(
      'INVALID_OPTION',
      'COPY needs the package pg-copy-streams: npm install pg-copy-streams',
      {
        cause,
      },
    )
  }
}

/** Starts `COPY ... FROM STDIN`; the session's later statements wait until the stream has ended. */
export async function copyFrom(runner: StatementRunner, text: string): Promise<Writable> {
  requireCopy(text, /\bfrom\s+stdin\b/i, 'COPY ... FROM STDIN')
  const { from } = await loadCopyStreams()
  return start(runner, text, from(text))
}

/** Starts `COPY ... TO STDOUT`; the session's later statements wait until the stream has been read. */
export async function copyTo(runner: StatementRunner, text: string): Promise<Readable> {
  requireCopy(text, /\bto\s+stdout\b/i, 'COPY ... TO STDOUT')
  const { to } = await loadCopyStreams()
  return start(runner, text, to(text))
}

function requireCopy(text: unknown, form: RegExp, wanted: string): void {
  if (typeof text === 'string' && form.test(text)) return
  throw new InvalidStatementError(`The statement must be \`${wanted}\``)
}

/** Resolves with the stream as soon as the connection is its own. */
function start<Stream extends Readable | Writable>(
  runner: StatementRunner,
  text: string,
  stream: Stream,
): Promise<Stream> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    stream.once('error', (error: Error) => {
      failure = error
    })
    runner
      .exclusive(
        text,
        (connection) =>
          new Promise<void>((done, failed) => {
            connection.lend(stream, (lost) => {
              const error = failure ?? lost
              if (error === undefined) done()
              else failed(error)
            })
            resolve(stream)
          }),
      )
      // The stream reports it itself, once it has been handed out.
      .catch(reject)
  })
}
