/** Kysely on an engine: each query, transaction or `db.connection()` takes a connection of the pool, and releases it. */
import type { TransactionSettings } from 'kysely'

import { IllegalStateError, type Connection, type Engine } from '../../index.js'
import { connectionsAlone, optionsAlone, runAlone, type AloneOptions } from '../builders/alone.js'
import { LaterTransactions, type LaterConnections } from '../builders/later-connections.js'
import { transactionOptions } from '../builders/modes.js'
import { KyselyConnection } from './connection.js'
import { KyselyDriver } from './driver.js'
import type { Statements } from './statements.js'

/** Kysely says when it does not need a connection any more. */
const HOLD = { releaseWhenIdle: false }

type ConnectOptions = NonNullable<Parameters<Engine['connect']>[0]>

export function engineDriver(engine: Engine): KyselyDriver {
  const alone = optionsAlone(engine)
  const lone = connectionsAlone(engine, HOLD)
  const transactions = new LaterTransactions(engine, HOLD)
  return new KyselyDriver((signal) => new EngineConnection({ engine, alone, lone, transactions, signal }))
}

interface EngineConnectionParts {
  readonly engine: Engine
  /** Options of the connection for queries by themselves. */
  readonly alone: AloneOptions
  /** Undefined if such queries need a transaction. */
  readonly lone: LaterConnections | undefined
  readonly transactions: LaterTransactions
  /** Gives up the wait for a connection. */
  readonly signal: AbortSignal | undefined
}

class EngineConnection extends KyselyConnection {
  readonly #parts: EngineConnectionParts
  #connection: Connection | undefined
  /** True: the connection has the options of queries by themselves. */
  #isAlone = false
  /** Where the connection goes when it is released, if it is one of these. */
  #source: LaterConnections | undefined

  constructor(parts: EngineConnectionParts) {
    super()
    this.#parts = parts
  }

  protected get transaction(): Connection {
    if (this.#connection === undefined) throw new IllegalStateError('Kysely has not begun a transaction')
    return this.#connection
  }

  protected async query<Value>(work: (on: Statements) => Promise<Value>): Promise<Value> {
    const { alone, lone, signal } = this.#parts
    if (this.#connection === undefined && lone !== undefined && signal === undefined) this.#take(lone)
    else if (!this.#isAlone) await this.#connect(alone)
    this.#isAlone = true
    return await runAlone(this.transaction, alone, work)
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
    const { transactions, signal } = this.#parts
    const options = transactionOptions(settings)
    if (this.#connection === undefined && signal === undefined) this.#take(transactions.of(options))
    else await this.#connect(options)
    this.#isAlone = false
  }

  protected endTransaction(how: 'commit' | 'rollback'): Promise<void> {
    return this.transaction[how]()
  }

  protected async close(): Promise<void> {
    const connection = this.#connection
    if (connection === undefined) return
    await (this.#source === undefined ? connection.close() : this.#source.giveBack(connection))
  }

  /** Kysely's abort strategy `kill session`. */
  async killSession(): Promise<void> {
    await this.cancelQuery()
    await this.#connection?.invalidate(new Error('Kysely has killed the session of an aborted query'))
  }

  #take(source: LaterConnections): void {
    this.#source = source
    this.#connection = source.take()
  }

  async #connect(options: ConnectOptions): Promise<void> {
    const { engine, signal } = this.#parts
    const wanted = signal === undefined ? options : { ...options, signal }
    const earlier = this.#connection
    this.#source = undefined
    this.#connection =
      earlier === undefined ? await engine.connect(wanted) : await engine.connectOn(earlier, wanted)
  }
}
