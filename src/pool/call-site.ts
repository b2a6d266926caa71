/** Where somebody asked for a connection: for `captureStacks`. */
export interface CallSite {
  readonly stack: string
}

// The way of a statement through its session and pipeline: the caller's own frames are to find room beside these.
const OWN_FRAMES = 8

/** The stack from the caller of `above` on. */
export function captureCallSite(above: (...parameters: never[]) => unknown): CallSite {
  const origin: { stack?: string } = {}
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = stackTraceLimit + OWN_FRAMES
  Error.captureStackTrace(origin, above)
  Error.stackTraceLimit = stackTraceLimit
  // Read at once: until it is text, V8 keeps every object whose method stands in it, a forgotten holder among them.
  return { stack: origin.stack ?? '' }
}

// A program asks for connections in fewer places than that.
const MOST_KNOWN = 500

/** Captures origins. Callers that come the same way share one, because its text is longer than all else that waits with them. */
export class CallSites {
  readonly #known = new Map<string, CallSite>()

  /** See `captureCallSite`. */
  capture(above: (...parameters: never[]) => unknown): CallSite {
    const captured = captureCallSite(above)
    const known = this.#known.get(captured.stack)
    if (known !== undefined) return known
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    this.#known.set(captured.stack, captured)
    return captured
  }
}
