/**
 * PGlite's one session, which the streams of an engine share: the connection of its pool, and those of `engine.listen()`.
 *
 * 1. A stream has the session from its first message until it is outside of a transaction. Others wait: first in, first out.
 * 2. Notifications go to every stream, no matter which stream caused them.
 * 3. When a stream ends, its transaction is rolled back. When the last stream ends, the session is reset.
 * 4. Streams whose prepared statements have a prefix do not see those of other streams.
 */
import {
  ERROR_RESPONSE,
  IDLE,
  NOTIFICATION,
  READY_FOR_QUERY,
  messagesOf,
  notification,
  query,
  refusal,
} from './messages.js'

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
  /** Of the names of its prepared statements. */
  readonly prefix: string
  /** Takes messages of the server. */
  receive(messages: Uint8Array): void
}

export class PgliteBackend {
  readonly #database: PgliteLike
  readonly #longestWaitMillis: number | undefined
  readonly #users = new Set<BackendUser>()
  readonly #waiting: Waiting[] = []
  #holder: BackendUser | undefined
  /** Stops listening to what queries of the database itself bring. */
  #unlisten: (() => void) | undefined
  /** PGlite is answering messages of a user. */
  #running = false
  /** PGlite is closed or has crashed: it may never answer again. */
  #broken = false

  /** @param longestWaitMillis How long a user waits for the transaction of another one. Default: without a limit. */
  constructor(database: PgliteLike, longestWaitMillis?: number) {
    this.#database = database
    this.#longestWaitMillis = longestWaitMillis
  }

  /**
   * A user begins.
   * @param startup Its first message.
   * @param settings Of its session, by name.
   * @returns false if PGlite has refused a setting, or did not become free in time, and said so.
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
    if (!(await this.#tookInTime(user))) return false
    return await this.#holding(user, async () => {
      // Before the startup, whose answer says what is set.
      for (const [name, value] of settings) {
        const refused = errorIn(
          await this.#run(query(`select set_config(${literal(name)}, ${literal(value)}, false)`)),
        )
        if (refused === undefined) continue
        user.receive(refused)
        return false
      }
      user.receive(await this.#run(startup))
      return true
    })
  }

  /** Has PGlite answer a batch of a user. Rejects if PGlite is closed, or has crashed. */
  async exchange(user: BackendUser, batch: Uint8Array): Promise<void> {
    if (!(await this.#tookInTime(user))) return
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
    // Without the session it has no transaction open.
    if (this.#broken || !(await this.#take(user))) return
    await this.#holding(user, async () => {
      await this.#run(query('ROLLBACK'))
      if (this.#users.size === 0) await this.#run(query('DISCARD ALL'))
      else if (user.prefix !== '') await this.#run(query(deallocateAll(user.prefix)))
    }).catch(() => undefined) // PGlite is closed: nothing is left of the session.
  }

  /** Runs `work` for a user that has taken the session, and gives the session back. */
  async #holding<Value>(user: BackendUser, work: () => Promise<Value>): Promise<Value> {
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

  /** Takes the session, or tells the user that it was not free in time. */
  async #tookInTime(user: BackendUser): Promise<boolean> {
    if (await this.#take(user)) return true
    user.receive(
      refusal(
        '55P03',
        `PGlite runs one transaction at a time, and that of another connection has not ended for ${String(this.#longestWaitMillis)} ms: if it waits for this one, pass its session on instead of opening another one`,
      ),
    )
    return false
  }

  /** @returns false if another user has held the session for too long. */
  async #take(user: BackendUser): Promise<boolean> {
    if (this.#holder === undefined) this.#holder = user
    if (this.#holder === user) return true
    return await new Promise<boolean>((resolve) => {
      const waiting: Waiting = { user, begin: () => resolve(true) }
      this.#waiting.push(waiting)
      const limit = this.#longestWaitMillis
      if (limit === undefined) return
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        resolve(false)
      }, limit)
      waiting.begin = () => {
        clearTimeout(timer)
        resolve(true)
      }
    })
  }

  /** The next one holds the session at once, so that no other takes it before it goes on. */
  #release(user: BackendUser): void {
    if (this.#holder !== user) return
    const next = this.#waiting.shift()
    this.#holder = next?.user
    next?.begin()
  }
}

interface Waiting {
  readonly user: BackendUser
  begin: () => void
}

/** The first ErrorResponse of an answer. */
function errorIn(answer: Uint8Array): Uint8Array | undefined {
  for (const { type, bytes } of messagesOf(answer)) if (type === ERROR_RESPONSE) return bytes
  return undefined
}

function deallocateAll(prefix: string): string {
  return `do $$ declare one text; begin for one in select name from pg_prepared_statements where starts_with(name, ${literal(prefix)})
    loop execute format('deallocate %I', one); end loop; end $$`
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
