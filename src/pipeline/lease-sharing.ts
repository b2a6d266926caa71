/**
 * Pipelined autocommit: sends the reads of several sessions on one connection.
 *
 * A read waits for a connection as any other caller of the pool does, with the same place in the queue, timeout, signal and limits.
 * When another read gets a connection, waiting reads are taken along (`Lease.takeAlong`), and all are sent in one batch
 * (`shared-batch.ts`). So sessions share connections only while the pool has none left, and no caller waits longer than without.
 *
 * While reads wait, those that get a connection are sent together at the end of the turn of the event loop: the callers that have just
 * got their answers go on meanwhile, so their next reads share the batch.
 */
import * as timers from 'node:timers'
import type { Lease, LeaseReceiver } from '../pool/pool.js'
import { MOST_READS, SharedBatch, type Rider, type SharingHost } from './shared-batch.js'

/** Kept from the start, because fake timers of a test runner would hold the reads back for ever. */
const { setImmediate } = timers

/** A read that has got a connection, and has not been sent. */
interface Departure {
  readonly rider: Rider
  readonly lease: Lease
}

export class LeaseSharing {
  readonly #host: SharingHost
  /** Reads have waited for a connection when the last one was sent. */
  #isCrowded = false
  #departures: Departure[] = []

  constructor(host: SharingHost) {
    this.#host = host
  }

  /** A session that waits with a read has got a connection. */
  leased(rider: Rider, lease: Lease): void {
    if (lease.takeAlong === undefined || !lease.proven) return rider.own(lease)
    this.#departures.push({ rider, lease })
    if (!this.#isCrowded) this.#depart()
    else if (this.#departures.length === 1) setImmediate(() => this.#depart())
  }

  #depart(): void {
    const departures = this.#departures
    this.#departures = []
    let waiting = countWaiting(departures[0]?.lease)
    this.#isCrowded = waiting > 0
    for (const [at, { rider, lease }] of departures.entries()) {
      const riders = [rider]
      // Each connection takes an equal share.
      const share = Math.min(MOST_READS - 1, Math.ceil(waiting / (departures.length - at)))
      // Its session may have given the read up meanwhile, or the connection was lost.
      const isReady = rider.read !== undefined && lease.connection.lost === undefined
      if (isReady && share > 0)
        lease.takeAlong?.(share, (receiver) => isReading(receiver) && riders.push(receiver) > 0)
      waiting -= riders.length - 1
      if (riders.length === 1) rider.own(lease)
      else new SharedBatch(this.#host, lease, riders).send()
    }
  }
}

function countWaiting(lease: Lease | undefined): number {
  let waiting = 0
  lease?.takeAlong?.(Infinity, (receiver) => {
    if (isReading(receiver)) waiting += 1
    return false
  })
  return waiting
}

function isReading(receiver: LeaseReceiver): receiver is Rider {
  return 'board' in receiver && (receiver as Rider).read !== undefined
}
