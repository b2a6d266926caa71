/** Subscribes to the messages of one engine on a tracing channel of Lifeguard. */
import { tracingChannel } from 'node:diagnostics_channel'
import type { MessageSource } from '../../internal/channels.js'

/** What every message holds at its end. */
export interface Ended {
  /** Why it failed. */
  readonly error?: unknown
}

/** Told the start and the end of what a message is about. Must not throw. */
export interface Follower<Message> {
  start?(message: Message): void
  end(message: Message & Ended): void
}

/** @returns what ends it. */
export function follow<Message extends MessageSource>(
  channel: string,
  engineId: number,
  { start, end }: Follower<Message>,
): () => void {
  const none = (): void => undefined
  const own =
    (listener: ((message: Message) => void) | undefined) =>
    (message: unknown): void => {
      if (listener !== undefined && (message as Message).engineId === engineId) listener(message as Message)
    }
  const subscriber = { start: own(start), end: none, asyncStart: none, asyncEnd: own(end), error: none }
  const followed = tracingChannel(channel)
  followed.subscribe(subscriber)
  return () => void followed.unsubscribe(subscriber)
}
