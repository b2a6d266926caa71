/** What an application registers of an adapter, and the errors of registering something else. */
import { InvalidOptionError } from '../../index.js'

/** What opens the sessions of requests: the middleware or the plugin. */
export interface AdapterEntry {
  readonly framework: string
  readonly name: string
  /** How it is registered. */
  readonly call: string
  /** The same as an advice. */
  readonly advice: string
}

/** Made by `requestSessions`, and notes that function's caller, because calls of a framework lead to no line of the application. */
export class Registration {
  readonly #entry: AdapterEntry
  readonly #madeAt = lineOfCaller()

  constructor(entry: AdapterEntry) {
    this.#entry = entry
  }

  /**
   * @param isOurs Whether the entry has got what its framework passes to it.
   * @param first The first argument that it has got. Without one, the application has called it.
   * @throws InvalidOptionError
   */
  requireFramework(isOurs: boolean, first: unknown): void {
    if (isOurs) return
    const { framework, name, call } = this.#entry
    requireRegistered(first !== undefined, name, call)
    const message =
      `db.${name} of the adapter for ${framework} was called by something else: import requestSessions ` +
      `from the subpath of your framework (lifeguard/express, /fastify, /hono, /koa)`
    this.refuse(name, message)
  }

  /** @throws InvalidOptionError with the line that called `requestSessions`. */
  refuse(option: string, message: string): never {
    throw new InvalidOptionError(option, message + this.#madeAt)
  }

  /**
   * @param more What `db` has got besides the request: only a framework passes more, if `db` itself was registered.
   * @throws InvalidOptionError
   */
  requireNoMore(more: readonly unknown[]): void {
    if (more.length === 0) return
    const message = `db returns the session of a request and cannot be registered itself: ${this.#entry.advice}`
    this.refuse('db', message)
  }
}

/**
 * @param isGiven Whether a handler has got what a framework gives it.
 * @param call How it is registered.
 * @throws InvalidOptionError if the application has called the handler instead.
 */
export function requireRegistered(isGiven: boolean, name: string, call: string): void {
  if (isGiven) return
  const message = `db.${name} is the handler itself: ${call}, without brackets behind it`
  throw new InvalidOptionError(name, message)
}

/**
 * @param answer What the framework passes for the answer: the response, reply or context.
 * @throws InvalidOptionError if the health endpoint is not called by a framework.
 */
export function requireHealthRoute(answer: unknown, path = 'app.get'): void {
  requireRegistered(answer !== undefined, 'health', `${path}('/health', db.health)`)
}

/** Text that names the caller's line; empty if the process shows stacks in another form. */
function lineOfCaller(): string {
  const { stack } = new InvalidOptionError('', '') as { readonly stack?: unknown }
  const frame = typeof stack === 'string' ? /^\s+at (.+)$/m.exec(stack)?.[1] : undefined
  return frame === undefined ? '' : `. requestSessions was called at ${frame}`
}
