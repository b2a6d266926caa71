/**
 * Opens the pool's connections. They belong to the pool, not to the waiting caller: if that caller got a released connection
 * meanwhile, or gave up, the new connection becomes idle.
 *
 * 1. At most `maxConnecting` attempts are under way; after a failure that may pass, one at a time, with a pause before each.
 * 2. Every attempt holds a slot from before its start until after its failure.
 */
import { AsyncResource } from 'node:async_hooks'
import { setMaxListeners } from 'node:events'
import type { DriverConnection } from '../driver/driver.js'
import { ConnectError } from '../errors.js'
import { connectChannel, type ConnectMessage } from '../internal/channels.js'
import type { Timer } from '../internal/clock.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import { isInstance } from '../internal/revoked.js'
import { errorFrom } from '../internal/thrown.js'

const FIRST_DELAY_MILLIS = 10
/** Short enough that callers wait for less than a second after a failover: one attempt at a time floods no server. */
const LONGEST_DELAY_MILLIS = 500

/** The pool, as its connector sees it. */
export interface ConnectorHost {
  connected(record: ConnectionRecord, connection: DriverConnection, durationMillis: number): void
  /** The attempt's slot is free again. */
  failed(error: Error, fatal: boolean): void
  /** The pause after a failure is over: the pool calls `open` again. */
  ready(): void
}

/** Why connections are opened, and for which pool. */
export interface OpenOptions {
  /** True: a caller waits for them, so the process must not end during a pause. */
  readonly urgent: boolean
  /** The generation of the pool to which the connections belong. */
  readonly generation: number
}

export class Connector {
  readonly #pool: PoolContext
  readonly #host: ConnectorHost
  readonly #stop = new AbortController()
  /** A connection outlives the request that needed it first, so it is opened outside of that request's async context. */
  readonly #context = new AsyncResource('lifeguard.Connector')
  #connecting = 0
  #failures = 0
  #notBefore = -Infinity
  #lastError: Error | undefined = undefined
  #timer: (Timer & { readonly urgent: boolean }) | undefined = undefined

  constructor(pool: PoolContext, host: ConnectorHost) {
    this.#pool = pool
    this.#host = host
    // Every attempt listens to this signal, and a NullPool has as many attempts as callers.
    setMaxListeners(0, this.#stop.signal)
  }

  get connecting(): number {
    return this.#connecting
  }

  /** Why the last attempt failed; undefined after a success. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  /** True from a failure that may pass until the next success. */
  get failing(): boolean {
    return this.#failures > 0
  }

  /** True during the pause after a failure. */
  get pausing(): boolean {
    return this.failing && this.#notBefore > this.#pool.clock.now()
  }

  /**
   * Starts up to `wanted` attempts, as many as `maxConnecting` allows.
   */
  open(wanted: number, { urgent, generation }: OpenOptions): void {
    if (wanted <= 0 || this.#stop.signal.aborted) return
    const pause = this.#notBefore - this.#pool.clock.now()
    if (pause > 0) return this.#wakeAfter(pause, { urgent })
    const limit = this.failing ? 1 : this.#pool.options.maxConnecting
    for (let left = wanted; left > 0 && this.#connecting < limit; left -= 1) {
      this.#connecting += 1
      const record = this.#pool.slots.create()
      record.generation = generation
      this.#context.runInAsyncScope(() => void this.#attempt(record))
    }
  }

  /** Cancels all running attempts. */
  stop(): void {
    this.#timer?.cancel()
    this.#stop.abort()
  }

  async #attempt(record: ConnectionRecord): Promise<void> {
    const { clock, slots } = this.#pool
    const startedAt = clock.now()
    let connection: DriverConnection
    try {
      connection = await this.#connect()
    } catch (error) {
      this.#connecting -= 1
      slots.remove(record)
      return this.#failed(
        isInstance(error, Error) ? error : new ConnectError(errorFrom(error).message, { fatal: true }),
      )
    }
    this.#connecting -= 1
    this.#failures = 0
    this.#lastError = undefined
    this.#host.connected(record, connection, clock.now() - startedAt)
  }

  #connect(): Promise<DriverConnection> {
    const { driver, name, engineId, options: poolOptions } = this.#pool
    const options = { timeoutMillis: poolOptions.connectTimeoutMillis, signal: this.#stop.signal }
    if (!connectChannel.hasSubscribers) return driver.connect(options)
    const message: ConnectMessage = { pool: name, engineId, target: driver.target }
    return connectChannel.tracePromise(async () => {
      const connection = await driver.connect(options)
      message.connectionId = connection.id
      return connection
    }, message)
  }

  #failed(error: Error): void {
    this.#lastError = error
    // Only the driver knows which failures may pass. Any other error would be thrown again.
    const fatal = !(error instanceof ConnectError) || error.fatal
    if (fatal || this.#pool.options.connectRetry === 'fail') {
      // The waiting callers get the error, and no attempt follows by itself: there is nothing to pause.
      this.#failures = 0
    } else {
      const delay = Math.min(FIRST_DELAY_MILLIS * 2 ** this.#failures, LONGEST_DELAY_MILLIS)
      this.#failures += 1
      this.#notBefore = this.#pool.clock.now() + Math.ceil(delay * (0.5 + Math.random() / 2))
    }
    this.#host.failed(error, fatal)
  }

  #wakeAfter(millis: number, { urgent }: { readonly urgent: boolean }): void {
    if (this.#timer !== undefined && this.#timer.urgent >= urgent) return
    this.#timer?.cancel()
    const wake = (): void => {
      this.#timer = undefined
      this.#host.ready()
    }
    const timer = this.#pool.clock.setTimer(wake, millis, { keepAlive: urgent })
    this.#timer = { urgent, cancel: () => timer.cancel() }
  }
}
