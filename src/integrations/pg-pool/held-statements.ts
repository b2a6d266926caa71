/**
 * Statements that only begin something, and can wait for the statement after them: BEGIN and SAVEPOINT. The caller is answered at once; they
 * are sent in front of the next statement, with one Sync, so that the server skips that statement if they fail.
 *
 * 1. Only forms that PostgreSQL takes whatever the state of the session: a misspelt mode, or a name that is no name, is sent at once.
 * 2. A transaction that ends before anything was sent never reaches the server.
 */
import { firstWord } from './statement-text.js'

/** What a statement does to what is held. `begin` and `savepoint` are held; `end` ends a transaction that was not sent. */
export type HeldKind = 'begin' | 'savepoint' | 'end'

const MODE =
  'isolation\\s+level\\s+(?:serializable|repeatable\\s+read|read\\s+(?:un)?committed)|read\\s+(?:only|write)|(?:not\\s+)?deferrable'
const BEGIN = new RegExp(
  `^\\s*(?:begin(?:\\s+(?:work|transaction))?|start\\s+transaction)(?:\\s*,?\\s*(?:${MODE}))*\\s*;?\\s*$`,
  'i',
)
const SAVEPOINT = /^\s*savepoint\s+(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")\s*;?\s*$/i
const END = /^\s*(?:commit|rollback|end|abort)(?:\s+(?:work|transaction))?\s*;?\s*$/i

/** Longer texts are not looked through. */
const LONGEST = 200

/** Undefined for any other statement. */
export function heldKindOf(text: string): HeldKind | undefined {
  if (text.length > LONGEST) return undefined
  switch (firstWord(text)) {
    case 'begin':
    case 'start':
      return BEGIN.test(text) ? 'begin' : undefined
    case 'savepoint':
      return SAVEPOINT.test(text) ? 'savepoint' : undefined
    case 'commit':
    case 'rollback':
    case 'end':
    case 'abort':
      return END.test(text) ? 'end' : undefined
  }
  return undefined
}

/** The tag with which the server would answer. */
export function tagOf(text: string, kind: HeldKind): string {
  if (kind !== 'end') return kind.toUpperCase()
  return UNDOES.has(firstWord(text)) ? 'ROLLBACK' : 'COMMIT'
}

const UNDOES: ReadonlySet<string> = new Set(['rollback', 'abort'])
