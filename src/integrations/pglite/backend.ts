/**
 * PGlite's one session, which the streams of an engine share: the connection of its pool, and those of `engine.listen()`.
 *
 * 1. A stream has the session from its first message until it is outside of a transaction. Others wait: first in, first out.
 * 2. Notifications go to every stream, no matter which stream caused them.
 * 3. When a stream ends, its transaction is rolled back. When the last stream ends, the session is reset.
 */
import { ERROR_RESPONSE, NOTIFICATION, READY_FOR_QUERY, messagesOf, notification, query } from './messages.js'

/** The part of a PGlite database that is used here. */
export interface PgliteLike {
  execProtocolRaw(message: Uint8Array): Promise<Uint8Array>
  runExclusive<Value>(work: () => Promise<Value>): Promise<Value>
  readonly waitReady?: Promise<void>
  readonly closed?: boolean
  /** Calls the listener for each notification that a query of the database itself brings; returns what removes it. */
  onNotification?(listener: (channel: string, payload: string) => void): () => void
}

/** A stream that has the session, or waits for it. */
export interface BackendUser {
  /** Takes messages of the server. */
  receive(messages: Uint8Array): void
}

const IDLE = 0x49

export class PgliteBackend {
  readonly #database: PgliteLike
  readonly #users = new Set<BackendUser>()
  readonly #waiting: (() => void)[] = []
  #holder: BackendUser | undefined
  /** Stops listening to what queries of the database itself bring. */
  #unlisten: (() => void) | undefined
  /** PGlite is answering messages of a user. */
  #running = false
  /** PGlite is closed or has crashed: it may never answer again. */
  #broken = false

  constructor(database: PgliteLike) {
    this.#database = database
  }

  /**
   * A user begins.
   * @param startup Its first message.
   * @param settings Of its session, by name.
   * @returns false if PGlite has refused a setting, and said so.
   */
  async join(
    user: BackendUser,
    startup: Uint8Array,
    settings: readonly (readonly [name: string, value: string])[],
  ): Promise<boolean> {
    await this.#database.waitReady
    this.#users.add(user)
    this.#unlisten ??= this.#database.onNotification?.((channel, payload) => {
      // What our own messages bring is in their answer.
      if (!this.#running) this.#notifyOthers(undefined, notification(channel, payload))
    })
    return await this.#hold(user, async () => {
      // Before the startup, whose answer says what is set.
      for (const [name, value] of settings) {
        const refusal = errorIn(
          await this.#run(query(`select set_config(${literal(name)}, ${literal(value)}, false)`)),
        )
        if (refusal === undefined) continue
        user.receive(refusal)
        return false
      }
      user.receive(await this.#run(startup))
      return true
    })
  }

  /** Has PGlite answer a batch of a user. Rejects if PGlite is closed, or has crashed. */
  async exchange(user: BackendUser, batch: Uint8Array): Promise<void> {
    await this.#take(user)
    let isOver = true
    try {
      // It may have gone while it waited.
      if (this.#users.has(user)) isOver = this.#deliver(user, await this.#run(batch))
    } finally {
      if (isOver) this.#release(user)
    }
  }

  /** A user has gone. */
  async leave(user: BackendUser): Promise<void> {
    if (!this.#users.delete(user)) return
    if (this.#users.size === 0) {
      this.#unlisten?.()
      this.#unlisten = undefined
    }
    if (this.#broken) return
    await this.#hold(user, async () => {
      await this.#run(query('ROLLBACK'))
      if (this.#users.size === 0) await this.#run(query('DISCARD ALL'))
    }).catch(() => undefined) // PGlite is closed: nothing is left of the session.
  }

  async #hold<Value>(user: BackendUser, work: () => Promise<Value>): Promise<Value> {
    await this.#take(user)
    try {
      return await work()
    } finally {
      this.#release(user)
    }
  }

  async #run(messages: Uint8Array): Promise<Uint8Array> {
    if (this.#broken) throw new Error('PGlite is closed, or has crashed')
    try {
      return await this.#database.runExclusive(async () => {
        this.#running = true
        // A copy: PGlite may use its memory again.
        return Uint8Array.from(await this.#database.execProtocolRaw(messages))
      })
    } catch (error) {
      this.#broken = true
      throw error
    } finally {
      this.#running = false
    }
  }

  /** @returns true if no transaction is open any more. */
  #deliver(user: BackendUser, answer: Uint8Array): boolean {
    let isIdle = false
    for (const { type, bytes } of messagesOf(answer)) {
      if (type === READY_FOR_QUERY) isIdle = bytes.at(-1) === IDLE
      if (type === NOTIFICATION) this.#notifyOthers(user, bytes)
    }
    // All at once: what belongs together arrives in one turn, as it mostly does from a server.
    user.receive(answer)
    return isIdle
  }

  #notifyOthers(user: BackendUser | undefined, message: Uint8Array): void {
    for (const other of this.#users) if (other !== user) other.receive(message)
  }

  async #take(user: BackendUser): Promise<void> {
    if (this.#holder === user) return
    if (this.#holder !== undefined) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#holder = user
  }

  #release(user: BackendUser): void {
    if (this.#holder !== user) return
    this.#holder = undefined
    this.#waiting.shift()?.()
  }
}

/** The first ErrorResponse of an answer. */
function errorIn(answer: Uint8Array): Uint8Array | undefined {
  for (const { type, bytes } of messagesOf(answer)) if (type === ERROR_RESPONSE) return bytes
  return undefined
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
