/**
 * Detects changes of objects that no flush will store. In development only, because such changes are probably a mistake, but may be
 * intended.
 *
 * - A session that was not made by `withSession` is closed before its changes were flushed.
 * - An object is changed after its session has ended, and is in no session a second later.
 */
import { systemClock, type Clock } from '../internal/clock.js'
import { warnOnce } from '../internal/development.js'
import { lineOf, type CallSite } from '../pool/call-site.js'
import type { InstanceState } from '../unit/instance-state.js'

/** How long a changed object may take to be added to another session. */
const PATIENCE_MILLIS = 1_000
/** The most objects that are watched at a time. */
const MOST_WATCHED = 100

export class UnstoredChanges {
  readonly #clock: Clock
  #watched: Watched[] = []

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /**
   * A session has ended: looks a while later whether its objects were changed.
   * @param site Where the session took its connection; undefined if that is not known.
   */
  watch(states: Iterable<InstanceState>, site: CallSite | undefined): void {
    const isWaiting = this.#watched.length > 0
    for (const state of states) {
      if (this.#watched.length >= MOST_WATCHED) break
      this.#watched.push({ reference: new WeakRef(state), site })
    }
    if (isWaiting || this.#watched.length === 0) return
    this.#clock.setTimer(() => this.#check(), PATIENCE_MILLIS, { keepAlive: false })
  }

  #check(): void {
    const watched = this.#watched
    this.#watched = []
    for (const { reference, site } of watched) {
      const state = reference.deref()
      if (state?.status === 'detached') warnOfDetached(state, site)
    }
  }
}

interface Watched {
  readonly reference: WeakRef<InstanceState>
  readonly site: CallSite | undefined
}

function warnOfDetached(state: InstanceState, site: CallSite | undefined): void {
  const { meta } = state
  const [column] = changesOf(state)
  if (column === undefined) return
  warnOnce(
    'LIFEGUARD_DETACHED_CHANGE',
    `${meta.name}.${column}`,
    `${meta.name}.${column} was changed after the session of its object had ended, so nothing stores the change (${String(state)}${site === undefined ? '' : `, of the session that ran statements at ${lineOf(site)}`}). ` +
      'Change it inside of the block, or add() the object to another session. For another view of the object, change a copy: { ...object }.',
  )
}

/** The properties that differ from the stored row; none if that is not known. */
function changesOf(state: InstanceState): readonly string[] {
  try {
    return state.changes.map(({ property }) => property)
  } catch {
    return []
  }
}

/** @param made The line that made the session. */
export function warnOfUnflushed(made: string): void {
  warnOnce(
    'LIFEGUARD_UNFLUSHED',
    made,
    `A session was closed with changes that were not stored: close() does not commit. Call commit() before, or use withSession(fn). ` +
      `If an error ended the code before commit(), call rollback() in its catch. The session was made ${made}.`,
  )
}
