/**
 * A connection for the pool and the sessions whose transactions are savepoints of the one transaction of a test.
 *
 * BEGIN becomes SAVEPOINT; COMMIT checks deferred constraints and becomes RELEASE; ROLLBACK becomes ROLLBACK TO. A statement in
 * autocommit mode gets a savepoint of its own. Everything else is passed to the shared connection unchanged.
 */
import type {
  Batch,
  BatchStatement,
  CopyExchange,
  DriverConnection,
  StatementResult,
  TransactionStatus,
} from '../../driver/driver.js'
import { answer, cancelled, copyOf, renamed, settledOnce } from './batch-statements.js'
import { aroundRelease, readOnlyOf, type SharedTransaction } from './shared-transaction.js'
import type { Turn } from './turns.js'

/** What is sent for a statement of a batch; its answer counts if it is the one. */
interface Sent {
  readonly text: string
  readonly values?: readonly (string | null)[]
  readonly statement?: BatchStatement
  readonly ends?: 'commit' | 'rollback'
  /** Given the row of a statement of our own. */
  readonly onRow?: (row: readonly (string | null)[]) => void
}

/** The statement that sets the time limits, settings and role of a transaction. */
const SETTINGS = /^select set_config\(\$1, \$2, true\)/

const ANSWERS = { begin: 'BEGIN', commit: 'COMMIT', rollback: 'ROLLBACK' } as const

export class SavepointConnection implements DriverConnection {
  readonly id: number
  readonly connectedAt: number = performance.now()
  onLost: ((error: Error) => void) | undefined
  onNotification: DriverConnection['onNotification']
  readonly copy: CopyExchange | undefined
  readonly #shared: SharedTransaction
  #turn: Turn = { scopes: [], own: undefined }
  #lost: Error | undefined
  #busy = false
  #failed = false
  #savepoint = ''
  /** Names and values that the transaction has replaced by its own. */
  #settings: string[] = []
  /** Takes back the work that waits for its turn. */
  #takeBack: (() => boolean) | undefined
  /** Fails the work that waits or runs, because the connection was given up. */
  #giveUp: ((reason: Error) => void) | undefined

  constructor(id: number, shared: SharedTransaction) {
    this.id = id
    this.#shared = shared
    if (shared.base.copy !== undefined) this.copy = { start: (stream, onEnd) => this.#copy(stream, onEnd) }
  }

  /** It was acquired by code in these blocks. */
  acquiredIn(scopes: readonly object[]): void {
    if (!this.#shared.turns.isOpen(this.#turn)) this.#turn = { scopes, own: undefined }
  }

  get processId(): number {
    return this.#shared.base.processId
  }

  get transactionStatus(): TransactionStatus {
    if (this.#busy || this.lost !== undefined) return 'unknown'
    if (!this.#isOpen) return 'idle'
    return this.#failed ? 'failed' : 'transaction'
  }

  get busy(): boolean {
    return this.#busy
  }

  get lost(): Error | undefined {
    return this.#lost ?? this.#shared.lost
  }

  parameter(name: string): string | undefined {
    return this.#shared.base.parameter(name)
  }

  submit(batch: Batch): void {
    if (this.#busy) throw new Error(`Connection ${String(this.id)} is busy with another batch`)
    const statements = batch.statements.map(settledOnce)
    const fail = (reason: Error): void => {
      for (const statement of statements) statement.onError(reason)
    }
    const run = batch.sync === 'shared' ? () => this.#together(statements) : () => this.#oneByOne(statements)
    this.#occupy(run, fail, () => batch.onEnd())
  }

  async script(text: string, onTag?: (tag: string) => void): Promise<void> {
    let failure: Error | undefined
    await new Promise<void>((resolve) => {
      const isInside = this.#isOpen
      const run = (): Promise<void> =>
        this.#inOwnSavepoint(async () => {
          this.#shared.requireScript(text, isInside)
          await this.#shared.base.script(text, onTag)
        }).catch((error: unknown) => {
          failure ??= error as Error
        })
      this.#occupy(run, (reason) => (failure ??= reason), resolve)
    })
    if (failure !== undefined) throw failure
  }

  ping(): Promise<void> {
    return this.lost === undefined ? Promise.resolve() : Promise.reject(this.lost)
  }

  reset(): Promise<void> {
    return this.lost === undefined ? this.#rollBack() : Promise.reject(this.lost)
  }

  async cancel(timeoutMillis: number): Promise<void> {
    if (!this.#busy) return
    if (this.#takeBack?.() === true) this.#giveUp?.(cancelled())
    else await this.#shared.base.cancel(timeoutMillis)
  }

  async close(): Promise<void> {
    this.#lost ??= new Error('The connection was closed')
    await this.#rollBack()
  }

  destroy(reason: Error = new Error('The connection was closed')): void {
    if (this.#lost !== undefined) return
    this.#lost = reason
    this.#takeBack?.()
    this.#giveUp?.(reason)
    void this.#rollBack()
  }

  ref(): void {
    // The shared connection belongs to the test.
  }

  unref(): void {
    // The shared connection belongs to the test.
  }

  get #isOpen(): boolean {
    return this.#shared.turns.isOpen(this.#turn)
  }

  /** Runs work when it is its turn. `done` is called once, after the work, or after `fail`. */
  #occupy(work: () => Promise<void>, fail: (reason: Error) => unknown, done: () => void): void {
    this.#busy = true
    let isOver = false
    const end = (): void => {
      if (isOver) return
      isOver = true
      this.#busy = false
      this.#takeBack = this.#giveUp = undefined
      done()
    }
    this.#giveUp = (reason) => {
      fail(reason)
      end()
    }
    const run = async (): Promise<void> => {
      const { lost } = this
      if (lost === undefined) await work()
      else fail(lost)
      end()
    }
    const millis = this.#shared.patienceMillis
    const onExpired = (): void => this.destroy(this.#shared.overtaken())
    this.#takeBack = this.#shared.turns.take(this.#turn, run, { millis, onExpired })
  }

  /** A batch of one transaction. */
  async #together(statements: readonly BatchStatement[]): Promise<void> {
    const sent = statements.flatMap((statement) => this.#translate(statement))
    let ended: 'commit' | 'rollback' | undefined
    const begins = !this.#isOpen && sent.length > 0
    if (begins) this.#shared.turns.opened(this.#turn)
    await this.#shared.run(
      sent.map(({ text, values, statement, ends, onRow }): BatchStatement =>
        statement === undefined
          ? {
              text,
              values,
              rowMode: 'array',
              prepare: false,
              onResult: ({ rows }) => onRow?.(rows[0] as (string | null)[]),
              onError: (error) => void (this.#refusal ??= error),
            }
          : {
              ...copyOf(statement),
              text,
              onResult: (result) => {
                if (ends !== undefined) ended = ends
                statement.onResult(ends === undefined ? renamed(statement, result) : answer(ANSWERS[ends]))
              },
              onError: (error) => statement.onError(this.#refusal ?? error),
            },
      ),
    )
    const isRefused = this.#refusal !== undefined
    this.#refusal = undefined
    this.#failed = this.#shared.base.transactionStatus === 'failed'
    if (ended === 'commit') await this.#resetSettings().catch((error: unknown) => this.#shared.broke(error))
    if (ended !== undefined) this.#shared.turns.closed(this.#turn)
    else if (isRefused || this.#lost !== undefined) await this.#undo()
    if (!this.#isOpen) this.#failed = false
  }

  /** The error of a statement of our own: of COMMIT's check of constraints, or of SAVEPOINT. */
  #refusal: Error | undefined

  #translate(statement: BatchStatement): Sent[] {
    const { text } = statement
    if (text.startsWith('BEGIN')) {
      this.#savepoint = this.#shared.nextSavepoint()
      const modes = readOnlyOf(text)
      return [{ text: `SAVEPOINT ${this.#savepoint}`, statement }, ...modes.map((mode) => ({ text: mode }))]
    }
    if (SETTINGS.test(text)) {
      const names = (statement.values ?? []).filter((_, index) => index % 2 === 0) as string[]
      const calls = names.map((_, index) => `current_setting($${String(index + 1)}, true)`)
      const onRow = (row: readonly (string | null)[]): void => {
        this.#settings = names.flatMap((name, index) => [name, row[index] ?? ''])
      }
      return [
        { text: `select ${calls.join(', ')}`, values: names, onRow },
        { text, statement },
      ]
    }
    if (text === 'COMMIT') {
      const { before, after } = aroundRelease(this.#shared.turns.isNested(this.#turn))
      const own = (each: string): Sent => ({ text: each })
      const release: Sent = { text: `RELEASE SAVEPOINT ${this.#savepoint}`, statement, ends: 'commit' }
      return [...before.map(own), release, ...after.map(own)]
    }
    if (text === 'ROLLBACK') {
      return [
        { text: `ROLLBACK TO SAVEPOINT ${this.#savepoint}`, onRow: () => (this.#settings = []) },
        { text: `RELEASE SAVEPOINT ${this.#savepoint}`, statement, ends: 'rollback' },
      ]
    }
    return [{ text, statement }]
  }

  /** RELEASE keeps what SET LOCAL has set; COMMIT would not. */
  async #resetSettings(): Promise<void> {
    const values = this.#settings
    this.#settings = []
    if (values.length === 0) return
    const calls = Array.from({ length: values.length / 2 }, (_, index) => {
      return `set_config($${String(index * 2 + 1)}, $${String(index * 2 + 2)}, true)`
    })
    await this.#shared.command([`select ${calls.join(', ')}`], values)
  }

  /** Statements in autocommit mode. */
  async #oneByOne(statements: readonly BatchStatement[]): Promise<void> {
    for (const statement of statements) {
      let result: StatementResult | undefined
      await this.#inOwnSavepoint(async () => {
        let failure: Error | undefined
        await this.#shared.run([
          {
            ...copyOf(statement),
            onResult: (given) => (result = given),
            onError: (error) => (failure = error),
          },
        ])
        if (failure !== undefined) throw failure
      }).then(
        () => statement.onResult(result ?? answer('')),
        (error: unknown) => statement.onError(error as Error),
      )
    }
  }

  /** Runs work that is a transaction by itself, unless one is open. */
  async #inOwnSavepoint(work: () => Promise<void>): Promise<void> {
    if (this.#isOpen) {
      try {
        await work()
      } finally {
        this.#failed = this.#shared.base.transactionStatus === 'failed'
      }
      return
    }
    this.#savepoint = this.#shared.nextSavepoint()
    this.#shared.turns.opened(this.#turn)
    try {
      await this.#shared.command([`SAVEPOINT ${this.#savepoint}`])
      await work()
      const { before, after } = aroundRelease(this.#shared.turns.isNested(this.#turn))
      await this.#shared.command([...before, `RELEASE SAVEPOINT ${this.#savepoint}`, ...after])
      this.#shared.turns.closed(this.#turn)
    } catch (error) {
      await this.#undo()
      throw error
    }
  }

  #copy(stream: object, onEnd: (error: Error | undefined) => void): void {
    let failure: Error | undefined
    const { copy } = this.#shared.base
    const run = (): Promise<void> =>
      this.#inOwnSavepoint(
        () =>
          new Promise((resolve, reject) => {
            copy?.start(stream, (error) => {
              if (error === undefined) resolve()
              else reject(error)
            })
          }),
      ).catch((error: unknown) => {
        failure ??= error as Error
      })
    this.#occupy(
      run,
      (reason) => (failure ??= reason),
      () => onEnd(failure),
    )
  }

  /** Rolls back what is open, when it is its turn. */
  #rollBack(): Promise<void> {
    if (!this.#isOpen || this.#shared.lost !== undefined) return Promise.resolve()
    return new Promise((resolve) => {
      this.#shared.turns.take(this.#turn, () => this.#undo().finally(resolve))
    })
  }

  async #undo(): Promise<void> {
    if (!this.#isOpen) return
    await this.#shared
      .command([`ROLLBACK TO SAVEPOINT ${this.#savepoint}`, `RELEASE SAVEPOINT ${this.#savepoint}`])
      .catch((error: unknown) => this.#shared.broke(error))
    this.#shared.turns.closed(this.#turn)
    this.#settings = []
    this.#failed = false
  }
}
