/** Statements that come before others, and may still have to be prepared: a flush. */

export interface StatementsAhead {
  /** Settles when they are queued; undefined if they are already. */
  readonly sent: Promise<void> | undefined
  /** Settles when they were answered; its error comes before that of what follows. */
  readonly done: Promise<void>
}

/**
 * Queues something behind statements, so that it travels with them. Their error is the one to see, and what they have
 * stored is known before the answer is given.
 */
export function behind<Value>(
  ahead: StatementsAhead | undefined,
  queue: () => Promise<Value>,
): Promise<Value> {
  return ahead === undefined ? queue() : queueBehind(ahead, queue)
}

async function queueBehind<Value>(ahead: StatementsAhead, queue: () => Promise<Value>): Promise<Value> {
  if (ahead.sent !== undefined) await ahead.sent
  const answer = queue()
  answer.catch(ignore)
  await ahead.done
  return await answer
}

function ignore(): void {
  // It can only follow suit.
}
