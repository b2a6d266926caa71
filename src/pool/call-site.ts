/** Where a caller acquired a connection: for `captureStacks`. */
export interface CallSite {
  readonly stack: string
}

// The frames between the caller and `acquire` (session, pipeline): the limit leaves room for the caller's own frames.
const OWN_FRAMES = 8

/** The stack that starts with the caller of `above`. */
export function captureCallSite(above: (...parameters: never[]) => unknown): CallSite {
  const callSite: { stack?: string } = {}
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = stackTraceLimit + OWN_FRAMES
  Error.captureStackTrace(callSite, above)
  Error.stackTraceLimit = stackTraceLimit
  // Read at once: an unread stack keeps the objects of its frames alive, and so a forgotten lease.
  return { stack: callSite.stack ?? '' }
}

// More than the places in which a program acquires connections.
const MOST_KNOWN = 500

/** Captures call sites. Equal ones are shared, because the text is larger than the rest of a waiter. */
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
