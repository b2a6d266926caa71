/** The output of a command: colours and progress are written only to a terminal. */

/** A stream that may be a terminal. */
export interface Stream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
}

/** What a command is given. */
export interface Surroundings {
  readonly out: Stream
  readonly err: Stream
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** The file of the command. */
  readonly script: string
}

/** Something that the caller did wrong, or cannot be done; its message is for people. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

export type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold'

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 }

/** A function that colours text for a stream, if it is a terminal and the user has not turned colours off. */
export function colours(stream: Stream, env: Surroundings['env']): (colour: Colour, text: string) => string {
  const isColoured = stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  return (colour, text) => (isColoured ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text)
}

/** Says what is being done, on one line that the next one replaces. Says nothing where no person looks. */
export class Progress {
  readonly #stream: Stream

  constructor(stream: Stream) {
    this.#stream = stream
  }

  say(what: string): void {
    if (this.#stream.isTTY === true) this.#stream.write(`\r\u001b[K${what}`)
  }

  end(): void {
    if (this.#stream.isTTY === true) this.#stream.write('\r\u001b[K')
  }
}

/** A stream whose reader may leave before the end, as `head` does: the rest of the output is for no reader, and no error. */
export function forgiving<Output extends Stream & NodeJS.WritableStream>(stream: Output): Output {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  return stream
}

/** Text of a database for a terminal: without what would move its cursor. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (character) => (character === '\n' ? '\n' : '\uFFFD'))
}
