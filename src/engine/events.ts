/** The events of an engine: its pool's, and what its servers say. */
import type { NoticeListener, ServerNotice } from '../driver/driver.js'
import { noticeChannel, type NoticeMessage } from '../internal/channels.js'
import type { Emitter } from '../internal/emitter.js'
import type { PoolEvents } from '../pool/events.js'
import type { ReplicationEvents } from './replica-stats.js'

/**
 * What the server said beside its answers: RAISE NOTICE, warnings. With `hideParameters` without the values that were
 * sent, and without `detail`.
 */
export interface NoticeEvent extends ServerNotice {
  /** Number of the connection: `DriverConnection.id`. */
  readonly connectionId: number
}

/** Maps an event's name to its payload. */
export interface EngineEvents extends PoolEvents, ReplicationEvents {
  /** The server sent a notice: while it ran a statement of a transaction, a script or COPY, or when it let a connection in. */
  notice: NoticeEvent
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
