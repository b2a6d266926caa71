/** The modes of a transaction, in the form in which Kysely and Drizzle write them. */
import type { Executor } from '../../execution/executor.js'
import {
  DatabaseError,
  IllegalStateError,
  type IsolationLevel,
  type TransactionOptions,
} from '../../index.js'

/** How the builders write them; PostgreSQL understands the same words. */
export interface Modes {
  readonly isolationLevel?: string | undefined
  readonly accessMode?: string | undefined
  readonly deferrable?: boolean | undefined
}

/** The options of a transaction of the engine. */
export function transactionOptions({ isolationLevel, accessMode, deferrable }: Modes): TransactionOptions {
  return {
    isolationLevel: isolationLevel?.toUpperCase() as IsolationLevel | undefined,
    readOnly: accessMode === undefined ? undefined : accessMode === 'read only',
    deferrable,
  }
}

/** As they stand behind SET TRANSACTION; empty if there are none. */
export function modesText({ isolationLevel, accessMode, deferrable }: Modes): string {
  const parts = [
    isolationLevel === undefined ? '' : `isolation level ${isolationLevel}`,
    accessMode ?? '',
    deferrable === undefined ? '' : deferrable ? 'deferrable' : 'not deferrable',
  ]
  return parts.filter((part) => part !== '').join(', ')
}

/**
 * Applies the modes to a savepoint. PostgreSQL knows which it can have: those of its transaction, or read-only inside of one that may
 * write.
 * @throws IllegalStateError if it cannot have them.
 */
export async function applyToSavepoint(modes: Modes, on: Pick<Executor, 'execute'>): Promise<void> {
  const text = modesText(modes)
  if (text === '') return
  try {
    await on.execute(`set transaction ${text}`)
  } catch (cause) {
    if (!(cause instanceof DatabaseError)) throw cause
    throw new IllegalStateError(
      `The transaction of the session is not '${text}', and a transaction inside of it cannot be, either: give the session its modes, ` +
        "for example withSession(work, { isolationLevel: 'SERIALIZABLE' })",
      { cause },
    )
  }
}
