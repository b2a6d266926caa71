/**
 * Connects to one of several hosts: in order, and in parallel if a host opens no socket for {@link STAGGER_MILLIS}.
 *
 * 1. The first connection ends the search. Every other attempt is aborted, and a connection that it makes nevertheless is discarded.
 * 2. The next host is tried when the attempt before it has failed, or has not opened a socket after {@link STAGGER_MILLIS}.
 */
import type { Clock, Timer } from '../internal/clock.js'
import type { HostTarget } from './hosts.js'

/** How long a host may take to open a socket before the next is tried beside it, as in RFC 8305 (happy eyeballs). */
const STAGGER_MILLIS = 250

/** Why one host gave no connection. */
export interface HostFailure {
  readonly host: HostTarget
  readonly error: unknown
}

/** No host gave a connection. */
export class NoHostError extends Error {
  override readonly name = 'NoHostError'
  readonly failures: readonly HostFailure[]

  constructor(failures: readonly HostFailure[]) {
    super('No host gave a connection')
    this.failures = failures
  }
}

export interface HostSearch<Found> {
  /** In the order to try. */
  readonly hosts: readonly HostTarget[]
  /** Connects to one host; rejects when the signal aborts. Calls `onSocket` once a socket is open. */
  readonly attempt: (host: HostTarget, signal: AbortSignal, onSocket: () => void) => Promise<Found>
  /** Closes a connection that was made after another host had won. */
  readonly discard: (found: Found) => void
  /** True if no other host can do better: the search ends with this failure. */
  readonly isFinal: (error: unknown) => boolean
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** @throws NoHostError with the failures in the order in which they came. */
export function searchHosts<Found>(search: HostSearch<Found>): Promise<Found> {
  return new Promise((resolve, reject) => {
    const { hosts, clock, signal } = search
    const failures: HostFailure[] = []
    const running = new Set<AbortController>()
    let begun = 0
    let isOver = false
    let stagger: Timer | undefined

    const end = (settle: () => void): void => {
      isOver = true
      stagger?.cancel()
      signal.removeEventListener('abort', onAbort)
      for (const attempt of running)
        attempt.abort(signal.aborted ? signal.reason : new Error('Another host answered'))
      settle()
    }
    const beginNext = (): void => {
      stagger?.cancel()
      const host = hosts[begun]
      if (host === undefined || signal.aborted) return
      begun += 1
      const turn = begun
      const controller = new AbortController()
      running.add(controller)
      if (begun < hosts.length) stagger = clock.setTimer(beginNext, STAGGER_MILLIS, { keepAlive: true })
      const onSocket = (): void => {
        if (turn === begun) stagger?.cancel()
      }
      void search.attempt(host, controller.signal, onSocket).then(
        (found) => {
          running.delete(controller)
          if (isOver) search.discard(found)
          else end(() => resolve(found))
        },
        (error: unknown) => {
          running.delete(controller)
          if (isOver) return
          failures.push({ host, error })
          if (search.isFinal(error)) return end(() => reject(new NoHostError(failures)))
          // The next host waits only for the attempt that was begun last.
          if (turn === begun) beginNext()
          if (running.size === 0) end(() => reject(new NoHostError(failures)))
        },
      )
    }
    const onAbort = (): void => {
      stagger?.cancel()
      for (const attempt of running) attempt.abort(signal.reason)
    }
    signal.addEventListener('abort', onAbort)
    beginNext()
    if (begun === 0) end(() => reject(new NoHostError(failures)))
  })
}

/** The hosts in random order. */
export function shuffle(hosts: readonly HostTarget[]): HostTarget[] {
  const left = [...hosts]
  for (let at = left.length - 1; at > 0; at -= 1) {
    const other = Math.floor(Math.random() * (at + 1))
    const [one, two] = [left[at], left[other]]
    if (one !== undefined && two !== undefined) {
      left[at] = two
      left[other] = one
    }
  }
  return left
}
