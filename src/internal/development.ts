/** Warnings about probable mistakes. They are emitted once for each place, and not in production. */

const WARNED = Symbol.for('lifeguard.warned')
/** After this many warnings no more are emitted. */
const MOST_WARNINGS = 200

function warned(): Set<string> {
  const holder = globalThis as { [WARNED]?: Set<string> }
  return (holder[WARNED] ??= new Set())
}

/** False in production (`NODE_ENV`). */
export function isDevelopment(): boolean {
  return process.env['NODE_ENV'] !== 'production'
}

/**
 * Emits a warning, once in the process for each `place`.
 * @param place Identifies the mistake: a line of the caller, or a name.
 */
export function warnOnce(code: string, place: string, message: string): void {
  const known = warned()
  const key = `${code} ${place}`
  if (known.has(key) || known.size >= MOST_WARNINGS) return
  known.add(key)
  process.emitWarning(message, { type: 'LifeguardWarning', code })
}
