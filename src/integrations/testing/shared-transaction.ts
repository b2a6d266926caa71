/** The one transaction of a test, on one connection of the engine's pool. It is never committed. */
import type { BatchStatement, DriverConnection } from '../../driver/driver.js'
import type { Lease } from '../../pool/pool.js'
import { IllegalStateError } from '../../index.js'
import { refusal } from './batch-statements.js'
import { Turns } from './turns.js'

/** Runs after RELEASE: constraints are deferred again that are so by their declaration. */
const DEFER_AGAIN = `do $$ declare names text; begin
  select string_agg(distinct format('%I.%I', n.nspname, c.conname), ', ') into names
    from pg_catalog.pg_constraint c join pg_catalog.pg_namespace n on n.oid = c.connamespace where c.condeferred;
  if names is not null then execute 'set constraints ' || names || ' deferred'; end if;
end $$`

const OWN_CONTROL = /^\s*(?:begin|start\s+transaction|commit|rollback|abort|end|prepare\s+transaction)\b/i
const QUOTED = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--.*|\/\*[\s\S]*?\*\/|\$(\w*)\$[\s\S]*?\$\1\$/g

export class SharedTransaction {
  readonly base: DriverConnection
  readonly turns: Turns = new Turns()
  /** How long an outer session waits for an inner one. */
  readonly patienceMillis: number
  readonly #lease: Lease
  #savepoints = 0
  #broken: Error | undefined
  #ended: Promise<void> | undefined

  constructor(lease: Lease, patienceMillis: number) {
    this.base = lease.connection
    this.#lease = lease
    this.patienceMillis = patienceMillis
  }

  /** Why nothing more can be run. */
  get lost(): Error | undefined {
    return this.#broken ?? this.base.lost
  }

  nextSavepoint(): string {
    return `lifeguard_test_${String(++this.#savepoints)}`
  }

  /** Begins. @param modes Of the transaction, for example `isolation level serializable`. */
  begin(modes: string): Promise<void> {
    return this.command([`begin ${modes}`.trim()])
  }

  /**
   * Rolls everything back and returns the connection to the pool. A second call has the result of the first.
   * @throws what has ended the transaction before.
   */
  end(): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  async #end(): Promise<void> {
    const broken = this.lost
    if (this.base.lost === undefined) {
      await new Promise<void>((resolve) => {
        const run = (): Promise<void> => this.command(['rollback']).catch(ignore).finally(resolve)
        void (this.base.busy ? this.base.cancel(CANCEL_MILLIS).then(run) : run())
      })
    }
    this.#lease.release()
    if (broken !== undefined) throw broken
  }

  /** Sends statements in one batch, in the transaction. Settles when the connection is free again. Never rejects. */
  run(statements: readonly BatchStatement[]): Promise<void> {
    if (statements.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.base.submit({
        statements,
        sync: 'shared',
        onEnd: () => {
          this.#checkOpen()
          resolve()
        },
      })
    })
  }

  /** Sends statements of our own. @throws the first refusal. */
  async command(texts: readonly string[], values?: readonly string[]): Promise<void> {
    let failure: Error | undefined
    const statements = texts.map((text): BatchStatement => ({
      text,
      values,
      prepare: false,
      onResult: ignore,
      onError: (error) => (failure ??= error),
    }))
    await new Promise<void>((resolve) => {
      this.base.submit({ statements, sync: 'shared', onEnd: resolve })
    })
    if (failure !== undefined) throw failure
  }

  /** Nothing more can be run. */
  broke(error: unknown): void {
    this.#broken ??= error instanceof Error ? error : new Error(String(error))
  }

  /** @throws an error like PostgreSQL's for a script that would end the transaction of the test. */
  requireScript(text: string, isInside: boolean): void {
    const statements = text.replace(QUOTED, "''").split(';')
    if (isInside || !statements.some((statement) => OWN_CONTROL.test(statement))) return
    throw refusal(
      '25001',
      'A script with BEGIN or COMMIT of its own cannot run inside of withRollback, whose transaction it would end: run it before, or in a database of its own (createTestDatabase)',
    )
  }

  /** Why a session has waited in vain. */
  overtaken(): IllegalStateError {
    return new IllegalStateError(
      `Inside of withRollback all sessions share one connection, and a session has waited ${String(this.patienceMillis)} ms for another one that began ` +
        'after it and is still open. End the inner session first, and do not wait for the outer session inside of it',
    )
  }

  #checkOpen(): void {
    if (this.base.lost !== undefined || this.base.transactionStatus !== 'idle') return
    this.broke(
      new IllegalStateError(
        'A statement has ended the transaction of withRollback (a COMMIT in a script or procedure?): what was done before is stored',
      ),
    )
  }
}

const CANCEL_MILLIS = 3_000

/** The statements that take over the modes of a BEGIN, as far as a savepoint can have them. */
export function readOnlyOf(begin: string): readonly string[] {
  return begin.includes('READ ONLY') ? ['SET TRANSACTION READ ONLY'] : []
}

/** What is sent before and after RELEASE. Deferred constraints are checked at the outermost COMMIT only. */
export function aroundRelease(isNested: boolean): {
  readonly before: readonly string[]
  readonly after: readonly string[]
} {
  return isNested
    ? { before: [], after: [] }
    : { before: ['SET CONSTRAINTS ALL IMMEDIATE'], after: [DEFER_AGAIN] }
}

function ignore(): void {
  // Its outcome changes nothing.
}
