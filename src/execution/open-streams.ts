/** Streams that are being read: a block must not end before they have ended. */

export interface OpenStream {
  readonly text: string
  /** False when the stream or its transaction has ended. */
  isOpen(): boolean
}

export class OpenStreams {
  readonly #streams = new Set<OpenStream>()

  add(stream: OpenStream): void {
    for (const other of this.#streams) if (!other.isOpen()) this.#streams.delete(other)
    this.#streams.add(stream)
  }

  /** Statements of the open streams. */
  get texts(): string[] {
    return [...this.#streams].filter((stream) => stream.isOpen()).map(({ text }) => text)
  }
}
