/** Cancels the batch that a connection is running, and holds back later batches so that the cancel cannot hit them. */
import type { DriverConnection } from '../driver/driver.js'
import type { Clock, Timer } from '../internal/clock.js'

/** PostgreSQL ignores a cancel that arrives before the statement has begun, so it is repeated after this pause. */
const REPEAT_MILLIS = 500

export class Cancellation {
  readonly #clock: Clock
  readonly #timeoutMillis: number
  #active = false
  /** The cancelled batch has not ended. */
  #running = false
  #timer: Timer | undefined
  #repeat: Timer | undefined

  /** @param timeoutMillis How long the server may take to end the cancelled batch before the connection is destroyed. */
  constructor(clock: Clock, timeoutMillis: number) {
    this.#clock = clock
    this.#timeoutMillis = timeoutMillis
  }

  /** True until the server has taken the cancel: a batch that is sent now could be hit. */
  get active(): boolean {
    return this.#active
  }

  /**
   * Asks the server to cancel, again and again. Unless `ended` is called within the timeout, the connection is destroyed.
   * @param onTaken Called when it is safe to send again.
   */
  start(connection: DriverConnection, reason: Error, onTaken: () => void): void {
    if (this.#active) return
    this.#running = true
    const arm = (): void => {
      if (!this.#running) return
      // The first reason and deadline count, however often the same statement is cancelled.
      this.#timer ??= this.#clock.setTimer(() => connection.destroy(reason), this.#timeoutMillis, {
        keepAlive: false,
      })
    }
    // The cancel waits for the COMMIT of the connection's previous holder.
    const earlierEnds = connection.commitHandoff?.settled
    if (earlierEnds === undefined) arm()
    else void earlierEnds.then(arm)
    const ask = (): void => {
      this.#active = true
      connection.cancel(this.#timeoutMillis).then(taken, taken)
    }
    const taken = (): void => {
      this.#active = false
      if (this.#running) this.#repeat = this.#clock.setTimer(ask, REPEAT_MILLIS, { keepAlive: false })
      onTaken()
    }
    this.#repeat?.cancel()
    ask()
  }

  /** The cancelled batch has ended. */
  ended(): void {
    this.#running = false
    this.#timer?.cancel()
    this.#timer = undefined
    this.#repeat?.cancel()
    this.#repeat = undefined
  }
}
