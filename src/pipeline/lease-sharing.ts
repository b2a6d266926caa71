/**
 * Pipelined autocommit: sends the reads of several sessions on one connection.
 *
 * A read waits for a connection as any other caller of the pool does, with the same place in the queue, timeout, signal and limits.
 * When another read gets a connection, waiting reads are taken along (`Lease.takeAlong`), and all are sent in one batch
 * (`shared-batch.ts`).
 *
 * Once reads have waited, those that get a connection are sent together at the end of the turn of the event loop: the callers that
 * have just got their answers go on meanwhile, so their next reads share the batch. If the server is busy with all of these reads for a
 * short time only (`BUSY_MILLIS`), they share fewer connections than they have got, and the others are released. That saves CPU
 * time, because each connection takes a system call for its batch, and one or more for its answers.
 */
import * as timers from 'node:timers'
import type { Lease, LeaseReceiver } from '../pool/pool.js'
import { MOST_READS, SharedBatch, type Rider, type SharingHost } from './shared-batch.js'

/** Kept from the start, because fake timers of a test runner would hold the reads back for ever. */
const { setImmediate } = timers

/** Reads share a connection as long as the server is busy with all of them for no longer than this. */
export const BUSY_MILLIS = 1
/** After so many reads that got a connection alone, reads are sent at once again. */
const CALM_AFTER = 8

/** A read that has got a connection, and has not been sent. */
interface Departure {
  readonly rider: Rider
  readonly lease: Lease
}

/** Some reads, and for how long the server is busy with them. */
interface Load {
  count: number
  millis: number
}

export class LeaseSharing {
  readonly #host: SharingHost
  /** How many more reads may get a connection alone until no others are expected at the same time; 0: reads are sent at once. */
  #crowd = 0
  #departures: Departure[] = []

  constructor(host: SharingHost) {
    this.#host = host
  }

  /** A session that waits with a read has got a connection. */
  leased(rider: Rider, lease: Lease): void {
    if (lease.takeAlong === undefined || !lease.proven) return rider.own(lease)
    this.#departures.push({ rider, lease })
    if (this.#crowd === 0) this.#depart()
    else if (this.#departures.length === 1) setImmediate(() => this.#depart())
  }

  #depart(): void {
    const departures = this.#departures
    this.#departures = []
    const load = this.#waiting(departures[0]?.lease)
    let left = load.count
    for (const { rider } of departures) this.#add(load, rider)
    this.#crowd = load.count > 1 ? CALM_AFTER : Math.max(0, this.#crowd - 1)
    const needed = Math.max(1, Math.ceil(load.millis / BUSY_MILLIS), Math.ceil(load.count / MOST_READS))
    const used = Math.min(needed, departures.length)
    for (let at = 0; at < used; at += 1) {
      const group = departures.filter((_, index) => index % used === at)
      // Each connection takes an equal share.
      left -= this.#send(group, Math.ceil(left / (used - at)))
    }
  }

  /** Sends the reads of a group on one of its connections. @returns how many waiting reads were taken along. */
  #send(group: readonly Departure[], share: number): number {
    const ready = group.filter(isReady)
    const gone = ready.length < group.length ? group.filter((departure) => !ready.includes(departure)) : []
    const [first] = ready
    const riders = ready.map(({ rider }) => rider)
    const most = Math.min(MOST_READS - riders.length, share)
    if (most > 0)
      first?.lease.takeAlong?.(most, (receiver) => isReading(receiver) && riders.push(receiver) > 0)
    if (first !== undefined) {
      if (riders.length === 1) first.rider.own(first.lease)
      else new SharedBatch(this.#host, first.lease, riders).send()
    }
    // Only now, because listeners of the pool may call reads off.
    for (const { lease } of ready) if (lease !== first?.lease) lease.release()
    for (const { rider, lease } of gone) rider.own(lease)
    return riders.length - ready.length
  }

  #waiting(lease: Lease | undefined): Load {
    const load = { count: 0, millis: 0 }
    lease?.takeAlong?.(Infinity, (receiver) => {
      if (isReading(receiver)) this.#add(load, receiver)
      return false
    })
    return load
  }

  /** A read whose time is not known counts as one that needs a connection of its own. */
  #add(load: Load, { read }: Rider): void {
    load.count += 1
    load.millis += (read && this.#host.reads.timeOf(read.text)) ?? BUSY_MILLIS
  }
}

/** Its session may have given the read up meanwhile, or the connection was lost. */
function isReady({ rider, lease }: Departure): boolean {
  return rider.read !== undefined && lease.connection.lost === undefined
}

function isReading(receiver: LeaseReceiver): receiver is Rider {
  return 'board' in receiver && (receiver as Rider).read !== undefined
}
