/** The values that a connection has sent in its transaction, because texts of the server may quote them (`hideParameters`). */
import { hideValues, type Sent, type ServerTexts } from '../internal/hidden-values.js'
import type { Batch } from './driver.js'
import type { EncodedValue } from './values.js'

interface Sending {
  readonly text: string
  readonly values: readonly EncodedValue[]
}

/** The most statements of one transaction that are remembered. */
const MOST_STATEMENTS = 1_000

export class SentValues {
  #statements: Sending[] = []
  /** The data of a COPY is not kept. */
  #copying = false

  /** Notes a batch. An error of a cursor or a deferred constraint may quote values of earlier batches of the transaction. */
  add(batch: Batch, beginsTransaction: boolean): void {
    if (beginsTransaction) this.#statements = []
    this.#copying = false
    for (const { text, values } of batch.statements) {
      // The statement itself is not kept, because it holds its rows.
      if (values !== undefined && values.length > 0) this.#statements.push({ text, values })
    }
    if (this.#statements.length > MOST_STATEMENTS)
      this.#statements.splice(0, this.#statements.length - MOST_STATEMENTS)
  }

  startCopy(): void {
    this.#copying = true
  }

  hide(texts: ServerTexts): void {
    hideValues(texts, this.#copying ? undefined : this.#sent())
  }

  #sent(): Sent {
    return {
      statements: this.#statements.map(({ text }) => text),
      values: this.#statements.flatMap(({ values }) => values.flatMap(textsOf)),
    }
  }
}

/** The texts in which the server may show a value. */
function textsOf(value: EncodedValue): string[] {
  if (value === null) return []
  if (typeof value === 'string') return [value]
  return Buffer.isBuffer(value) ? [value.toString('hex'), value.toString()] : [String(value)]
}
