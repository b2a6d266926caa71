/** Runs what the schema layer builds, without a session. */
import pg from 'pg'
import { ArrayParameter } from '../../src/driver/array-parameter.js'
import { readRow, type EntityStatement } from '../../src/query/entity-statement.js'
import { RAW_TEXT } from '../../src/codecs/raw-values.js'
import type { EncodedText } from '../../src/schema/table-column.js'

/** A connection of its own that answers with rows of texts. */
export class TextClient {
  readonly #client: pg.Client

  private constructor(client: pg.Client) {
    this.#client = client
  }

  static async connect(url: string): Promise<TextClient> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    return new TextClient(client)
  }

  /** Rows of texts. */
  async rows(statement: {
    readonly text: string
    readonly values: readonly unknown[]
  }): Promise<EncodedText[][]> {
    return (await this.run(statement)).rows as EncodedText[][]
  }

  /** How many rows a statement has changed. */
  async count(statement: { readonly text: string; readonly values: readonly unknown[] }): Promise<number> {
    return (await this.run(statement)).rowCount ?? 0
  }

  run({
    text,
    values,
  }: {
    readonly text: string
    readonly values: readonly unknown[]
  }): Promise<pg.QueryResult> {
    const types = RAW_TEXT as pg.CustomTypesConfig
    const sent = values.map((value) => (value instanceof ArrayParameter ? String(value) : value))
    return this.#client.query({ text, values: sent, rowMode: 'array', types })
  }

  /** The entities, records or values that a statement gives. */
  async items<Item>(statement: EntityStatement<Item, unknown>): Promise<Item[]> {
    const query = statement.toEntityQuery()
    const { meta, reading } = query
    return (await this.rows(query)).map((row) => {
      if (reading.kind !== 'entity') return readRow(reading, row) as Item
      const instance = meta.create()
      meta.fill(instance, meta.table.columns, row)
      return instance as Item
    })
  }

  async executeScript(text: string): Promise<void> {
    await this.#client.query(text)
  }

  end(): Promise<void> {
    return this.#client.end()
  }
}
