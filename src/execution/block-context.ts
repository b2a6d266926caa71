/** Which block the current call belongs to: its statements are refused once the block has ended. */
import { IllegalStateError, type LifeguardError } from '../errors.js'
import { scopeValueOf, runInScope, type AsyncScope } from '../internal/async-scope.js'
import { isInstance } from '../internal/revoked.js'

/** One run of a block, as the calls that it makes see it. */
export class BlockContext {
  /** True: the block has returned or thrown, and its transaction is ending. */
  over = false
  /** Blocks that have joined this one and still run. */
  joined = 0
  /** Why a COPY stream of this block failed. */
  streamFailure: LifeguardError | undefined = undefined

  /** Calls the block. Calls that it starts belong to it, and to `inner`. */
  run<Value>(pipeline: object, work: () => Value, inner: AsyncScope | undefined): Value {
    return runInScope(pipeline, this, work, inner)
  }

  /**
   * The error that the block fails with. Node throws `ERR_STREAM_...` (which one depends on its version) for a stream that
   * was destroyed: the error that destroyed the stream is the cause, and is reported instead.
   */
  failureOf(error: unknown): unknown {
    const { code } = isInstance(error, Error) ? (error as NodeJS.ErrnoException) : {}
    return code?.startsWith('ERR_STREAM_') === true ? (this.streamFailure ?? error) : error
  }
}

/** Notes in the caller's block why its COPY stream has failed. */
export function noteStreamFailure(pipeline: object, error: LifeguardError): void {
  const block = scopeValueOf(pipeline) as BlockContext | undefined
  if (block !== undefined) block.streamFailure = error
}

/** Runs a block that takes part in the transaction of the caller's block, which must not return before it. */
export async function joinBlock<Value>(pipeline: object, work: () => Value | Promise<Value>): Promise<Value> {
  const block = scopeValueOf(pipeline) as BlockContext | undefined
  if (block !== undefined) block.joined++
  try {
    return await work()
  } finally {
    if (block !== undefined) block.joined--
  }
}

/**
 * A branch of `Promise.all` that goes on when another one has failed would otherwise store its rows beside the transaction
 * that was rolled back.
 * @param statement The statement that the block wanted to run.
 * @throws IllegalStateError if the caller's block has ended.
 */
export function requireRunningBlock(pipeline: object, statement?: string): void {
  const block = scopeValueOf(pipeline) as BlockContext | undefined
  if (block?.over !== true) return
  const refused = statement === undefined || statement === '' ? '' : `. Not run: ${shortened(statement)}`
  throw new IllegalStateError(
    'A block continued after its end, when its transaction had ended: an `await` is missing in it (forEach does not wait: ' +
      `use for ... of, or await Promise.all with map)${refused}`,
  )
}

const LONGEST_STATEMENT = 100

function shortened(statement: string): string {
  const line = statement.replace(/\s+/g, ' ').trim()
  return line.length <= LONGEST_STATEMENT ? line : `${line.slice(0, LONGEST_STATEMENT).toWellFormed()}...`
}
