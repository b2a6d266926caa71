/** The driver's own statements between two checkouts of a connection: ping and reset. */
import type { Clock } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import type { BatchStatement, PhysicalConnection, ResetMode, StatementConnection } from './driver.js'
import { StatementNotRun } from './driver.js'

/** Resets everything that a session can leave behind, except prepared statements: the next holder uses them. */
const SESSION_RESET = [
  'SET SESSION AUTHORIZATION DEFAULT',
  'RESET ALL',
  'UNLISTEN *',
  'CLOSE ALL',
  'SELECT pg_advisory_unlock_all()',
  'DISCARD TEMP',
  'DISCARD SEQUENCES',
] as const

type OwnConnection = PhysicalConnection & StatementConnection

/** The statements that clean the connection; empty if there is nothing to clean. */
export function resetStatements(mode: ResetMode, inTransaction: boolean): readonly string[] {
  const rollback = inTransaction ? ['ROLLBACK'] : []
  return mode === 'session' ? [...rollback, ...SESSION_RESET] : rollback
}

/**
 * Runs statements of the driver, each as its own transaction. On failure or after the timeout, the connection is destroyed.
 * @param what Names the exchange in the error: `ping`, `reset`.
 */
export function runOwnStatements(
  connection: OwnConnection,
  clock: Clock,
  texts: readonly string[],
  timeoutMillis: number,
  what: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    const expire = (): void =>
      connection.destroy(new Error(`No answer to the ${what} within ${timeoutMillis} ms`))
    const timer = setDeadline(clock, expire, timeoutMillis)
    const statements = texts.map((text): BatchStatement => ({
      text,
      prepare: false,
      onResult: () => undefined,
      onError: (error) => {
        failure ??= error instanceof StatementNotRun ? error.cause : error
      },
    }))
    const onEnd = (): void => {
      timer.cancel()
      if (failure === undefined) resolve()
      else {
        connection.destroy(failure)
        reject(failure)
      }
    }
    connection.submit({ statements, sync: 'separate', onEnd })
  })
}
