/** LISTEN on a dedicated connection, which is opened again after a loss. */
import { isDisconnect } from '../database-errors.js'
import type { Driver, DriverConnection } from '../driver/driver.js'
import { ConnectError, ConnectionLostError, InvalidStatementError } from '../errors.js'
import { pause } from '../internal/abort.js'
import type { Clock } from '../internal/clock.js'
import { statementChannel, type MessageSource } from '../internal/channels.js'
import { setDeadline } from '../internal/deadline.js'
import { checkCallback, checkSignal, refuseUnknownKeys } from '../internal/validate.js'
import { quoteIdentifier } from '../sql.js'

/** One NOTIFY. */
export interface Notification {
  readonly channel: string
  /** Empty if NOTIFY had none. */
  readonly payload: string
  /** Process id of the backend that sent it. */
  readonly processId: number
}

/** Options of `engine.listen`. */
export interface ListenOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined
  /**
   * Called when LISTEN has taken effect: at the start, and again after each loss. Notifications in between are lost, so read
   * the state again here.
   */
  readonly onConnect?: (() => void) | undefined
}

/** @throws InvalidOptionError */
export function checkListenOptions(options: ListenOptions): void {
  refuseUnknownKeys('listen', options, ['signal', 'onConnect'] satisfies (keyof ListenOptions)[])
  if (options.signal !== undefined) checkSignal('signal', options.signal)
  if (options.onConnect !== undefined) checkCallback('onConnect', options.onConnect)
}

/** What listening needs. */
export interface ListenParts {
  /** For the channel of statements. */
  readonly source: MessageSource
  readonly driver: Driver
  readonly clock: Clock
  readonly connectTimeoutMillis: number
  /** How often an idle connection is pinged, so that a silent loss is noticed; -1 = never. */
  readonly keepAliveMillis: number
  /** How long such a ping may take. */
  readonly pingTimeoutMillis: number
  readonly channel: string
  /** Fires when the engine is disposed. */
  readonly ending: AbortSignal
  /** Called when the connection is being closed, so that `dispose()` can wait for it. */
  readonly onClosing: (closing: Promise<void>) => void
  readonly signal: AbortSignal | undefined
  readonly onConnect: (() => void) | undefined
}

const FIRST_PAUSE_MILLIS = 100
const LONGEST_PAUSE_MILLIS = 10_000
const CLOSE_MILLIS = 1_000
/** Bytes of a name; PostgreSQL cuts off the rest of it, with a notice. */
const LONGEST_NAME = 63

/**
 * Yields notifications until the signal fires or the engine ends.
 * @throws ConnectError if the connect fails for a reason that will not pass; InvalidStatementError for a bad name, also for one of more than 63 bytes.
 */
export async function* listen(parts: ListenParts): AsyncGenerator<Notification, void, undefined> {
  const statement = listenTo(parts.channel)
  const stop = parts.signal === undefined ? parts.ending : AbortSignal.any([parts.ending, parts.signal])
  const inbox: Notification[] = []
  let connection: DriverConnection | undefined
  let wake: () => void = () => undefined
  const close = (): Promise<void> => connection?.close(CLOSE_MILLIS) ?? Promise.resolve()
  // Closed here, because the reader of the iterator may come back late.
  const onStop = (): void => {
    parts.onClosing(close())
    wake()
  }
  stop.addEventListener('abort', onStop)
  const stopPinging = keepPinging(parts, () => connection)
  try {
    while (!stop.aborted) {
      if (connection === undefined || connection.lost !== undefined) {
        connection = await subscribe(parts, statement, stop)
        if (connection === undefined) return
        connection.onNotification = (message) => {
          inbox.push(message)
          wake()
        }
        connection.onLost = () => wake()
        parts.onConnect?.()
      }
      for (const message of inbox.splice(0)) {
        yield message
        // After the end, the rest of a burst is not yielded.
        if (stop.aborted) return
      }
      const { lost } = connection
      if (stop.aborted || lost !== undefined || inbox.length > 0) continue
      await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    stop.removeEventListener('abort', onStop)
    stopPinging()
    await close()
  }
}

/** @throws InvalidStatementError for an invalid name, or one that is too long. */
function listenTo(channel: string): string {
  const statement = `LISTEN ${quoteIdentifier(channel)}`
  const bytes = Buffer.byteLength(channel)
  if (bytes <= LONGEST_NAME) return statement
  throw new InvalidStatementError(
    `The name of the channel has ${bytes} bytes, and PostgreSQL takes ${LONGEST_NAME}: it would listen to the first ` +
      `${LONGEST_NAME} bytes, where nothing is notified under the whole name. Give the channel a shorter name`,
  )
}

/** Pings the connection at intervals, so that a silent loss is noticed. Returns a function that stops the pings. */
function keepPinging(
  { clock, keepAliveMillis, pingTimeoutMillis }: ListenParts,
  connection: () => DriverConnection | undefined,
): () => void {
  if (keepAliveMillis === -1) return () => undefined
  let timer = clock.setTimer(ping, keepAliveMillis, { keepAlive: false })
  function ping(): void {
    const current = connection()
    if (current !== undefined && current.lost === undefined && !current.busy) {
      // A ping without answer destroys the connection, and the loop opens another one.
      current.ping(pingTimeoutMillis).catch(() => current.onLost?.(new Error('No answer to the ping')))
    }
    timer = clock.setTimer(ping, keepAliveMillis, { keepAlive: false })
  }
  return () => timer.cancel()
}

/** Connects and listens, with growing pauses while the server is away; undefined when it is to stop. */
async function subscribe(
  { source, driver, clock, connectTimeoutMillis: timeoutMillis }: ListenParts,
  statement: string,
  stop: AbortSignal,
): Promise<DriverConnection | undefined> {
  let pauseMillis = FIRST_PAUSE_MILLIS
  while (!stop.aborted) {
    let connection: DriverConnection | undefined
    const giveUp = (): void => connection?.destroy(new ConnectionLostError('No answer to LISTEN'))
    stop.addEventListener('abort', giveUp)
    try {
      connection = await driver.connect({ timeoutMillis, signal: stop })
      const deadline = setDeadline(clock, giveUp, timeoutMillis)
      await listenOn(connection, statement, source).finally(() => deadline.cancel())
      return connection
    } catch (error) {
      const lost = connection?.lost
      connection?.destroy()
      if (stop.aborted) return undefined
      const isLost = lost !== undefined || isDisconnect(error)
      if (error instanceof ConnectError ? error.fatal : !isLost) throw error
      await pause(clock, pauseMillis * (0.5 + Math.random() / 2), stop)
      pauseMillis = Math.min(pauseMillis * 2, LONGEST_PAUSE_MILLIS)
    } finally {
      stop.removeEventListener('abort', giveUp)
    }
  }
  return undefined
}

function listenOn(connection: DriverConnection, text: string, source: MessageSource): Promise<void> {
  const listening = (): Promise<void> => connection.script(text)
  if (!statementChannel.hasSubscribers) return listening()
  return statementChannel.tracePromise(listening, {
    ...source,
    kind: 'listen',
    text,
    connectionId: connection.id,
  })
}
