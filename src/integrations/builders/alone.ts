/**
 * Queries outside of a transaction, on an engine: in autocommit mode, or with BEGIN and COMMIT in their batch, if the engine has
 * options that need a transaction (a role, a time limit, ...).
 */
import type { Executor } from '../../execution/executor.js'
import { InvalidOptionError, type Connection, type Engine } from '../../index.js'
import type { HoldOptions } from '../../engine/begin-options.js'
import { LaterConnections } from './later-connections.js'

/** Options of a connection for queries by themselves. */
export type AloneOptions = { readonly autocommit?: true }

/** Undefined if queries by themselves need a transaction on this engine. */
export function connectionsAlone(engine: Engine, hold: HoldOptions): LaterConnections | undefined {
  const options = optionsAlone(engine)
  return options.autocommit === true ? new LaterConnections(engine, engine.setUp(options, hold)) : undefined
}

/** Options of a connection for queries by themselves. */
export function optionsAlone(engine: Engine): AloneOptions {
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
  { autocommit }: AloneOptions,
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
