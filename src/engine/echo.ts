/** Echo: prints every statement that was sent, for people. */
import { databaseErrorFrom, isServerError } from '../database-errors.js'
import type { DriverConnection, StatementResult } from '../driver/driver.js'
import type { EncodedValue } from '../driver/values.js'
import type { Observed, PipelineObserver } from '../pipeline/contract.js'
import { stackOf } from '../internal/thrown.js'

/** A logger of pino's shape: `info` for statements, `debug` for rows, `error` for failures. */
export interface Logger {
  info(fields: object, message: string): void
  debug(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** `true`: prints statements on standard output. `'debug'`: also their rows. A logger: gets both, the rows at its debug level. */
export type Echo = boolean | 'debug' | Logger

// As SQLAlchemy does, so that a bulk statement does not flood the log.
const MOST_VALUES = 100
const LONGEST_VALUE = 300

/** The observer that echoes; undefined if there is nothing to echo. */
export function createEcho(echo: Echo, pool: string, hideParameters: boolean): PipelineObserver | undefined {
  if (echo === false) return undefined
  const logger = typeof echo === 'object' ? echo : standardOutput(pool)
  const showsRows = echo !== true && !hideParameters
  const describe = (operation: Observed): string => {
    const values = operation.values ?? []
    const shown =
      values.length === 0 ? '' : ` -- ${hideParameters ? '(parameters hidden)' : showValues(values)}`
    return `${operation.text === '' ? '(next page)' : operation.text}${shown}`
  }
  return {
    began: (connection) =>
      tryLog(() => logger.info({ pool, connectionId: connection.id }, 'BEGIN (implicit)')),
    answered(operation, connection, result, durationMillis) {
      // BEGIN itself was announced when it was sent.
      if (operation.kind === 'step' && operation.text.startsWith('BEGIN')) return
      const { command, rowCount } = result
      const fields = { pool, connectionId: connection.id, durationMillis, rowCount, command }
      tryLog(() => logger.info(fields, describe(operation)))
      if (showsRows && result.rows.length > 0)
        tryLog(() => logger.debug({ pool, connectionId: connection.id }, showRows(result)))
    },
    committedWithoutWaiting: (connection) =>
      tryLog(() => logger.info({ pool, connectionId: connection.id }, 'COMMIT (not waited for)')),
    refused(operation, connection: DriverConnection | undefined, error, durationMillis) {
      const { message } = isServerError(error) ? databaseErrorFrom(error, { hideParameters }) : error
      const sqlState = isServerError(error) ? error.code : undefined
      const fields = { pool, connectionId: connection?.id, durationMillis, sqlState }
      tryLog(() => logger.error(fields, `${describe(operation)} -- failed: ${message}`))
    },
  }
}

/** A logger that throws, or a row that cannot be shown, does not fail the statement: the failure is a warning. */
function tryLog(log: () => void): void {
  try {
    log()
  } catch (error) {
    const text = stackOf(error)
    process.emitWarning(`The echo failed: ${text}`, { type: 'LifeguardWarning', code: 'LIFEGUARD_ECHO' })
  }
}

function standardOutput(name: string): Logger {
  const write = (fields: object, message: string): void => {
    const { connectionId, durationMillis, rowCount } = fields as {
      connectionId?: number
      durationMillis?: number
      rowCount?: number | null
    }
    const figures = [
      rowCount === undefined || rowCount === null ? undefined : `${rowCount} rows`,
      durationMillis === undefined ? undefined : `${durationMillis.toFixed(1)} ms`,
    ].filter((figure) => figure !== undefined)
    const suffix = figures.length === 0 ? '' : ` (${figures.join(', ')})`
    process.stdout.write(`${name} [${connectionId ?? '-'}] ${message}${suffix}\n`)
  }
  return { info: write, debug: write, error: write }
}

function showRows(result: StatementResult): string {
  const shown = result.rows.slice(0, MOST_VALUES).map((row) => shorten(JSON.stringify(row, bigintAsText)))
  const more = result.rows.length - shown.length
  return `rows: ${shown.join(' ')}${more > 0 ? ` and ${more} more` : ''}`
}

function showValues(values: readonly EncodedValue[]): string {
  const shown = values.slice(0, MOST_VALUES).map((value) => {
    if (value === null) return 'null'
    return Buffer.isBuffer(value) ? `<${value.length} bytes>` : shorten(JSON.stringify(String(value)))
  })
  const more = values.length - shown.length
  return `[${shown.join(', ')}${more > 0 ? `, and ${more} more` : ''}]`
}

function shorten(text: string): string {
  return text.length <= LONGEST_VALUE ? text : `${text.slice(0, LONGEST_VALUE)}...`
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
