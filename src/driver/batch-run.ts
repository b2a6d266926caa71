/**
 * One batch on its way: writes all its statements as one buffer and matches the answers to them, in order.
 *
 * node-postgres's client never hears of it: to its bookkeeping the connection is idle meanwhile, which saves a tenth of
 * what a small transaction costs the process.
 *
 * 1. Statements under one Sync settle as soon as their answer is complete; the first failure skips the rest.
 * 2. A statement with a Sync of its own settles at its ReadyForQuery, because its implicit commit can still fail then
 *    (deferred constraints).
 */
import type { Batch, BatchStatement, StatementResult, TypeParsers } from './driver.js'
import { StatementSkipped } from './driver.js'
import { readFields, type RowReader } from './row-reader.js'
import { PreparedStatement, type StatementCache } from './statement-cache.js'
import type { EncodedValue } from './values.js'
import type { WireConnection, WireReader } from './wire-connection.js'
import type { WireWriter } from './wire-writer.js'

const PARSE_COMPLETE = 0x31
const BIND_COMPLETE = 0x32
const CLOSE_COMPLETE = 0x33
const ROW_DESCRIPTION = 0x54
const NO_DATA = 0x6e
const DATA_ROW = 0x44
const COMMAND_COMPLETE = 0x43
const EMPTY_QUERY = 0x49
const PORTAL_SUSPENDED = 0x73
const READY_FOR_QUERY = 0x5a
const COPY_IN = 0x47
const COPY_OUT = 0x48

/** What a batch needs from its connection. */
export interface BatchContext {
  readonly wire: WireConnection
  readonly writer: WireWriter
  readonly cache: StatementCache
  readonly types: TypeParsers
  /** Statement behind each named portal, for the rows that are fetched from it later. */
  readonly portals: Map<string, PreparedStatement>
}

/** Ends the transaction before a batch. `COMMIT AND CHAIN` also begins the next one as that one began. */
export type EndAhead = 'COMMIT' | 'COMMIT AND CHAIN' | 'ROLLBACK'

/** A statement and what is known of its answer so far. */
interface Step {
  readonly statement: BatchStatement
  readonly prepared: PreparedStatement | undefined
  reader: RowReader | undefined
  readonly rows: unknown[]
  /** A row could not be decoded; the other rows are passed over. */
  failure: Error | undefined
  /** The answer, held back until ReadyForQuery (see 2). */
  result: StatementResult | undefined
  /** The server refused it; only its ReadyForQuery is to come. */
  refused: boolean
}

export class BatchRun implements WireReader {
  readonly #batch: Batch
  readonly #context: BatchContext
  readonly #ahead: EndAhead | undefined
  readonly #separate: boolean
  readonly #steps: Step[] = []
  #parsedHere: Set<PreparedStatement> | undefined
  #current = 0
  /** CloseComplete messages that answer for forgotten statements, not for a step. */
  #closesExpected = 0
  #readiesExpected = 1
  /** Statements whose plan was stale and that may run once more, because nothing but them is undone. */
  readonly stale: BatchStatement[] = []
  /** Why what went ahead was refused: the server ran nothing of the batch, which has to be submitted again. */
  refusedAhead: Error | undefined
  /** The server's last words, if it ended the session in good order (FATAL). */
  lastError: Error | undefined
  #onEnd: (() => void) | undefined

  /**
   * @param ahead Ends the transaction before the batch, under the Sync of the batch; `COMMIT AND CHAIN` stands for the first
   *   statement of the batch as well.
   */
  constructor(batch: Batch, context: BatchContext, onEnd: () => void, ahead?: EndAhead) {
    this.#batch = batch
    this.#context = context
    this.#ahead = ahead
    this.#separate = batch.sync === 'separate'
    this.#onEnd = onEnd
  }

  /** @throws RangeError if it is longer than a Buffer: nothing was sent then, and the connection is of no use any more. */
  submit(): void {
    let bytes: Buffer
    try {
      bytes = this.#writeAll()
    } catch (error) {
      // Whoever fails the batch now fails all of it.
      this.#steps.length = 0
      throw error
    }
    const { wire } = this.#context
    wire.addReader(this)
    wire.stream.write(bytes)
  }

  #writeAll(): Buffer {
    const { writer, cache, portals } = this.#context
    const { statements } = this.#batch
    const chains = this.#ahead === 'COMMIT AND CHAIN'
    // First of all: behind an end that is refused the server would pass over them.
    for (const name of cache.takeClosable()) {
      writer.closeStatement(name)
      this.#closesExpected++
    }
    if (this.#ahead !== undefined) {
      const [first] = statements
      this.#steps.push(this.#write(chains && first !== undefined ? chainedTo(first) : ENDS[this.#ahead]))
      if (portals.size > 0) portals.clear()
    }
    for (const statement of chains ? statements.slice(1) : statements) {
      this.#steps.push(this.#write(statement))
      if (this.#separate) writer.sync()
    }
    if (this.#separate) this.#readiesExpected = this.#steps.length
    else writer.sync()
    return writer.take()
  }

  // WireReader ----------------------------------------------------------------------------------------------------

  receive(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (type === READY_FOR_QUERY) {
      this.#ready()
      return true
    }
    const step = this.#steps[this.#current]
    if (step === undefined) return false
    switch (type) {
      case DATA_ROW:
        this.#row(step, buffer, start)
        return true
      case BIND_COMPLETE:
        return true
      case COMMAND_COMPLETE:
        this.#complete(step, buffer.toString('latin1', start, end - 1), false)
        return true
      case PARSE_COMPLETE:
        if (step.prepared !== undefined) this.#context.cache.confirm(step.prepared)
        return true
      case ROW_DESCRIPTION:
        if (step.prepared !== undefined) step.prepared.fields = readFields(buffer, start)
        return true
      case NO_DATA:
        if (step.prepared !== undefined) step.prepared.fields = null
        return true
      case PORTAL_SUSPENDED:
        this.#complete(step, '', true)
        return true
      case EMPTY_QUERY:
        this.#complete(step, '', false)
        return true
      case CLOSE_COMPLETE:
        if (this.#closesExpected > 0) this.#closesExpected--
        else this.#complete(step, '', false)
        return true
      case COPY_IN:
      case COPY_OUT:
        // The server now speaks COPY, which a batch cannot: only a new connection gets out of it.
        this.#context.wire.stream.destroy(
          new Error('COPY was run as a plain statement; the connection was closed'),
        )
        return true
      default:
        return false
    }
  }

  receiveError(error: Error): void {
    if (endsSession(error)) this.lastError = error
    const step = this.#steps[this.#current]
    if (step === undefined) return
    // Alone, the step is advanced by its own ReadyForQuery; otherwise nothing more of it will come.
    if (this.#separate) step.refused = true
    else this.#current++
    const isAhead = this.#ahead !== undefined && step === this.#steps[0]
    if (isAhead) this.refusedAhead = error
    const { prepared, statement } = step
    if (prepared !== undefined && prepared.name !== '') {
      const stale = prepared.parsed && isStalePlan(error)
      // Who forgot one has forgotten all: a pooler that changed the backend, or DEALLOCATE ALL in a function.
      if (stale && isUnknownStatement(error)) this.#context.cache.clear()
      else if (stale || !prepared.parsed) this.#context.cache.forget(prepared)
      if (stale && this.#separate) {
        this.stale.push(statement)
        return
      }
    }
    // The whole batch is submitted again.
    if (!isAhead) statement.onError(error)
  }

  /** Fails everything that has not settled: the connection is lost. */
  fail(error: Error): void {
    this.#context.wire.removeReader(this)
    this.#settleRest(error)
    this.#end()
  }

  // Writing -------------------------------------------------------------------------------------------------------

  #write(statement: BatchStatement): Step {
    const { writer, portals } = this.#context
    const portal = statement.portal ?? ''
    if (statement.closePortal === true) {
      writer.closePortal(portal)
      portals.delete(portal)
      return stepFor(statement, undefined)
    }
    const continued = portal !== '' && statement.text === ''
    const prepared = continued ? portals.get(portal) : this.#prepare(statement)
    if (prepared !== undefined && !continued) {
      writer.bind(portal, prepared.name, statement.values ?? NO_VALUES)
      if (prepared.fields === undefined) writer.describePortal(portal)
      if (portal !== '') portals.set(portal, prepared)
    }
    writer.execute(portal, statement.maxRows ?? 0)
    if (statement.flushAfter === true) writer.flush()
    return stepFor(statement, prepared)
  }

  #prepare(statement: BatchStatement): PreparedStatement {
    const { cache, writer } = this.#context
    let prepared = cache.take(statement.text, statement.prepare ?? true)
    if (prepared.parsed) return prepared
    if (this.#parsedHere?.has(prepared) === true) {
      // Under one Sync it is skipped together with the statement that parses it; alone it must not depend on it.
      if (!this.#separate) return prepared
      prepared = new PreparedStatement('', statement.text)
    } else if (prepared.name !== '') {
      this.#parsedHere ??= new Set()
      this.#parsedHere.add(prepared)
    }
    writer.parse(prepared.name, statement.text)
    return prepared
  }

  // Reading -------------------------------------------------------------------------------------------------------

  #row(step: Step, buffer: Buffer, start: number): void {
    if (step.failure !== undefined) return
    try {
      const { statement, prepared } = step
      step.reader ??= prepared?.reader(statement.rowMode ?? 'object', statement.types ?? this.#context.types)
      if (step.reader !== undefined) step.rows.push(step.reader(buffer, start))
    } catch (error) {
      step.failure = error instanceof Error ? error : new Error(String(error))
    }
  }

  #complete(step: Step, tag: string, suspended: boolean): void {
    if (tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL') this.#context.cache.clear()
    const result = resultOf(tag, step.prepared?.fields ?? NO_FIELDS, step.rows, suspended)
    if (this.#separate) {
      step.result = result
      return
    }
    this.#current++
    settle(step, result)
  }

  #ready(): void {
    if (this.#separate) {
      const step = this.#steps[this.#current++]
      if (step?.refused === false && step.result !== undefined) settle(step, step.result)
    }
    if (--this.#readiesExpected > 0) return
    if (this.refusedAhead === undefined) this.#settleRest(undefined)
    this.#context.wire.removeReader(this)
    this.#end()
  }

  #settleRest(error: Error | undefined): void {
    // Without steps, the batch was refused before it was written.
    const statements =
      this.#steps.length === 0
        ? this.#batch.statements
        : this.#steps
            .slice(this.#current)
            .filter(({ refused }) => !refused)
            .map(({ statement }) => statement)
    this.#current = this.#steps.length
    for (const statement of statements) {
      statement.onError(error ?? new StatementSkipped('An earlier statement of the same batch failed'))
    }
  }

  #end(): void {
    const onEnd = this.#onEnd
    this.#onEnd = undefined
    onEnd?.()
  }
}

const ENDS = {
  COMMIT: endWith('COMMIT'),
  'COMMIT AND CHAIN': endWith('COMMIT AND CHAIN'),
  ROLLBACK: endWith('ROLLBACK'),
}
const NO_VALUES: readonly EncodedValue[] = []
const NO_FIELDS: StatementResult['fields'] = []

function stepFor(statement: BatchStatement, prepared: PreparedStatement | undefined): Step {
  return {
    statement,
    prepared,
    reader: undefined,
    rows: [],
    failure: undefined,
    result: undefined,
    refused: false,
  }
}

/** An end that nobody waits for. */
function endWith(text: EndAhead): BatchStatement {
  return { text, onResult: ignore, onError: ignore }
}

/** An end that nobody waits for, and that stands for the statement which begins the next transaction. */
function chainedTo(begin: BatchStatement): BatchStatement {
  return {
    text: 'COMMIT AND CHAIN',
    flushAfter: begin.flushAfter,
    onResult: (result) => begin.onResult({ ...result, command: 'BEGIN' }),
    onError: (error) => begin.onError(error),
  }
}

function ignore(): void {
  // See where it is used.
}

function settle(step: Step, result: StatementResult): void {
  if (step.failure !== undefined) step.statement.onError(step.failure)
  else step.statement.onResult(result)
}

function resultOf(
  tag: string,
  fields: StatementResult['fields'],
  rows: readonly unknown[],
  suspended: boolean,
): StatementResult {
  const space = tag.indexOf(' ')
  if (space === -1) return { command: tag, rowCount: null, fields, rows, suspended }
  // `INSERT 0 5`, `SELECT 5`, but also `CREATE TABLE`, which has no count.
  const count = Number(tag.slice(tag.lastIndexOf(' ') + 1))
  if (Number.isNaN(count)) return { command: tag, rowCount: null, fields, rows, suspended }
  return { command: tag.slice(0, space), rowCount: count, fields, rows, suspended }
}

/** The server ends the session with it. */
export function endsSession(error: Error): boolean {
  const { severity } = error as { severity?: string }
  return severity === 'FATAL' || severity === 'PANIC'
}

/** The server no longer knows the statement, or its result type changed under it (ALTER TABLE, search_path). */
function isStalePlan(error: Error): boolean {
  const { code, routine } = error as { code?: string; routine?: string }
  return isUnknownStatement(error) || (code === '0A000' && routine === 'RevalidateCachedQuery')
}

function isUnknownStatement(error: Error): boolean {
  return (error as { code?: string }).code === '26000'
}
