/** Changes errors for code that was written for node-postgres: the `code` of PostgreSQL's errors is the SQLSTATE. */
import { DatabaseError } from '../../index.js'

export function fromPg(error: unknown): unknown {
  if (error instanceof DatabaseError)
    Object.defineProperty(error, 'code', { value: error.sqlState, configurable: true, enumerable: true })
  return error
}

/** Calls `work`, and translates its error. */
export async function translated<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work()
  } catch (error) {
    throw fromPg(error)
  }
}
