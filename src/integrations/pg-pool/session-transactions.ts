/**
 * The transactions of libraries inside a session: their BEGIN, COMMIT and ROLLBACK become savepoints.
 *
 * 1. Only one client at a time may have a transaction open. Meanwhile statements of other clients are refused, because its ROLLBACK
 *    would undo them although they had succeeded. They cannot wait for its end instead: a statement that the transaction itself awaits
 *    would deadlock.
 * 2. A client that did not begin a transaction cannot end one. No client ends the session's own transaction.
 */
import { DatabaseError, IllegalStateError, type Savepoint, type Session } from '../../index.js'
import { isCommit, shorten } from './answers.js'
import { releasedIn, rolledBackToIn, savepointIn, withoutComments } from './savepoint-names.js'
import { firstWord } from './statement-text.js'

/** Which client has the transaction that is open. */
export interface Turn {
  holder: SessionTransactions | undefined
}

/** The command tag of what was done in place of a statement. */
type Tag = string

interface Named {
  readonly name: string
  readonly savepoint: Savepoint
}

const MODES = /^\s*(?:begin|start)\s*(?:work|transaction)?\s*(.*?)\s*;?\s*$/is
const CHAIN = /\band\s+chain\b/i

export class SessionTransactions {
  readonly #session: Session
  readonly #turn: Turn
  #transaction: Savepoint | undefined
  #named: Named[] = []

  constructor(session: Session, turn: Turn) {
    this.#session = session
    this.#turn = turn
  }

  /** A transaction was begun on this client and has not ended. */
  get isOpen(): boolean {
    return this.#transaction !== undefined || this.#named.length > 0
  }

  /** @throws IllegalStateError if another client has a transaction. */
  requireTurn(text: string): void {
    const { holder } = this.#turn
    if (holder === undefined || holder === this) return
    throw new IllegalStateError(
      `${shorten(text)} was sent beside a transaction of another client of the same session, whose ROLLBACK would undo it: ` +
        'send it on the client that has the transaction, or await the end of that',
    )
  }

  /**
   * Does what a statement of transactions asks for, with savepoints.
   * @returns its command tag; undefined if the statement is none of these.
   */
  async run(text: string): Promise<Tag | undefined> {
    const word = firstWord(text)
    switch (word) {
      case 'begin':
      case 'start':
        await this.#begin(MODES.exec(withoutComments(text))?.[1] ?? '')
        return 'BEGIN'
      case 'savepoint':
        await this.#open(savepointIn(text) ?? '')
        return 'SAVEPOINT'
      case 'release':
        await this.#take(releasedIn(text) ?? '').commit()
        return 'RELEASE'
      case 'rollback':
      case 'abort': {
        const name = rolledBackToIn(text)
        if (name === undefined) await this.#end('rollback', text)
        else await this.#rollBackTo(name)
        return 'ROLLBACK'
      }
    }
    if (!isCommit(text)) return undefined
    if (word === 'prepare') return this.#refusePrepared(text)
    await this.#end('commit', text)
    return 'COMMIT'
  }

  /** Ends what is open: the client is released. @returns whether something was open. */
  async abandon(): Promise<boolean> {
    if (!this.isOpen) return false
    await this.#end('rollback', 'rollback')
    return true
  }

  async #begin(modes: string): Promise<void> {
    if (this.#transaction !== undefined) {
      throw new IllegalStateError(
        'BEGIN was sent inside of a transaction of the same client: its COMMIT would end both; send SAVEPOINT',
      )
    }
    this.#turn.holder = this
    try {
      this.#transaction = await this.#session.beginNested()
      if (modes !== '') await this.#apply(modes)
    } catch (error) {
      await this.#transaction?.rollback()
      this.#forget()
      throw error
    }
  }

  /** PostgreSQL knows which modes a savepoint can have. */
  async #apply(modes: string): Promise<void> {
    try {
      await this.#session.runStatement({ text: `set transaction ${modes}` })
    } catch (cause) {
      if (!(cause instanceof DatabaseError)) throw cause
      throw new IllegalStateError(
        `The transaction of the session is not '${modes}', and one inside of it cannot be, either: give the session its modes, for ` +
          "example withSession(work, { isolationLevel: 'SERIALIZABLE' })",
        { cause },
      )
    }
  }

  async #end(how: 'commit' | 'rollback', text: string): Promise<void> {
    if (CHAIN.test(text)) {
      throw new IllegalStateError(
        `${shorten(text)}: AND CHAIN is not possible in a session; send BEGIN again`,
      )
    }
    const outermost = this.#transaction ?? this.#named[0]?.savepoint
    this.#forget()
    // As in PostgreSQL, which only warns.
    if (outermost !== undefined) await outermost[how]()
  }

  async #open(name: string): Promise<void> {
    this.#turn.holder = this
    this.#named.push({ name, savepoint: await this.#session.beginNested() })
  }

  /** As in SQL: later savepoints end, and the savepoint itself stays. */
  async #rollBackTo(name: string): Promise<void> {
    await this.#take(name).rollback()
    await this.#open(name)
  }

  /** Removes the innermost savepoint of that name, and those inside of it. */
  #take(name: string): Savepoint {
    const at = this.#named.findLastIndex((open) => open.name === name)
    const [found] = at === -1 ? [] : this.#named.splice(at)
    if (!this.isOpen && this.#turn.holder === this) this.#turn.holder = undefined
    if (found !== undefined) return found.savepoint
    // The code that PostgreSQL has for it.
    throw Object.assign(new Error(`savepoint "${name}" does not exist`), { code: '3B001', severity: 'ERROR' })
  }

  #forget(): void {
    this.#transaction = undefined
    this.#named = []
    if (this.#turn.holder === this) this.#turn.holder = undefined
  }

  #refusePrepared(text: string): never {
    throw new IllegalStateError(
      `${shorten(text)}: a part of a session cannot be prepared; use poolFrom(engine)`,
    )
  }
}
