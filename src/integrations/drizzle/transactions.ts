/**
 * Runs Drizzle's transactions as blocks of Lifeguard: a transaction on an engine, a savepoint inside a transaction or a session.
 */
import type { Executor } from '../../execution/executor.js'
import { Engine, type Connection, type Session } from '../../index.js'
import { fromPg, translated } from '../builders/from-pg.js'
import { applyToSavepoint, transactionOptions, type Modes } from '../builders/modes.js'
import { LaterTransactions } from '../builders/later-connections.js'
import { HOLD, TransactionClient } from './client.js'

/** Drizzle's `PgTransactionConfig`. */
export interface DrizzleModes extends Modes {
  /** Drizzle 1.0: the transaction sees what another one has exported by `pg_export_snapshot()`. */
  readonly snapshot?: string | undefined
}

/** Runs a transaction. `work` gets its client, and what begins a transaction inside of it. */
export type Begin = <Value>(
  modes: DrizzleModes,
  work: (client: TransactionClient, nest: Begin, depth: number) => Promise<Value>,
) => Promise<Value>

export function beginnerOn(bind: Engine | Session | Connection): Begin {
  if (!(bind instanceof Engine)) return nestedIn(bind, 0)
  const transactions = new LaterTransactions(bind, HOLD)
  return async (modes, work) => {
    const connections = transactions.of(transactionOptions(modes))
    const connection = connections.take()
    try {
      return await runTransaction(connection, modes, work)
    } catch (error) {
      throw fromPg(error)
    } finally {
      await connections.giveBack(connection)
    }
  }
}

async function runTransaction<Value>(
  connection: Connection,
  modes: DrizzleModes,
  work: Parameters<Begin>[1],
): Promise<Value> {
  let value: Value
  try {
    value = await run(connection, modes, 0, work)
    // Queries that were issued without `await` are still on their way through Drizzle.
    await new Promise<void>((resolve) => process.nextTick(resolve))
  } catch (error) {
    // The error of the callback is the one to report.
    await connection.rollback().catch(() => undefined)
    throw error
  }
  await connection.commit()
  return value
}

/** Concurrent blocks run one after the other, so that no rollback undoes another block. */
function nestedIn(on: Executor, depth: number): Begin {
  return async (modes, work) =>
    await translated(() =>
      on.beginNested(async () => {
        await applyToSavepoint(modes, on)
        return await run(on, modes, depth, work)
      }),
    )
}

async function run<Value>(
  on: Executor,
  { snapshot }: DrizzleModes,
  depth: number,
  work: Parameters<Begin>[1],
): Promise<Value> {
  const client = new TransactionClient(on)
  try {
    if (snapshot !== undefined)
      await client.query(`set transaction snapshot '${snapshot.replaceAll("'", "''")}'`)
    return (await work(client, nestedIn(on, depth + 1), depth)) as Value
  } finally {
    client.close()
  }
}
