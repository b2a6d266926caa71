/** Where somebody asked for a connection: for `captureStacks`. */
export interface Origin {
  readonly stack: string
}

/** The stack from the caller of `above` on. */
export function captureOrigin(above: (...parameters: never[]) => unknown): Origin {
  const origin: { stack?: string } = {}
  Error.captureStackTrace(origin, above)
  // Read at once: until it is text, V8 keeps every object whose method stands in it, a forgotten holder among them.
  return { stack: origin.stack ?? '' }
}
