/**
 * Decides which session may use the one connection that all sessions of a test share.
 *
 * 1. Transactions of the sessions are savepoints of one transaction. Savepoints end in reverse order, so only the innermost open one
 *    may run statements.
 * 2. A transaction begins inside an open one only if the block of the open one calls its code. Others wait until the open one has
 *    ended, first in, first out, because a rollback must not undo the work of another session.
 * 3. An outer session that is used while an inner one is open waits for it, for a limited time, because the inner one may wait for the
 *    outer one.
 */

/** A transaction of a session, or a statement that is one by itself. */
export interface Turn {
  /** Blocks and request around the code that acquired its connection, the innermost first. */
  readonly scopes: readonly object[]
  /** What tells its block from the blocks around it; set while it is open. */
  own: object | undefined
}

interface Waiting {
  readonly turn: Turn
  readonly run: () => Promise<void>
  readonly timer: NodeJS.Timeout | undefined
}

export class Turns {
  readonly #open: Turn[] = []
  #waiting: Waiting[] = []
  #busy = false

  /**
   * Runs work when it is its turn and the connection is free. Called at once if both are so.
   * @param work Settles when the connection is free again. Must not reject.
   * @param patience How long to wait, and what to call then; the work is not run any more.
   * @returns what takes back the request: false if the work is running already.
   */
  take(
    turn: Turn,
    work: () => Promise<void>,
    patience?: { readonly millis: number; onExpired(): void },
  ): () => boolean {
    const expire = (): void => {
      if (this.#remove(waiting)) patience?.onExpired()
    }
    const timer = patience && setTimeout(expire, patience.millis)
    timer?.unref()
    const waiting: Waiting = { turn, run: work, timer }
    this.#waiting.push(waiting)
    this.#advance()
    return () => this.#remove(waiting)
  }

  /** Its transaction has begun. */
  opened(turn: Turn): void {
    const outer = this.#open.at(-1)
    const common = new Set(outer?.scopes)
    turn.own = turn.scopes.findLast((scope) => !common.has(scope))
    this.#open.push(turn)
  }

  /** Its transaction has ended. */
  closed(turn: Turn): void {
    const index = this.#open.indexOf(turn)
    if (index !== -1) this.#open.splice(index, 1)
    turn.own = undefined
  }

  isOpen(turn: Turn): boolean {
    return this.#open.includes(turn)
  }

  /** True if its transaction is inside of another one. */
  isNested(turn: Turn): boolean {
    return this.#open.indexOf(turn) > 0
  }

  #remove(waiting: Waiting): boolean {
    clearTimeout(waiting.timer)
    const index = this.#waiting.indexOf(waiting)
    if (index === -1) return false
    this.#waiting.splice(index, 1)
    return true
  }

  #advance(): void {
    if (this.#busy) return
    const next = this.#waiting.find(({ turn }) => this.#mayRun(turn))
    if (next === undefined) return
    this.#remove(next)
    this.#busy = true
    const done = (): void => {
      this.#busy = false
      this.#advance()
    }
    void next.run().then(done, done)
  }

  #mayRun(turn: Turn): boolean {
    const innermost = this.#open.at(-1)
    if (innermost === undefined || innermost === turn) return true
    if (this.#open.includes(turn)) return false
    // A session that was made by hand, outside of every block and request, has no block that could tell who is called by it.
    return innermost.own === undefined ? true : turn.scopes.includes(innermost.own)
  }
}
