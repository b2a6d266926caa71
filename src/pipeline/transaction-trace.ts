/** Counts the transactions of a pipeline, and publishes them on the channel `lifeguard:transaction` for its subscribers. */
import { isServerError } from '../database-errors.js'
import { transactionChannel, type MessageSource, type TransactionMessage } from '../internal/channels.js'

export class TransactionTrace {
  /** How many transactions have begun. */
  count = 0
  #message: TransactionMessage | undefined = undefined
  /** True: the start of `#message` was published. */
  #published = false

  /** The message of the open transaction, or of the one that the next statement begins; undefined without a subscriber. */
  expect(source: MessageSource): TransactionMessage | undefined {
    if (this.#message === undefined && transactionChannel.hasSubscribers)
      this.#message = { pool: source.pool, engineId: source.engineId, connectionId: undefined }
    return this.#message
  }

  /** BEGIN is sent. If it is sent again, it begins the same transaction. */
  began(source: MessageSource, connectionId: number): void {
    this.count++
    if (this.#published || !transactionChannel.hasSubscribers) return
    const message = this.expect(source)
    if (message === undefined) return
    message.connectionId = connectionId
    this.#published = true
    transactionChannel.start.publish(message)
    transactionChannel.end.publish(message)
  }

  /** PostgreSQL refused BEGIN or COMMIT. */
  refused(error: Error): void {
    if (this.#published && this.#message !== undefined && isServerError(error))
      this.#message.sqlState ??= error.code
  }

  ended(outcome: NonNullable<TransactionMessage['outcome']>): void {
    const message = this.#message
    const isPublished = this.#published
    this.#message = undefined
    this.#published = false
    if (message === undefined || !isPublished) return
    message.outcome = outcome
    transactionChannel.asyncStart.publish(message)
    transactionChannel.asyncEnd.publish(message)
  }
}
