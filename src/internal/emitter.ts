/** Typed events: an error of a listener never reaches the code that emits the event. */
import { stackOf } from './thrown.js'

/** Maps an event's name to its payload. */
export type EventMap = object

/** Removes the listener that the call had added. Idempotent. */
export type Unsubscribe = () => void

/**
 * A set of listeners per event. Listeners run synchronously, in the order in which they were added. What a listener
 * throws (or a promise it returns rejects with) goes to `onListenerError` and never to the emitter's caller.
 */
export class Emitter<Events extends EventMap> {
  // By any key: an emitter of more events serves as one of fewer.
  readonly #listeners = new Map<PropertyKey, Set<(payload: never) => unknown>>()
  readonly #onListenerError: (error: unknown, event: PropertyKey) => void

  constructor(onListenerError: (error: unknown, event: PropertyKey) => void = warn) {
    this.#onListenerError = onListenerError
  }

  on<Name extends keyof Events>(event: Name, listener: (payload: Events[Name]) => unknown): Unsubscribe {
    let listeners = this.#listeners.get(event)
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()))
    listeners.add(listener)
    return () => this.off(event, listener)
  }

  once<Name extends keyof Events>(event: Name, listener: (payload: Events[Name]) => unknown): Unsubscribe {
    const unsubscribe = this.on(event, (payload) => {
      unsubscribe()
      return listener(payload)
    })
    return unsubscribe
  }

  off<Name extends keyof Events>(event: Name, listener: (payload: Events[Name]) => unknown): void {
    const listeners = this.#listeners.get(event)
    if (listeners?.delete(listener) === true && listeners.size === 0) this.#listeners.delete(event)
  }

  /** True if the event has a listener. Without one the payload need not be made. */
  has(event: keyof Events): boolean {
    return this.#listeners.has(event)
  }

  emit<Name extends keyof Events>(event: Name, payload: Events[Name]): void {
    const listeners = this.#listeners.get(event)
    if (listeners === undefined) return
    for (const listener of [...listeners]) {
      try {
        const returned = listener(payload as never)
        if (returned instanceof Promise) {
          returned.catch((error: unknown) => this.#onListenerError(error, event))
        }
      } catch (error) {
        this.#onListenerError(error, event)
      }
    }
  }
}

function warn(error: unknown, event: PropertyKey): void {
  const text = stackOf(error)
  process.emitWarning(`A listener of '${String(event)}' threw: ${text}`, {
    type: 'LifeguardWarning',
    code: 'LIFEGUARD_LISTENER',
  })
}
