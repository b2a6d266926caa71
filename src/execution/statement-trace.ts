/** Publishes statements on the channel `lifeguard:statement`. Used only while the channel has subscribers. */
import { DatabaseError } from '../database-errors.js'
import { statementChannel, type StatementMessage, type StatementSubject } from '../internal/channels.js'
import type { Pipeline } from '../pipeline/pipeline.js'

/** The answer to a statement, as far as it is published. */
interface Answer {
  readonly command?: string | undefined
  readonly rowCount?: number | null | undefined
}

/** Publishes the start and the end of one statement. */
export class StatementTrace {
  readonly #pipeline: Pipeline
  readonly #message: StatementMessage

  constructor(pipeline: Pipeline, kind: StatementMessage['kind'], text: string, subject?: StatementSubject) {
    this.#pipeline = pipeline
    const { connection, source, traced } = pipeline
    this.#message = { pool: source.pool, engineId: source.engineId, kind, text, connectionId: connection?.id }
    if (traced !== undefined) this.#message.transaction = traced
    if (subject !== undefined) Object.assign(this.#message, subject)
  }

  /** Publishes its start and its end. @param work Called with a function that notes the answer. */
  run<Value>(work: (note: (answer: Answer) => void) => Promise<Value>): Promise<Value> {
    return statementChannel.tracePromise(async () => {
      try {
        return await work((answer) => this.note(answer))
      } catch (error) {
        this.#failed(error)
        throw error
      } finally {
        this.#message.connectionId ??= this.#pipeline.connection?.id
      }
    }, this.#message)
  }

  /** Publishes the start of a statement whose end is no promise. */
  begin(): this {
    statementChannel.start.publish(this.#message)
    statementChannel.end.publish(this.#message)
    return this
  }

  /** Publishes the end of such a statement. */
  end(error?: unknown): void {
    const message: StatementMessage & { error?: unknown } = this.#message
    message.connectionId ??= this.#pipeline.connection?.id
    if (error !== undefined) {
      this.#failed(error)
      message.error = error
      statementChannel.error.publish(message)
    }
    statementChannel.asyncStart.publish(message)
    statementChannel.asyncEnd.publish(message)
  }

  note({ command, rowCount }: Answer): void {
    // Noted with the answer, because later the session may have released the connection.
    this.#message.connectionId ??= this.#pipeline.connection?.id
    if (command !== undefined) this.#message.command = command
    if (typeof rowCount === 'number') this.#message.rowCount = rowCount
  }

  #failed(error: unknown): void {
    if (error instanceof DatabaseError) this.#message.sqlState = error.sqlState
  }
}
