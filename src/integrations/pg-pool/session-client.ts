/** A session with the interface of a pg client: queries of a library are part of the session's transaction. */
import type { DriverConnection, StatementResult } from '../../driver/driver.js'
import { DatabaseError, IllegalStateError, InvalidStatementError, type Session } from '../../index.js'
import { resultOf, shorten } from './answers.js'
import { callBack, calling, withCallersStack } from './callbacks.js'
import { ClientMembers } from './client-members.js'
import { batchQueryOf, readArguments, type Callback, type GivenConfig } from './query-arguments.js'
import { refuse } from './query-queue.js'
import { SessionTransactions, type Turn } from './session-transactions.js'
import { statementsOf } from './statement-text.js'
import type { ClientConnection, PoolClient, QueryResult, Submittable, TransactionStatus } from './types.js'

/** What `asClient` and `asPool` take. */
export interface SessionFaceOptions {
  /**
   * True: after each statement that may have changed rows (anything but a read), the session's objects expire. Default false: as after
   * `session.execute`, they keep the values that were read; `session.refresh()` reads one again.
   */
  readonly expireAfterWrites?: boolean | undefined
}

/** Commands that change no row. */
const READS = new Set(['SELECT', 'SHOW', 'EXPLAIN', 'FETCH', 'SET', ''])

export class SessionClient extends ClientMembers implements PoolClient {
  readonly pipeline: boolean = false
  readonly host: string = ''
  readonly port: number = 0
  readonly ssl: boolean = false
  // Read by libraries that look into pg's clients.
  readonly _connected: boolean = true
  readonly _queryable: boolean = true
  readonly _ending: boolean = false
  readonly processID: number = 0
  readonly #session: Session
  readonly #options: SessionFaceOptions
  readonly #transactions: SessionTransactions
  readonly #texts = new Map<string, string>()
  /** Queries run one after the other, as on a client of pg. */
  #last: Promise<unknown> = Promise.resolve()
  #released = false

  constructor(session: Session, turn: Turn, options: SessionFaceOptions) {
    super()
    this.#session = session
    this.#options = options
    this.#transactions = new SessionTransactions(session, turn)
    this.on('error', () => undefined)
  }

  query(query: unknown, values?: unknown, callback?: unknown): never {
    const given = readArguments(query, values, callback)
    if (given.config === undefined)
      return this.#submit(given.submittable as Submittable, given.callback) as never
    const running = this.#inTurn(() => this.#run(given.config as GivenConfig))
    if (given.callback === undefined) return running.catch(withCallersStack) as never
    const told = calling(given.callback, null)
    running.then(
      (result) => told(null, result as QueryResult),
      (error: Error) => told(error),
    )
    return undefined as never
  }

  /** Runs a query of the pool. */
  run(config: GivenConfig): Promise<QueryResult | QueryResult[]> {
    return this.#inTurn(() => this.#run(config))
  }

  release(_error?: Error | boolean): void {
    if (this.#released) {
      throw new IllegalStateError('Release called on client which has already been released to the pool.')
    }
    this.#released = true
    void this.#last.then(async () => {
      if (await this.#transactions.abandon().catch(() => true)) {
        process.emitWarning(
          'A client of a session was released inside of a transaction, which is rolled back; the session continues',
          { type: 'LifeguardWarning', code: 'LIFEGUARD_OPEN_TRANSACTION' },
        )
      }
    })
  }

  /** Does not close the session, which has an owner. */
  end(callback?: (error: Error) => void): never {
    const ended = this.#last.then(() => undefined)
    return (callback === undefined ? ended : callBack(ended, callback as () => void)) as never
  }

  getTransactionStatus(): TransactionStatus {
    return this.#session.inTransaction ? 'T' : 'I'
  }

  ref(): void {
    // The connection is the session's.
  }

  unref(): void {
    // The connection is the session's.
  }

  /** @throws IllegalStateError: the session has one only while it needs one. */
  get connection(): ClientConnection {
    throw new IllegalStateError('A session has no connection of its own: only Submittables may ask for one')
  }

  /** Starts work when everything that was given before has ended. */
  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const running = this.#released
      ? Promise.reject(new IllegalStateError('A query was sent on a client after its release()'))
      : this.#last.then(work)
    this.#last = running.catch(() => undefined)
    return running
  }

  async #run(config: GivenConfig): Promise<QueryResult | QueryResult[]> {
    const { text, values } = config
    const isEmpty = !Array.isArray(values) || values.length === 0
    const several = typeof text === 'string' && isEmpty ? statementsOf(text) : []
    if (several.length < 2) return await this.#one(config)
    const results: QueryResult[] = []
    for (const statement of several) {
      results.push(await this.#one(Object.create(config, { text: { value: statement } }) as GivenConfig))
    }
    return results
  }

  async #one(config: GivenConfig): Promise<QueryResult> {
    const text = String(config.text ?? '')
    this.#transactions.requireTurn(text)
    try {
      const tag = await this.#transactions.run(text)
      if (tag !== undefined) return resultOf({ ...NOTHING, command: tag })
      const query = batchQueryOf(config, this.#texts, true)
      if (query === undefined) {
        throw new InvalidStatementError(
          `${shorten(text)} cannot run in a session as it is given: COPY needs pg-copy-streams, and there is no \`binary\`, \`rows\` or \`portal\``,
        )
      }
      const result = await this.#session.runStatement({ ...query, types: query.types ?? this.ownTypes })
      this.#noteWrite(result.command)
      return resultOf(result)
    } catch (error) {
      throw asInPg(error)
    }
  }

  #submit(submittable: Submittable, callback: Callback | undefined): Submittable {
    const target = submittable as { callback?: unknown; text?: unknown; cursor?: { text?: unknown } }
    if (callback !== undefined) target.callback ??= callback
    const text = String(target.text ?? target.cursor?.text ?? '(a Submittable)')
    let isStarted = false
    const work = (connection: DriverConnection): Promise<void> =>
      new Promise((resolve, reject) => {
        const { submittables } = connection
        if (submittables === undefined)
          throw new InvalidStatementError(
            `The driver of this engine runs no cursors or streams of pg: ${shorten(text)}`,
          )
        isStarted = true
        submittables.start(submittable, {
          onEnd: (error) => (error === undefined ? resolve() : reject(error)),
          onTag: (tag) => this.#noteWrite(tag.split(' ', 1)[0] as string),
        })
      })
    this.#inTurn(async () => {
      this.#transactions.requireTurn(text)
      await this.#session.exclusively(text, work)
    }).catch((error: unknown) => {
      // If the Submittable has started, node-postgres itself passes the error to it.
      if (!isStarted) refuse(submittable, asInPg(error) as Error)
    })
    return submittable
  }

  #noteWrite(command: string): void {
    if (this.#options.expireAfterWrites === true && !READS.has(command)) this.#session.expireAll()
  }
}

const NOTHING: StatementResult = { command: '', rowCount: null, fields: [], rows: [], suspended: false }

/** The error of the server as pg has it, where `code` is the SQLSTATE. */
function asInPg(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error
  const { cause, message, sqlState } = error
  if (cause instanceof Error && 'severity' in cause) return cause
  // With `hideParameters` there is no such error: this one has no values.
  return Object.assign(new Error(message, { cause: error }), { code: sqlState, severity: 'ERROR' })
}
