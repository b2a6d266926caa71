/** What the tests of connecting share. */
import { inspect } from 'node:util'
import type { Driver, DriverConnection } from '../../src/driver/driver.js'
import { type PgDriverOptions, createPgDriver } from '../../src/driver/pg-driver.js'
import type { Clock } from '../../src/internal/clock.js'

/** A driver that keeps no prepared statements. */
export function driverFor(options: Omit<PgDriverOptions, 'statementCacheSize'>): Driver {
  return createPgDriver({ statementCacheSize: 0, ...options })
}

/** Connects, hands the connection to `use`, and closes it in any case. */
export async function withConnection<Value>(
  driver: Driver,
  use: (connection: DriverConnection) => Promise<Value>,
): Promise<Value> {
  const connection = await driver.connect({ timeoutMillis: 10_000 })
  try {
    return await use(connection)
  } finally {
    await connection.close(5000)
  }
}

/** The error with which a connect fails. Fails itself if the connect does not. */
export async function failureOf(options: Omit<PgDriverOptions, 'statementCacheSize'>): Promise<Error> {
  const outcome = await driverFor(options)
    .connect({ timeoutMillis: 10_000 })
    .then(
      (connection) => connection,
      (error: unknown) => error as Error,
    )
  if (outcome instanceof Error) return outcome
  await outcome.close(5000)
  throw new Error('It connected')
}

/** Runs one statement and returns its rows. */
export function select<Row>(connection: DriverConnection, text: string): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    let settle = (): void => undefined
    connection.submit({
      sync: 'shared',
      statements: [
        {
          text,
          onResult: ({ rows }) => {
            settle = () => resolve(rows as Row[])
          },
          onError: (error) => {
            settle = () => reject(error)
          },
        },
      ],
      onEnd: () => settle(),
    })
  })
}

/** Connects, runs one statement, and closes. */
export function selectOnce<Row>(
  options: Omit<PgDriverOptions, 'statementCacheSize'>,
  text: string,
): Promise<Row[]> {
  return withConnection(driverFor(options), (connection) => select<Row>(connection, text))
}

/** A clock on which time passes when a test says so: `pass()` ends every timer that runs. */
export interface StoppedClock extends Clock {
  readonly timers: number
  pass(): void
}

export function stoppedClock(): StoppedClock {
  const running = new Set<() => void>()
  return {
    get timers() {
      return running.size
    },
    now: () => 0,
    setTimer: (callback) => {
      running.add(callback)
      return { cancel: () => running.delete(callback) }
    },
    pass: () => {
      for (const callback of [...running]) {
        running.delete(callback)
        callback()
      }
    },
  }
}

/** Everything that can be seen of a value: printed with all that is hidden, as JSON, and as text. */
export function everythingOf(value: unknown): string {
  return [
    inspect(value, { showHidden: true, depth: 12, getters: true }),
    JSON.stringify(value),
    String(value),
  ].join('\n')
}
