/** Writes the statements of one batch into one buffer, and records which answers to expect. */
import type { BatchContext } from './batch-context.js'
import { BatchStep, type OpenPortal } from './batch-step.js'
import type { Batch, BatchStatement, EndCommand } from './driver.js'
import { PreparedStatement } from './statement-cache.js'
import type { EncodedValue } from './values.js'

export class BatchWriter {
  /** The steps in the order in which the server answers them. */
  readonly steps: BatchStep[] = []
  /** How many CloseComplete messages are to come for forgotten statements, which belong to no step. */
  closes = 0
  readonly #context: BatchContext
  readonly #separate: boolean
  /** Statements that this batch itself parses. */
  #parsedHere: Set<PreparedStatement> | undefined

  constructor(context: BatchContext, separate: boolean) {
    this.#context = context
    this.#separate = separate
  }

  /**
   * Writes the end of the previous transaction, if there is one, and all statements of the batch.
   * @throws RangeError if the batch is longer than a Buffer.
   */
  write({ statements }: Batch, ahead: EndCommand | undefined): Buffer {
    const { writer, cache, portals } = this.#context
    // These come first, because the server would skip them after an end that it refuses.
    for (const name of cache.takeClosable()) {
      writer.closeStatement(name)
      this.closes++
    }
    if (ahead !== undefined) {
      this.steps.push(this.#write(ENDS[ahead]))
      if (portals.size > 0) portals.clear()
    }
    for (const statement of statements) {
      this.steps.push(this.#write(statement))
      if (this.#separate) writer.sync()
    }
    if (!this.#separate) writer.sync()
    return writer.take()
  }

  #write(statement: BatchStatement): BatchStep {
    const { writer, portals, types, view } = this.#context
    const name = statement.portal ?? ''
    if (statement.closePortal === true) {
      writer.closePortal(name)
      portals.delete(name)
      return new BatchStep({ statement, stage: 'closed' }, types)
    }
    if (name !== '' && statement.text === '') {
      const portal = portals.get(name)
      this.#execute(statement)
      return new BatchStep({ statement, stage: 'rows', portal }, types)
    }
    const { prepared, parses } = this.#prepare(statement)
    const kept = prepared.parsed
    const portal: OpenPortal | undefined = name === '' ? undefined : { shape: undefined }
    if (portal !== undefined) portals.set(name, portal)
    writer.bind(name, prepared.name, statement.values ?? NO_VALUES)
    // Described each time, because another cursor, plan or backend behind a pooler may return rows of another shape.
    const describes = prepared.shape !== null && statement.onlyBind !== true
    if (describes) writer.describePortal(name)
    if (statement.onlyBind === true) writer.closePortal(name)
    else this.#execute(statement)
    view.written(
      prepared.effect,
      statement.values ?? NO_VALUES,
      this.#separate ? 'autocommit' : 'transaction',
    )
    return new BatchStep(
      { statement, stage: parses ? 'parsed' : 'bound', prepared, kept, describes, portal },
      types,
    )
  }

  #execute(statement: BatchStatement): void {
    const { writer } = this.#context
    writer.execute(statement.portal ?? '', statement.maxRows ?? 0)
    if (statement.flushAfter === true) writer.flush()
  }

  #prepare(statement: BatchStatement): { readonly prepared: PreparedStatement; readonly parses: boolean } {
    const { cache, writer } = this.#context
    let prepared = cache.take(statement.text, statement.prepare ?? true)
    if (prepared.parsed) return { prepared, parses: false }
    if (this.#parsedHere?.has(prepared) === true) {
      // Under one Sync the server skips both if the Parse fails. With a Sync of its own, a statement must not depend on that Parse.
      if (!this.#separate) return { prepared, parses: false }
      prepared = new PreparedStatement('', statement.text)
    } else if (prepared.name !== '') {
      this.#parsedHere ??= new Set()
      this.#parsedHere.add(prepared)
    }
    writer.parse(prepared.name, statement.text)
    return { prepared, parses: true }
  }
}

const ENDS = {
  COMMIT: endWith('COMMIT'),
  // After a refusal, which may be about a statement's name.
  ROLLBACK: { ...endWith('ROLLBACK'), prepare: false },
}
const NO_VALUES: readonly EncodedValue[] = []
/** An end whose answer is not waited for. */
function endWith(text: EndCommand): BatchStatement {
  return { text, onResult: ignore, onError: ignore }
}

function ignore(): void {
  // The answer to an end without a listener: `refusedAhead` reports a refusal.
}
