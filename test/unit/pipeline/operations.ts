/** Operations by one word each, for tables of what is queued and what travels. */
import { Operation, type OperationKind } from '../../../src/pipeline/operation.js'

export const OWNER = { storing: true, answered: () => undefined, refused: () => undefined }

const WORDS: Readonly<Record<string, readonly [OperationKind, string]>> = {
  read: ['statement', 'select 1'],
  /** A read by its text, that may do anything. */
  call: ['statement', 'select add_song()'],
  write: ['statement', 'insert into songs values (1)'],
  /** Makes a read-only transaction one that writes. */
  turn: ['statement', 'set transaction read write'],
  begin: ['step', 'BEGIN'],
  savepoint: ['step', 'SAVEPOINT s1'],
  commit: ['commit', 'COMMIT'],
  rollback: ['rollback', 'ROLLBACK'],
  undo: ['rollbackTo', 'ROLLBACK TO s1'],
  copy: ['exclusive', 'copy songs from stdin'],
  script: ['exclusive', 'insert into songs values (1); commit'],
}

/** The operation of a word; `read!` may be cancelled. */
export function operationOf(word: string): Operation {
  const isCancellable = word.endsWith('!')
  const known = WORDS[isCancellable ? word.slice(0, -1) : word]
  if (known === undefined) throw new Error(`no operation is called ${word}`)
  const operation = new Operation(OWNER, known[0], { text: known[1] })
  operation.cancellable = isCancellable
  return operation
}

/** The operations of some words. */
export function operationsOf(words: string): Operation[] {
  return words.split(' ').filter(Boolean).map(operationOf)
}
