/** The client for Drizzle's driver for node-postgres, which only uses `query`. */
import type { Executor } from '../../execution/executor.js'
import {
  Engine,
  IllegalStateError,
  type Connection,
  type FieldDescription,
  type Session,
} from '../../index.js'
import { connectionsAlone, optionsAlone, runAlone } from '../builders/alone.js'
import { fromPg } from '../builders/from-pg.js'
import { modesText, type Modes } from '../builders/modes.js'
import { holdsSeveral } from '../builders/several-statements.js'
import type { StatementConfig } from '../../sql.js'

/** A query as Drizzle writes it. Its name is left out: the engine prepares statements by their text. */
export type Query = Pick<StatementConfig, 'text' | 'rowMode' | 'types'>

/** The part of pg's `QueryResult` that Drizzle passes on. */
export interface QueryAnswer {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: unknown[]
  readonly fields: readonly FieldDescription[]
}

/** Drizzle has no connection of its own beside transactions: it goes back to the pool when nothing runs. */
export const HOLD = { releaseWhenIdle: true }

/** Runs `work` where a query may run now. */
type Run = <Value>(work: (on: Executor) => Promise<Value>) => Promise<Value>

export class Client {
  readonly #run: Run

  constructor(run: Run) {
    this.#run = run
  }

  async query(query: Query | string, values: readonly unknown[] = []): Promise<QueryAnswer> {
    const { text, rowMode, types } = typeof query === 'string' ? textOnly(query) : query
    try {
      return await this.#run((on) => answerOn(on, { text, values, rowMode, types }))
    } catch (error) {
      throw fromPg(error)
    }
  }

  /** SET TRANSACTION; only before the first query. */
  async setModes(modes: Modes): Promise<void> {
    const text = modesText(modes)
    if (text !== '') await this.query(`set transaction ${text}`)
  }
}

function textOnly(text: string): Query {
  return { text, rowMode: undefined, types: undefined }
}

async function answerOn(
  on: Executor,
  statement: Query & { readonly values: readonly unknown[] },
): Promise<QueryAnswer> {
  if (statement.values.length === 0 && holdsSeveral(statement.text)) {
    await on.executeScript(statement.text)
    return { command: '', rowCount: null, rows: [], fields: [] }
  }
  const result = await on.execute<unknown>(statement)
  return { command: result.command, rowCount: result.rowCount, rows: result.all(), fields: result.fields }
}

/** A client for queries that are no part of a transaction of Drizzle. */
export function clientOn(bind: Engine | Session | Connection): Client {
  if (!(bind instanceof Engine)) return new Client((work) => work(bind))
  const connections = connectionsAlone(bind, HOLD)
  if (connections !== undefined) {
    return new Client(async (work) => {
      const connection = connections.take()
      try {
        return await work(connection)
      } finally {
        await connections.giveBack(connection)
      }
    })
  }
  const alone = optionsAlone(bind)
  return new Client(async (work) => {
    const connection = await bind.connect(alone)
    try {
      return await runAlone(connection, alone, work)
    } finally {
      await connection.close()
    }
  })
}

/** A client for the queries of one transaction or savepoint. */
export class TransactionClient extends Client {
  #isOver = false

  constructor(on: Executor) {
    super((work) => {
      if (!this.#isOver) return work(on)
      throw new IllegalStateError(
        'A query of Drizzle was issued after the end of its transaction, and was not run: an `await` is missing, or another branch of a Promise.all has failed',
      )
    })
  }

  /** The transaction has ended: its queries are refused from now on. */
  close(): void {
    this.#isOver = true
  }
}
