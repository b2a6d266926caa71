/** What an application registers of an adapter, and the errors of calling it instead. */
import { InvalidOptionError } from '../../index.js'

/** What opens the sessions of requests: the middleware or the plugin. */
export interface AdapterEntry {
  readonly framework: string
  readonly name: string
  /** How it is registered. */
  readonly call: string
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
