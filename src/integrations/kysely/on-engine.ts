/** Kysely on an engine: each query, transaction or `db.connection()` takes a connection of the pool, and releases it. */
import type { TransactionSettings } from 'kysely'

import { IllegalStateError, type Connection, type Engine } from '../../index.js'
import { optionsAlone, runAlone } from '../builders/alone.js'
import { transactionOptions } from '../builders/modes.js'
import { KyselyConnection } from './connection.js'
import { KyselyDriver } from './driver.js'
import type { Statements } from './statements.js'

type ConnectOptions = NonNullable<Parameters<Engine['connect']>[0]>

export function engineDriver(engine: Engine): KyselyDriver {
  const alone = optionsAlone(engine)
  return new KyselyDriver((signal) => new EngineConnection(engine, alone, signal))
}

class EngineConnection extends KyselyConnection {
  readonly #engine: Engine
  /** Options of the connection for queries by themselves. */
  readonly #alone: ReturnType<typeof optionsAlone>
  /** Gives up the wait for a connection. */
  readonly #signal: AbortSignal | undefined
  #connection: Connection | undefined
  /** True: the connection has the options of `#alone`. */
  #isAlone = false

  constructor(engine: Engine, alone: ReturnType<typeof optionsAlone>, signal: AbortSignal | undefined) {
    super()
    this.#engine = engine
    this.#alone = alone
    this.#signal = signal
  }

  protected get transaction(): Connection {
    if (this.#connection === undefined) throw new IllegalStateError('Kysely has not begun a transaction')
    return this.#connection
  }

  protected async query<Value>(work: (on: Statements) => Promise<Value>): Promise<Value> {
    if (!this.#isAlone) await this.#connect(this.#alone)
    this.#isAlone = true
    return await runAlone(this.transaction, this.#alone, work)
  }

  /** A cursor needs a transaction. The end of the reading commits it, as it does with pg-cursor. */
  protected async *pages<Page>(
    read: (on: Statements, isOwn: boolean) => AsyncGenerator<Page>,
  ): AsyncGenerator<Page> {
    await this.beginTransaction({})
    let end: 'commit' | 'rollback' = 'commit'
    try {
      yield* read(this.transaction, true)
    } catch (error) {
      end = 'rollback'
      throw error
    } finally {
      await this.endTransaction(end)
    }
  }

  protected async beginTransaction(settings: TransactionSettings): Promise<void> {
    await this.#connect(transactionOptions(settings))
    this.#isAlone = false
  }

  protected endTransaction(how: 'commit' | 'rollback'): Promise<void> {
    return this.transaction[how]()
  }

  protected async close(): Promise<void> {
    await this.#connection?.close()
  }

  /** Kysely's abort strategy `kill session`. */
  async killSession(): Promise<void> {
    await this.cancelQuery()
    await this.#connection?.invalidate(new Error('Kysely has killed the session of an aborted query'))
  }

  async #connect(options: ConnectOptions): Promise<void> {
    const wanted = this.#signal === undefined ? options : { ...options, signal: this.#signal }
    this.#connection =
      this.#connection === undefined
        ? await this.#engine.connect(wanted)
        : await this.#engine.connectOn(this.#connection, wanted)
  }
}
