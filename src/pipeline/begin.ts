/** Prepares the statements that begin a transaction, and reads from their answers whether its COMMIT can store anything. */
import type { DriverConnection } from '../driver/driver.js'
import { Operation, type OperationOwner } from './operation.js'
import type { SynchronousStandbys } from './synchronous-standbys.js'
import {
  beginStatements,
  type BeginPlan,
  type BeginStatement,
  type IsolationLevel,
  type TransactionOptions,
} from './transaction-options.js'

/**
 * The steps that begin a transaction on a connection; none in autocommit mode.
 * @param standbys Given if an abort may end the transaction, and has to know whether its COMMIT may wait.
 * @param first The first operation after them.
 */
export function beginSteps(
  owner: OperationOwner & { readonly plan: BeginPlan | undefined },
  connection: DriverConnection,
  standbys: SynchronousStandbys | undefined,
  first: Operation | undefined,
): Operation[] {
  if (owner.plan === undefined) return []
  const begin = owner.plan(connection)
  const statements =
    standbys === undefined ? begin : [...begin, ...standbys.ask(connection, first?.text ?? '')]
  return statements.map((statement) => {
    const { onRows, isCheck = false } = statement
    const step = new Operation(owner, isCheck ? 'check' : 'step', statement)
    // A failure needs no handler: the statement after it fails with the same error.
    if (onRows !== undefined)
      step.promise.then(
        ({ rows }) => onRows(rows),
        () => undefined,
      )
    return step
  })
}

/** How transactions begin with certain options. */
export interface Beginning {
  readonly plan: BeginPlan
  /** Undefined: the server's default. */
  readonly isolationLevel: IsolationLevel | undefined
  /**
   * True if COMMIT can neither store anything nor fail: a read-only transaction that is not serializable. Asked after a
   * transaction has begun on the connection.
   */
  commitIsFormality(connection: DriverConnection): boolean
}

// Timeouts can have any value, so the cache needs a limit; a program uses few combinations.
const MOST_KNOWN = 100

/** Makes the `Beginning` of each set of options; one engine shares them. */
export function createBeginnings(): (options: TransactionOptions) => Beginning {
  // The default isolation level of each connection. The server does not report it unasked.
  const defaultLevels = new WeakMap<DriverConnection, string>()

  const known = new Map<string, Beginning>()

  const create = (options: TransactionOptions): Beginning => {
    const statements = beginStatements(options)
    const { readOnly = false, isolationLevel } = options
    const asks = readOnly && isolationLevel === undefined
    return {
      isolationLevel,
      plan: (connection) => {
        if (!asks || defaultLevels.has(connection)) return statements
        // Asked once for each connection, in the same batch.
        const ask: BeginStatement = {
          text: 'show transaction_isolation',
          values: [],
          onRows: (rows) => {
            const [row] = rows as { transaction_isolation?: string }[]
            if (row?.transaction_isolation !== undefined)
              defaultLevels.set(connection, row.transaction_isolation)
          },
        }
        return [...statements, ask]
      },
      commitIsFormality(connection) {
        const level = isolationLevel ?? defaultLevels.get(connection) ?? 'serializable'
        return readOnly && level.toLowerCase() !== 'serializable'
      },
    }
  }

  return (options) => {
    // Settings and roles may differ with each transaction (a tenant's id, for example), so these are not cached.
    if (options.settings !== undefined || options.role !== undefined) return create(options)
    const key = JSON.stringify(options)
    const beginning = known.get(key) ?? create(options)
    if (known.size < MOST_KNOWN) known.set(key, beginning)
    return beginning
  }
}
