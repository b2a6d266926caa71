/** The events of an engine: those of its pool, and the notices of its servers. */
import type { NoticeListener, ServerNotice } from '../driver/driver.js'
import { noticeChannel, type NoticeMessage } from '../internal/channels.js'
import type { Emitter } from '../internal/emitter.js'
import { InvalidOptionError } from '../errors.js'
import { nearestName } from '../internal/nearest-name.js'
import type { PoolEvents } from '../pool/events.js'
import type { RetryEvent } from './retry.js'
import type { ReplicationEvents } from './replica-stats.js'

/**
 * A notice of the server, such as RAISE NOTICE or a warning. With `hideParameters`, sent values are hidden and `detail` is absent.
 */
export interface NoticeEvent extends ServerNotice {
  /** Number of the connection: `DriverConnection.id`. */
  readonly connectionId: number
}

/** Maps an event's name to its payload. */
export interface EngineEvents extends PoolEvents, ReplicationEvents {
  /** The server sent a notice, while it ran a statement, a script or a COPY, or when a connection was opened. */
  notice: NoticeEvent
  /** A block of a session factory of this engine has failed, and will run again: its option `retry`. */
  retry: RetryEvent
}

const NAMES = Object.keys({
  connect: true,
  firstConnect: true,
  connectFailed: true,
  acquire: true,
  release: true,
  reset: true,
  invalidate: true,
  softInvalidate: true,
  close: true,
  detach: true,
  leak: true,
  wait: true,
  timeout: true,
  generation: true,
  replicaEjected: true,
  replicaReturned: true,
  primaryRead: true,
  notice: true,
  retry: true,
} satisfies Record<keyof EngineEvents, true>)

/** @throws InvalidOptionError for a name that no event has: its listener would never be called. */
export function checkEvent(event: unknown): void {
  if (typeof event !== 'string')
    throw new InvalidOptionError('event', 'on takes the name of an event, and a listener')
  if (NAMES.includes(event)) return
  const nearest = nearestName(event, NAMES)
  const hint = nearest === undefined ? `The events are ${NAMES.join(', ')}` : `Did you mean '${nearest}'?`
  throw new InvalidOptionError('event', `An engine has no event of this name. ${hint}`)
}

/** Tells listeners and the channel of each notice. */
export function tellNotices(engine: () => string, events: Emitter<EngineEvents>): NoticeListener {
  return (notice, connectionId) => {
    if (events.has('notice')) events.emit('notice', { ...notice, connectionId })
    if (noticeChannel.hasSubscribers) {
      const message: NoticeMessage = { engine: engine(), connectionId, ...notice }
      noticeChannel.publish(message)
    }
  }
}
