/**
 * Queries outside of a transaction, on an engine: in autocommit mode, or with BEGIN and COMMIT in their batch, if the engine has
 * options that need a transaction (a role, a time limit, ...).
 */
import type { Executor } from '../../execution/executor.js'
import { InvalidOptionError, type Connection, type Engine } from '../../index.js'

/** Options of a connection for queries by themselves. */
export function optionsAlone(engine: Engine): { readonly autocommit?: true } {
  try {
    engine.setUp({ autocommit: true }, { releaseWhenIdle: false })
    return { autocommit: true }
  } catch (error) {
    if (error instanceof InvalidOptionError) return {}
    throw error
  }
}

/**
 * Calls `work`, which runs one query.
 * @param connection Made with `optionsAlone`.
 */
export async function runAlone<Value>(
  connection: Connection,
  { autocommit }: { readonly autocommit?: true },
  work: (on: Executor) => Promise<Value>,
): Promise<Value> {
  if (autocommit === true) return await work(connection)
  const running = work(connection)
  // In the batch of the query.
  const committing = connection.commit()
  // If the query fails, its error is the one to report.
  committing.catch(() => undefined)
  try {
    const value = await running
    await committing
    return value
  } catch (error) {
    await connection.rollback()
    throw error
  }
}
