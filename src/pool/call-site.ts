/** Where a caller acquired a connection: for `captureStacks`. */
import { captureStack, withoutOwnFrames } from '../internal/own-frames.js'

export interface CallSite {
  readonly stack: string
}

/** The stack that starts with the first caller of `above` outside of the library. */
export function captureCallSite(above: (...parameters: never[]) => unknown): CallSite {
  const callSite: { stack?: string } = {}
  captureStack(callSite, above)
  return { stack: textOf(callSite) }
}

/** A process may show stacks in another form than text (`Error.prepareStackTrace`): these say nothing. */
function textOf({ stack }: { readonly stack?: unknown }): string {
  return typeof stack === 'string' ? stack : ''
}

/** The line of a call site, without the word `at`. */
export function lineOf({ stack }: CallSite): string {
  return stack.split('\n')[1]?.trim().replace(/^at /, '') ?? 'an unknown place'
}

// More than the places in which a program acquires connections.
const MOST_KNOWN = 500
/** Frames of the library between the caller and `acquire`. */
const OWN_FRAMES = 24

/** Captures call sites. Equal ones are shared, because the text is larger than the rest of a waiter. */
export class CallSites {
  /** By the whole stack, so that the frames of the library are removed once. */
  readonly #known = new Map<string, CallSite>()

  /** See `captureCallSite`. */
  capture(above: (...parameters: never[]) => unknown): CallSite {
    const callSite: { stack?: string } = {}
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = stackTraceLimit + OWN_FRAMES
    Error.captureStackTrace(callSite, above)
    Error.stackTraceLimit = stackTraceLimit
    // Read at once: an unread stack keeps the objects of its frames alive, and so a forgotten lease.
    const stack = textOf(callSite)
    const known = this.#known.get(stack)
    if (known !== undefined) return known
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    const site = { stack: withoutOwnFrames(stack) }
    this.#known.set(stack, site)
    return site
  }
}
