/**
 * Detects that two requests use one session at a time: the commit of one request would store unfinished work of the other. It watches
 * only sessions that were not made by `withSession`, and by default only in development.
 *
 * - Two requests of an HTTP server are certain: the second one is refused while the first is in progress and the transaction open.
 * - Code with different values in its AsyncLocalStorages probably belongs to two requests: if one ends the transaction of the other, a
 *   warning is emitted. Concurrent code of one request (`Promise.all`, helpers, test hooks) has the same values, or none.
 *
 * Other flows (timers, messages of a queue, events of a socket) are not refused, because correct code looks the same. An import that
 * writes in each 'data' event of a stream and commits in its 'end' event, or a timer that commits what events have written, uses one
 * session in events of which none has started another: just what two handlers do that share a session by mistake. The async context
 * shows who has started a flow, and not which flows are one unit of work. An HTTP request is such a unit, and has a known end.
 */
import { IllegalStateError } from '../errors.js'
import {
  currentRequest,
  isInProgress,
  programStores,
  watchRequests,
  type RequestMark,
} from '../internal/requests.js'
import { captureCallSite, lineOf } from '../pool/call-site.js'

const ADVICE =
  'Take one session for each request: withSession(fn). If it is meant, make the session with detectSharing: false.'

export class SharedUse {
  readonly #requests = new Set<RequestMark>()
  #stores: readonly unknown[] | undefined = undefined
  #warned = false
  readonly #made: string

  /** The line that made the session. */
  get made(): string {
    return this.#made
  }

  /** @param factory Called by the code that wants the session. */
  constructor(factory: (...parameters: never[]) => unknown) {
    watchRequests()
    this.#made = `at ${lineOf(captureCallSite(factory))}`
  }

  /** @throws IllegalStateError in a request, while another one that has used the transaction is in progress. */
  use(): void {
    const request = currentRequest()
    if (request !== undefined) {
      for (const other of this.#requests) {
        if (other === request || !isInProgress(other)) continue
        throw new IllegalStateError(
          `A session is used by two requests at once, and the commit of one would store the half-done work of the other. It was made ${this.#made}. ${ADVICE}`,
        )
      }
      this.#requests.add(request)
    }
    this.#stores ??= programStores()
  }

  /** The transaction is about to be ended. @throws as `use`. */
  end(): void {
    const before = this.#stores
    this.use()
    if (before === undefined || before.length === 0 || this.#warned) return
    const now = programStores()
    if (now.length === 0 || now.some((store) => before.includes(store))) return
    this.#warned = true
    process.emitWarning(
      `A session was committed or rolled back by other code than the code that began its transaction. If two requests share the session, the work of both is stored or rolled back. It was made ${this.#made}. ${ADVICE}`,
      { type: 'LifeguardWarning', code: 'LIFEGUARD_SHARED_SESSION' },
    )
  }

  /** The transaction has ended. */
  ended(): void {
    this.#requests.clear()
    this.#stores = undefined
  }
}
