/**
 * Kysely in a session, or on a connection of the engine: every query is part of the transaction that is open there.
 *
 * 1. A transaction of Kysely is a savepoint. Only one may be open at a time, because its rollback would undo a concurrent one.
 * 2. While it is open, other queries of the same dialect are refused, because its rollback would undo them although they had
 *    succeeded. They cannot wait for its end instead: a query that is awaited in its callback would deadlock.
 * 3. When Kysely releases its connection or is destroyed, the session stays open.
 */
import type { TransactionSettings } from 'kysely'

import { IllegalStateError, type Savepoint } from '../../index.js'
import { applyToSavepoint } from '../builders/modes.js'
import { KyselyConnection } from './connection.js'
import { KyselyDriver } from './driver.js'
import type { Statements } from './statements.js'

/** Which connection of Kysely has the transaction that is open. */
interface Turn {
  holder: SessionConnection | undefined
}

export function sessionDriver(session: Statements): KyselyDriver {
  const turn: Turn = { holder: undefined }
  return new KyselyDriver(() => new SessionConnection(session, turn))
}

class SessionConnection extends KyselyConnection {
  protected readonly transaction: Statements
  readonly #turn: Turn
  #savepoint: Savepoint | undefined

  constructor(session: Statements, turn: Turn) {
    super()
    this.transaction = session
    this.#turn = turn
  }

  protected async query<Value>(work: (on: Statements) => Promise<Value>): Promise<Value> {
    this.#requireTurn()
    return await work(this.transaction)
  }

  protected async *pages<Page>(
    read: (on: Statements, isOwn: boolean) => AsyncGenerator<Page>,
  ): AsyncGenerator<Page> {
    this.#requireTurn()
    yield* read(this.transaction, false)
  }

  protected async beginTransaction(settings: TransactionSettings): Promise<void> {
    this.#requireTurn()
    this.#turn.holder = this
    try {
      this.#savepoint = await this.transaction.beginNested()
      await applyToSavepoint(settings, this.transaction)
    } catch (error) {
      await this.endTransaction('rollback')
      throw error
    }
  }

  protected async endTransaction(how: 'commit' | 'rollback'): Promise<void> {
    try {
      await this.#savepoint?.[how]()
    } finally {
      // A savepoint that could not be released was rolled back.
      this.#savepoint = undefined
      if (this.#turn.holder === this) this.#turn.holder = undefined
    }
  }

  protected async close(): Promise<void> {
    await this.endTransaction('rollback')
  }

  #requireTurn(): void {
    const { holder } = this.#turn
    if (holder === undefined || holder === this) return
    throw new IllegalStateError(
      'Kysely has an open transaction in this session, and this query or transaction is not part of it: use the transaction that the ' +
        'callback gets (`trx`), or wait until it has ended',
    )
  }
}
