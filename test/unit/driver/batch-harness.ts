/** One connection whose other end is the test. */
import { EventEmitter } from 'node:events'
import pg from 'pg'
import { BatchRun } from '../../../src/driver/batch-run.js'
import type { Batch, BatchStatement, StatementResult, TypeParsers } from '../../../src/driver/driver.js'
import { SchemaView } from '../../../src/driver/schema-view.js'
import { StatementCache } from '../../../src/driver/statement-cache.js'
import type { StatementPolicy } from '../../../src/driver/statement-policy.js'
import { WireConnection } from '../../../src/driver/wire-connection.js'
import { WireWriter } from '../../../src/driver/wire-writer.js'
import { type WireMessage, WireParser } from '../../helpers/wire.js'
import { int32 } from './backend-messages.js'
import { statementPolicy } from './statement-policy-support.js'

/** What became of one statement. */
export type Outcome = StatementResult | Error | undefined

export class Harness {
  readonly outcomes: Outcome[] = []
  ended = 0
  /** The time. */
  now = 0
  /** What the batches say when they are asked. */
  mayRepeat = true
  /** What ended the connection. */
  broken: Error | undefined
  readonly #socket: EventEmitter & { write(bytes: Buffer): boolean; destroy(): void }
  readonly #wire: WireConnection
  readonly #parser = new WireParser()
  readonly #written: Buffer[] = []
  readonly #cache: StatementCache
  readonly #view: SchemaView
  readonly #policy: StatementPolicy
  readonly #writer = new WireWriter()
  readonly #portals = new Map<string, never>()
  #run: BatchRun | undefined

  constructor(statementCacheSize = 100) {
    const clock = { now: () => this.now, setTimer: () => ({ cancel: () => undefined }) }
    const policy = statementPolicy({ size: statementCacheSize, clock })
    this.#policy = policy
    this.#view = new SchemaView(policy.generation, new Map())
    this.#cache = new StatementCache(policy, this.#view)
    this.#socket = Object.assign(new EventEmitter(), {
      write: (bytes: Buffer) => this.#written.push(bytes) > 0,
      destroy: () => undefined,
    })
    this.#wire = new WireConnection({ stream: this.#socket as never })
    this.#wire.attachListeners(this.#socket)
    this.#wire.status = 'I'.charCodeAt(0)
    this.#wire.on('error', (error: Error) => {
      this.broken = error
      this.#run?.fail(error)
    })
    this.#parser.fromClient(Buffer.concat([int32(8), int32(196_608)]))
  }

  /** Submits a batch. */
  run(texts: readonly (string | Partial<BatchStatement>)[], sync: Batch['sync'] = 'shared'): BatchRun {
    this.outcomes.length = 0
    const statements = texts.map((given, index): BatchStatement => ({
      ...(typeof given === 'string' ? { text: given } : { text: '', ...given }),
      onResult: (result) => this.#settle(index, result),
      onError: (error) => this.#settle(index, error),
    }))
    const context = {
      wire: this.#wire,
      writer: this.#writer,
      cache: this.#cache,
      view: this.#view,
      policy: this.#policy,
      types: pg.types as TypeParsers,
      portals: this.#portals as never,
    }
    const batch: Batch = { statements, sync, mayRepeat: () => this.mayRepeat, onEnd: () => undefined }
    const isIdle = this.#wire.status === 'I'.charCodeAt(0)
    const run = new BatchRun(batch, context, () => this.ended++, { isIdle })
    this.#run = run
    run.submit()
    return run
  }

  /** Names of the messages written since the last call; how many writes they took comes first. */
  sent(): [writes: number, ...names: string[]] {
    const written = this.#written.splice(0)
    return [written.length, ...this.messages(written).map(({ name }) => name)]
  }

  messages(written: readonly Buffer[] = this.#written.splice(0)): WireMessage[] {
    return this.#parser.fromClient(Buffer.concat(written))
  }

  /** The server is in a transaction. */
  begin(): this {
    this.#wire.status = 'T'.charCodeAt(0)
    return this
  }

  answer(...messages: readonly Buffer[]): void {
    this.#socket.emit('data', Buffer.concat(messages))
  }

  #settle(index: number, outcome: StatementResult | Error): void {
    if (this.outcomes[index] !== undefined) throw new Error(`Statement ${index} settled twice`)
    this.outcomes[index] = outcome
  }
}
