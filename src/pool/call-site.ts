/** Where a caller acquired a connection: for `captureStacks`. */
import { captureWithOwnFrames, withoutOwnFrames } from '../internal/own-frames.js'

export interface CallSite {
  readonly stack: string
}

/** The stack that starts with the first caller of `above` outside of the library. */
export function captureCallSite(above: (...parameters: never[]) => unknown): CallSite {
  return { stack: withoutOwnFrames(captureWithOwnFrames({}, above)) }
}

/** The line of a call site, without the word `at`. */
export function lineOf({ stack }: CallSite): string {
  return stack.split('\n')[1]?.trim().replace(/^at /, '') ?? 'an unknown place'
}

// A program acquires connections in fewer places.
const MOST_KNOWN = 500
/** Captures call sites. Equal ones are shared, because the text is larger than the rest of a waiter. */
export class CallSites {
  /** By the whole stack, so that the frames of the library are removed once. */
  readonly #known = new Map<string, CallSite>()

  /** See `captureCallSite`. */
  capture(above: (...parameters: never[]) => unknown): CallSite {
    const stack = captureWithOwnFrames({}, above)
    const known = this.#known.get(stack)
    if (known !== undefined) return known
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    const site = { stack: withoutOwnFrames(stack) }
    this.#known.set(stack, site)
    return site
  }
}
