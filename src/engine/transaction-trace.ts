/** Publishes transactions on the channel `lifeguard:transaction`, for whoever subscribes. */
import { transactionChannel, type TransactionMessage } from '../internal/channels.js'

export class TransactionTrace {
  #message: TransactionMessage | undefined = undefined

  /** BEGIN is sent; if it is sent once more, it is still the same transaction. */
  began(connectionId: number): void {
    if (this.#message !== undefined || !transactionChannel.hasSubscribers) return
    this.#message = { connectionId }
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
