/**
 * Replaces the connections of an engine temporarily by those of another driver. `lifeguard/testing` uses this, so that all sessions of
 * a test share one connection, whose transaction is rolled back at the end. The pool keeps the options of the engine.
 */
import type { ClientCalls } from '../driver/client-calls.js'
import type { ConnectPlace, Driver, DriverConnection } from '../driver/driver.js'
import { IllegalStateError } from '../errors.js'
import { currentScopes } from '../internal/async-scope.js'
import { currentRequest } from '../internal/requests.js'
import type { PipelineHost, PipelineObserver } from '../pipeline/contract.js'
import type { DisposeOptions, Pool } from '../pool/pool.js'
import type { Emitter } from '../internal/emitter.js'
import type { EngineEvents } from './events.js'
import type { ResolvedEngineOptions } from './options.js'
import type { PrimaryReadReason, ReplicaStats } from './replica-stats.js'

/** What an integration may know of an engine. */
export interface EngineInternals {
  readonly options: ResolvedEngineOptions
  readonly observer: PipelineObserver | undefined
  readonly substitutes: Substitutes
  /** What it gives its pipelines. */
  readonly host: PipelineHost
  /** Where it connects; undefined if its driver does not know. */
  readonly place: ConnectPlace | undefined
  readonly clientCalls: ClientCalls
  /** Functions that are called once, when the engine is disposed and everything is closed. They must not throw. */
  readonly atEnd: Set<() => void>
  readonly events: Emitter<EngineEvents>
  /** Its part in session factories with replicas, which the first of them sets. */
  readonly part: EnginePart
}

/** See `EngineStats`. */
export interface EnginePart {
  /** The connection that was opened last. */
  latest?: WeakRef<DriverConnection>
  /** All factories that read from the engine share it: whether a server answers does not depend on the factory. */
  replica?: { stats(): ReplicaStats }
  /** Counted by all factories that write to the engine. */
  primaryReads?: Record<PrimaryReadReason, number>
}

/** The replacements that the engine uses. */
export interface Substitute {
  readonly driver: Driver
  /** Called with the pool of connections of that driver, which the engine is to use. */
  wrap(pool: Pool): Pool
  /** The engine is disposed: returns what was taken of the engine's own pool, which otherwise would wait for it. Never rejects. */
  end(): Promise<void>
}

/**
 * @param pool The pool so far, for a connection to share.
 * @param scopes Returns the blocks around the current call, the innermost first, and then its request.
 */
export type SubstituteMaker = (pool: Pool, scopes: () => readonly object[]) => Substitute

/** The engine. */
interface Host {
  pool(): Pool
  use(pool: Pool): void
  create(driver: Driver): Pool
  isDisposed(): boolean
}

export class Substitutes {
  readonly #host: Host
  #current:
    { readonly substitute: Substitute; readonly original: Pool; readonly noListen: string } | undefined

  constructor(host: Host) {
    this.#host = host
  }

  /** The pool that the engine uses now. */
  get pool(): Pool {
    return this.#host.pool()
  }

  /** The engine's own pool, while it is not used. */
  get original(): Pool | undefined {
    return this.#current?.original
  }

  /** Disposes the engine's own pool, while it is not used. */
  async dispose(options: DisposeOptions): Promise<void> {
    await this.#current?.substitute.end()
    await this.#current?.original.dispose(options)
  }

  /** @throws IllegalStateError while LISTEN would use a connection of its own. */
  requireListen(): void {
    if (this.#current !== undefined) throw new IllegalStateError(this.#current.noListen)
  }

  /** @throws IllegalStateError if the engine is disposed, or has a substitute. */
  requireFree(): void {
    if (this.#host.isDisposed()) throw new IllegalStateError('The engine was disposed')
    if (this.#current !== undefined) {
      throw new IllegalStateError(
        'The engine runs another test already: end that test first, or use a separate engine for each concurrent test. (With beforeEach(begin) of rollbackEach, leave withRollback out.)',
      )
    }
  }

  /**
   * @param noListen Why LISTEN is refused meanwhile.
   * @returns what ends it, and closes the connections of the substitute.
   * @throws IllegalStateError if the engine is disposed, or has a substitute.
   */
  begin(make: SubstituteMaker, noListen: string): () => Promise<void> {
    const host = this.#host
    this.requireFree()
    const original = host.pool()
    const substitute = make(original, scopesOfCaller)
    const pool = substitute.wrap(host.create(substitute.driver))
    host.use(pool)
    this.#current = { substitute, original, noListen }
    return async () => {
      if (this.#current?.original !== original) return
      this.#current = undefined
      host.use(original)
      await pool.dispose({ timeoutMillis: 0 })
    }
  }
}

function scopesOfCaller(): readonly object[] {
  const request = currentRequest()
  return request === undefined ? currentScopes() : [...currentScopes(), request]
}
