/** Where a caller acquired a connection: for `captureStacks`. */
import { captureUnread, captureWithOwnFrames, textOf, withoutOwnFrames } from '../internal/own-frames.js'

export interface CallSite {
  readonly stack: string
  /** Called when no error or event can show the stack any more. An unread stack keeps alive what its frames refer to, such as a timer. */
  forget?(): void
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

/** Captures call sites. Equal texts are shared, because a text is larger than the rest of a waiter. */
export class CallSites {
  /** By the whole stack, so that the frames of the library are removed once. */
  readonly #known = new Map<string, string>()

  /**
   * See `captureCallSite`, but V8 makes the text only when it is read: that takes longer than the rest of an acquire, and few are
   * ever read. Until then the call site keeps the objects of its frames alive, a forgotten lease among them: see `readStack`.
   */
  capture(above: (...parameters: never[]) => unknown): CallSite {
    return new LazyCallSite(this, above)
  }

  /** The text of a call site. @param stack With frames of the library. */
  textOf(stack: string): string {
    const known = this.#known.get(stack)
    if (known !== undefined) return known
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    const text = withoutOwnFrames(stack)
    this.#known.set(stack, text)
    return text
  }
}

class LazyCallSite implements CallSite {
  readonly #sites: CallSites
  /** Has the stack, and is the text once that was read. One property, because each waiter has a call site. */
  #kept: { stack?: string } | string = {}

  constructor(sites: CallSites, above: (...parameters: never[]) => unknown) {
    this.#sites = sites
    captureUnread(this.#kept as object, above)
  }

  get stack(): string {
    if (typeof this.#kept === 'object') this.#kept = this.#sites.textOf(textOf(this.#kept))
    return this.#kept
  }

  forget(): void {
    if (typeof this.#kept === 'object') this.#kept = ''
  }
}

/** Makes the text of a call site that is kept for long, so that it keeps nothing else alive. */
export function readStack(callSite: CallSite | undefined): void {
  void callSite?.stack
}
