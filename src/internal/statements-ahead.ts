/** The statements of a running flush: the next statement is queued after them, also if they are still in preparation. */

export interface StatementsAhead {
  /** Settles when they are queued; undefined if they are already. */
  readonly sent: Promise<void> | undefined
  /** Settles when they were answered; its error comes before that of what follows. */
  readonly done: Promise<void>
}

/**
 * Queues a statement after those of a flush, in the same batch if possible. If the flush fails, its error is thrown. The
 * answer is returned after the flush has been applied.
 */
export function sendAfter<Value>(
  ahead: StatementsAhead | undefined,
  queue: () => Promise<Value>,
): Promise<Value> {
  return ahead === undefined ? queue() : queueAfter(ahead, queue)
}

async function queueAfter<Value>(ahead: StatementsAhead, queue: () => Promise<Value>): Promise<Value> {
  if (ahead.sent !== undefined) await ahead.sent
  const answer = queue()
  answer.catch(ignore)
  await ahead.done
  return await answer
}

function ignore(): void {
  // If the flush fails, so does the statement after it. The error of the flush is thrown.
}
