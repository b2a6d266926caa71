/** Counts the transactions of a pipeline, and publishes them on the channel `lifeguard:transaction` for its subscribers. */
import { transactionChannel, type TransactionMessage } from '../internal/channels.js'

export class TransactionTrace {
  /** How many have begun. */
  count = 0
  /** The statement that began the last one. */
  begun: string | undefined = undefined
  #message: TransactionMessage | undefined = undefined

  /** BEGIN is sent; if it is sent once more, it is still the same transaction. */
  began(pool: string, connectionId: number, text?: string): void {
    this.count++
    this.begun = text
    if (this.#message !== undefined || !transactionChannel.hasSubscribers) return
    this.#message = { pool, connectionId }
    transactionChannel.start.publish(this.#message)
    transactionChannel.end.publish(this.#message)
  }

  ended(outcome: NonNullable<TransactionMessage['outcome']>): void {
    const message = this.#message
    if (message === undefined) return
    this.#message = undefined
    message.outcome = outcome
    transactionChannel.asyncStart.publish(message)
    transactionChannel.asyncEnd.publish(message)
  }
}
