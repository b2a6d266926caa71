/** Runs queries of Kysely on a session, a connection or an engine. */
import type { CompiledQuery, QueryResult } from 'kysely'

import type { Executor } from '../../execution/executor.js'
import { holdsSeveral } from '../builders/several-statements.js'

/** What a session and a connection of the engine have in common, as far as Kysely needs it. */
export type Statements = Pick<Executor, 'execute' | 'executeScript' | 'stream' | 'beginNested'>

/** What Kysely 0.29 passes on if its caller gave a signal. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined
}

/** Commands whose count of rows Kysely reports as `numAffectedRows`, as with its own dialect. */
const CHANGES: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

/** Runs a query. Its rows are as node-postgres has them. */
export async function resultOf<Row>(
  on: Statements,
  { sql: text, parameters: values }: CompiledQuery,
  signal?: AbortSignal,
): Promise<QueryResult<Row>> {
  if (values.length === 0 && holdsSeveral(text)) {
    // As with node-postgres, whose list of results Kysely does not read.
    await on.executeScript(text)
    return { rows: [] }
  }
  const result = await on.execute<Row>({ text, values }, signal === undefined ? undefined : { signal })
  const rows = result.all()
  return CHANGES.has(result.command) ? { numAffectedRows: BigInt(result.rowCount), rows } : { rows }
}

/** Reads the rows of a query with a cursor on the server, `chunkSize` at a time. */
export async function* pagesOf<Row>(
  on: Statements,
  { sql: text, parameters: values }: CompiledQuery,
  chunkSize: number | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<QueryResult<Row>> {
  const stream = on.stream<Row>({ text, values }, { batchSize: chunkSize, signal })
  for await (const page of stream.pages()) yield { rows: [...page] }
}
