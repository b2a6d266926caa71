/** The savepoints of one transaction, by the names that Kysely gives them. */
import { IllegalStateError, type Savepoint } from '../../index.js'
import type { Statements } from './statements.js'

export class NamedSavepoints {
  readonly #on: Statements
  readonly #open: { readonly name: string; readonly savepoint: Savepoint }[] = []

  constructor(on: Statements) {
    this.#on = on
  }

  async open(name: string): Promise<void> {
    this.#open.push({ name, savepoint: await this.#on.beginNested() })
  }

  /** As in SQL: later savepoints end, and the savepoint itself stays. @throws IllegalStateError if there is none. */
  async rollBackTo(name: string): Promise<void> {
    await this.#take(name).rollback()
    await this.open(name)
  }

  /** Later savepoints end as well. @throws IllegalStateError if there is none; TransactionAbortedError. */
  async release(name: string): Promise<void> {
    await this.#take(name).commit()
  }

  /** Removes the innermost savepoint of that name, and those inside of it. */
  #take(name: string): Savepoint {
    const at = this.#open.findLastIndex((open) => open.name === name)
    const [found] = at === -1 ? [] : this.#open.splice(at)
    if (found !== undefined) return found.savepoint
    const names = this.#open.map((open) => open.name).join(', ')
    throw new IllegalStateError(
      `There is no savepoint '${name}' in this transaction. Open are: ${names || 'none'}`,
    )
  }
}
