/** A pool with the interface of `pg.Pool`, all of whose clients use one session. */
import { EventEmitter } from 'node:events'

import { Engine, IllegalStateError, type Session } from '../../index.js'
import { callBack, calling, guarded, withCallersStack } from './callbacks.js'
import { readArguments, type GivenQuery } from './query-arguments.js'
import { SessionClient, type SessionFaceOptions } from './session-client.js'
import type { Turn } from './session-transactions.js'
import type { PoolSettings, QueryResult, SessionPool } from './types.js'

type ConnectCallback = (
  error: Error | undefined,
  client: SessionClient | undefined,
  release: () => void,
) => void

/** Its name is what libraries look for. */
export class Pool extends EventEmitter implements SessionPool {
  options: PoolSettings = {
    max: 1,
    min: 0,
    maxUses: Infinity,
    allowExitOnIdle: true,
    maxLifetimeSeconds: 0,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 0,
  }
  readonly #session: Session
  readonly #options: SessionFaceOptions
  readonly #turn: Turn = { holder: undefined }
  #ending = false

  constructor(session: Session, options: SessionFaceOptions) {
    super()
    this.#session = session
    this.#options = options
    this.on('error', () => undefined)
    this.on('connect', () => undefined)
  }

  connect(callback?: ConnectCallback): never {
    const connecting = this.#ending ? Promise.reject(ended()) : Promise.resolve(this.#client())
    if (callback === undefined) return connecting.catch(withCallersStack) as never
    connecting.then(
      (client) => guarded(() => callback(undefined, client, (error?: Error) => client.release(error))),
      (error: unknown) => guarded(() => callback(error as Error, undefined, () => undefined)),
    )
    return undefined as never
  }

  query(query: unknown, values?: unknown, callback?: unknown): never {
    let given: GivenQuery
    try {
      given = readArguments(query, values, callback)
      if (this.#ending) throw ended()
    } catch (error) {
      return Promise.reject(error) as never
    }
    const client = this.#client()
    if (given.config === undefined) return client.query(given.submittable, given.callback)
    const running = client.run(given.config)
    if (given.callback === undefined) return running.catch(withCallersStack) as never
    const told = calling(given.callback, undefined)
    running.then(
      (result) => told(null, result as QueryResult),
      (error: Error) => told(error),
    )
    return undefined as never
  }

  end(callback?: () => void): never {
    this.#ending = true
    const ending = Promise.resolve()
    return (callback === undefined ? ending : callBack(ending, callback)) as never
  }

  get ending(): boolean {
    return this.#ending
  }

  get ended(): boolean {
    return this.#ending
  }

  get totalCount(): number {
    return 1
  }

  get idleCount(): number {
    return 0
  }

  get waitingCount(): number {
    return 0
  }

  get expiredCount(): number {
    return 0
  }

  #client(): SessionClient {
    const client = new SessionClient(this.#session, this.#turn, this.#options)
    if (this.listenerCount('acquire') > 0) this.emit('acquire', client)
    return client
  }

  static {
    Object.defineProperty(this, 'name', { value: 'Pool' })
    Object.setPrototypeOf(this.prototype, Engine.nodePostgres.Pool.prototype)
  }
}

function ended(): Error {
  return new IllegalStateError('Cannot use a pool after calling end on the pool')
}
