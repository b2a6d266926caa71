/** The unit of work of a session, as its transaction sees it: when it is flushed, and what comes of a flush that fails. */
import type { DatabaseError } from '../database-errors.js'
import type {
  ConversationOwner,
  ConversationSetup,
  Converser,
  EntityReader,
  StatementsAhead,
} from '../engine/conversation-setup.js'
import type { ExecutorParts } from '../engine/executor.js'
import type { ScopeHooks } from '../engine/savepoint-scopes.js'
import { IllegalStateError, LifeguardError } from '../errors.js'
import type { EntityQuery } from '../schema/entity-statement.js'
import { staleDataError } from '../unit/stale-data.js'
import { UnitOfWork } from '../unit/unit-of-work.js'

/** What the unit of work needs to know of its session. */
export interface EntityHost {
  readonly autoflush: boolean
  readonly expireOnCommit: boolean
  requireOpen(): void
  began(): void
  hasFlushHooks(): boolean
  runFlushHooks(event: 'beforeFlush' | 'afterFlush'): Promise<void>
}

// Hooks may change what was flushed, and so make another flush necessary.
const MOST_FLUSHES = 100

/** Owns the conversation of a session, on behalf of the session and of its unit of work. */
export class SessionEntities implements ConversationOwner {
  readonly parts: ExecutorParts
  readonly #host: EntityHost
  /** Made when the first entity comes: many sessions never see one. */
  #unit: UnitOfWork | undefined = undefined
  /** Blocks in which nothing is flushed before queries. */
  #suspended = 0

  constructor(engine: Converser, setup: ConversationSetup, host: EntityHost) {
    this.#host = host
    this.parts = engine.converse(setup, this)
  }

  /** The unit of work; made now, if need be. */
  get unit(): UnitOfWork {
    this.#unit ??= new UnitOfWork(
      (statement) => this.parts.runner.run(statement),
      () => this.beforeStatement(),
    )
    return this.#unit
  }

  requireOpen(): void {
    this.#host.requireOpen()
  }

  began(): void {
    this.#host.began()
  }

  /** Autoflush. Undefined if there is nothing to flush, or it is not wanted. */
  beforeStatement(): StatementsAhead | undefined {
    if (this.#unit === undefined || this.#suspended > 0 || !this.#host.autoflush) return undefined
    let flush: StatementsAhead | undefined
    try {
      flush = this.flush()
    } catch (error) {
      throw this.parts.runner.explain(withHint(error))
    }
    if (flush === undefined) return undefined
    const done = flush.done.catch((error: unknown) => {
      throw withHint(error)
    })
    // Whoever waits for `sent` first, or gives up before, never asks for it.
    done.catch(ignore)
    return { sent: flush.sent, done }
  }

  entityReader(query: EntityQuery): EntityReader {
    return this.unit.reader(query)
  }

  translate(error: DatabaseError): LifeguardError | undefined {
    return staleDataError(error)
  }

  /** What happens to objects in a savepoint is undone with it. */
  get scopeHooks(): ScopeHooks {
    return {
      entering: () => this.flush()?.done,
      entered: () => this.unit.savepointEntered(),
      releasing: () => this.flush()?.done,
      released: (depth) => this.unit.savepointReleased(depth),
      rolledBack: (depth) => this.unit.savepointRolledBack(depth),
    }
  }

  /** True if a flush would find something. */
  get hasWork(): boolean {
    return this.#unit?.hasWork === true
  }

  /** Runs a block in which queries do not flush. */
  async withoutAutoflush<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    this.#suspended++
    try {
      return await work()
    } finally {
      this.#suspended--
    }
  }

  /**
   * Sends what has changed, with the hooks around it. Undefined if nothing has.
   * @throws InvalidValueError, MappingError, IllegalStateError: nothing was sent, and nothing has changed.
   */
  flush(): StatementsAhead | undefined {
    const unit = this.#unit
    if (unit === undefined) return undefined
    const { conversation } = this.parts
    const alone = conversation.autocommit && !conversation.state.inTransaction
    if (!alone && !this.#host.hasFlushHooks()) return unit.flush()
    if (!unit.hasWork) return undefined
    const done = alone ? this.#flushAlone(unit) : this.#flushBetweenHooks(unit)
    done.catch(ignore)
    return { sent: done, done }
  }

  /** True if the flush has hooks: what these do has to be known before COMMIT. */
  get hasHooks(): boolean {
    return this.#host.hasFlushHooks()
  }

  /** Flushes until the hooks change nothing any more. */
  async flushWithHooks(): Promise<undefined> {
    for (let round = 0; round < MOST_FLUSHES; round++) {
      const flush = this.flush()
      if (flush === undefined) return
      await flush.done
    }
    throw new IllegalStateError(
      `The hooks of the flush were still changing objects after ${MOST_FLUSHES} rounds`,
    )
  }

  /** The transaction was committed. */
  committed(): void {
    this.#unit?.committed(this.#host.expireOnCommit)
  }

  /** ROLLBACK is on its way. */
  rollingBack(): void {
    this.#unit?.rollingBack()
  }

  /** The transaction was rolled back; without one there are only changes to take back. */
  rolledBack(hadTransaction: boolean): void {
    this.#unit?.rolledBack(hadTransaction)
  }

  close(): void {
    this.#unit?.close()
  }

  /** Where every statement stands alone, a flush is a transaction of its own. */
  async #flushAlone(unit: UnitOfWork): Promise<void> {
    const { conversation, runner } = this.parts
    conversation.beginOnce()
    try {
      if (this.#host.hasFlushHooks()) await this.#flushBetweenHooks(unit)
      const flush = unit.flush()
      if (flush?.sent !== undefined) await flush.sent
      const ending = runner.end('commit')
      ending.catch(ignore)
      await flush?.done
      await ending
      unit.committed(this.#host.expireOnCommit)
    } catch (error) {
      await runner.end('rollback').catch(ignore)
      unit.rolledBack(true)
      throw error
    }
  }

  async #flushBetweenHooks(unit: UnitOfWork): Promise<void> {
    // What the hooks ask for must not flush again.
    await this.withoutAutoflush(async () => {
      await this.#host.runFlushHooks('beforeFlush')
      await unit.flush()?.done
      await this.#host.runFlushHooks('afterFlush')
    })
  }
}

const HINT = ' (while changes were flushed before a query: autoflush)'

/** Tells whoever sees the error of a query that it is not the query's. */
function withHint(error: unknown): unknown {
  if (!(error instanceof LifeguardError) || error.message.endsWith(HINT)) return error
  const { message, stack } = error
  error.message = message + HINT
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message)
  return error
}

function ignore(): void {
  // Whoever asked for the flush waits for `done`.
}
