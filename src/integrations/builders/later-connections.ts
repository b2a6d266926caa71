/**
 * Connections of an engine that take one of the pool with their first statement. What a statement needs around it is made once and used
 * again, because builders ask for a connection for each query and each transaction.
 */
import { Connection, type Engine, type TransactionOptions } from '../../index.js'
import type { HoldOptions } from '../../engine/begin-options.js'
import type { PipelineSetup } from '../../pipeline/contract.js'

const MOST_FREE = 100

/** Connections of one set-up. */
export class LaterConnections {
  readonly #engine: Engine
  readonly #setup: PipelineSetup
  readonly #free: Connection[] = []

  constructor(engine: Engine, setup: PipelineSetup) {
    this.#engine = engine
    this.#setup = setup
  }

  take(): Connection {
    return this.#free.pop() ?? new Connection({ engine: this.#engine, setup: this.#setup, lease: undefined })
  }

  /** Rolls an open transaction back. */
  async giveBack(connection: Connection): Promise<void> {
    if (connection.rest() && this.#free.length < MOST_FREE) this.#free.push(connection)
    else await connection.close()
  }
}

/** Connections for transactions, by their options. */
export class LaterTransactions {
  readonly #engine: Engine
  readonly #hold: HoldOptions
  readonly #known = new Map<string, LaterConnections>()

  /** @param hold Whether a connection goes back to the pool at the end of a transaction, or later, by `giveBack`. */
  constructor(engine: Engine, hold: HoldOptions) {
    this.#engine = engine
    this.#hold = hold
  }

  /** @throws InvalidOptionError */
  of(options: TransactionOptions): LaterConnections {
    const { isolationLevel, readOnly, deferrable } = options
    const key = `${String(isolationLevel)} ${String(readOnly)} ${String(deferrable)}`
    let known = this.#known.get(key)
    if (known === undefined) {
      known = new LaterConnections(this.#engine, this.#engine.setUp(options, this.#hold))
      this.#known.set(key, known)
    }
    return known
  }
}
