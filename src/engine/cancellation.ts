/** Cancels what a connection is doing, and sees to it that the cancel hits nothing else. */
import type { DriverConnection } from '../driver/driver.js'
import type { Clock } from '../internal/clock.js'

export class Cancellation {
  readonly #clock: Clock
  readonly #timeoutMillis: number
  #active = false

  /** @param timeoutMillis How long the server may take to end what was cancelled, before the connection is dropped. */
  constructor(clock: Clock, timeoutMillis: number) {
    this.#clock = clock
    this.#timeoutMillis = timeoutMillis
  }

  /** True until the server has taken the cancel: nothing must be sent that it could hit. */
  get active(): boolean {
    return this.#active
  }

  /**
   * Asks the server to cancel. If `stillRunning` after the timeout, the connection is destroyed.
   * @param onTaken Called when it is safe to send again.
   */
  start(connection: DriverConnection, reason: Error, stillRunning: () => boolean, onTaken: () => void): void {
    if (this.#active) return
    this.#active = true
    const drop = (): void => {
      if (stillRunning()) connection.destroy(reason)
    }
    this.#clock.setTimer(drop, this.#timeoutMillis, false)
    const taken = (): void => {
      this.#active = false
      onTaken()
    }
    connection.cancel(this.#timeoutMillis).then(taken, taken)
  }
}
