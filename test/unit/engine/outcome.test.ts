/** The table of `outcome.ts`, and what counts as PostgreSQL's own refusal. */
import { describe, expect, test } from 'vitest'
import { StatementTimeoutError } from '../../../src/database-errors.js'
import {
  RowsUnreadable,
  StandbyWaitEnded,
  StatementNotRun,
  StatementSkipped,
} from '../../../src/driver/driver.js'
import { outcomeOf, seenIn, type Evidence, type Outcome, type Seen } from '../../../src/pipeline/outcome.js'
import { AbortedError, ConnectionLostError, EngineDisposedError } from '../../../src/errors.js'

const SEEN: readonly Seen[] = ['success', 'success without standby', 'refusal', 'end', 'nothing']

const TABLE: readonly (readonly [Evidence, Outcome])[] = [
  ...SEEN.flatMap((seen) =>
    [true, false].map((commits) => [{ isRun: false, commits, seen }, 'not run'] as const),
  ),
  [{ isRun: true, commits: true, seen: 'success' }, 'committed'],
  [{ isRun: true, commits: true, seen: 'success without standby' }, 'unknown'],
  [{ isRun: true, commits: true, seen: 'refusal' }, 'rolled back'],
  [{ isRun: true, commits: true, seen: 'end' }, 'unknown'],
  [{ isRun: true, commits: true, seen: 'nothing' }, 'unknown'],
  [{ isRun: true, commits: false, seen: 'success' }, 'open'],
  [{ isRun: true, commits: false, seen: 'success without standby' }, 'unknown'],
  [{ isRun: true, commits: false, seen: 'refusal' }, 'rolled back'],
  [{ isRun: true, commits: false, seen: 'end' }, 'rolled back'],
  [{ isRun: true, commits: false, seen: 'nothing' }, 'rolled back'],
]

test('has a row for everything', () => {
  const rows = new Set(TABLE.map(([evidence]) => JSON.stringify(evidence)))
  expect(rows.size).toBe(2 * 2 * SEEN.length)
})

test.each(TABLE)('%j: %s', (evidence, outcome) => {
  expect(outcomeOf(evidence)).toBe(outcome)
})

interface Said {
  readonly severity?: string
  readonly code?: string
  /** From where in PostgreSQL's source; false: a pooler says it. */
  readonly backend?: boolean
}

function said({ severity = 'ERROR', code = '', backend = true }: Said): Error {
  const place = backend ? { file: 'postgres.c', line: '3432', routine: 'ProcessInterrupts' } : {}
  return Object.assign(new Error(`${severity} ${code}`), { severity, code, ...place })
}

describe('what was seen', () => {
  const cases: readonly (readonly [what: string, error: Error, seen: Seen])[] = [
    ['a constraint', said({ code: '23505' }), 'refusal'],
    ['a cancel', said({ code: '57014' }), 'refusal'],
    ['a serialization failure', said({ code: '40001' }), 'refusal'],
    ['too few values (class 08)', said({ code: '08P01' }), 'refusal'],
    ['a foreign server that is out of reach', said({ code: '08001' }), 'refusal'],
    ['a write on a standby', said({ code: '25006' }), 'refusal'],
    ['an ERROR of a server that names no source', said({ code: '23505', backend: false }), 'refusal'],
    ['an ERROR in another language', said({ severity: 'FEHLER', code: '23505' }), 'refusal'],
    ['idle in transaction', said({ severity: 'FATAL', code: '25P03' }), 'refusal'],
    ['an administrator', said({ severity: 'FATAL', code: '57P01' }), 'end'],
    ['an administrator, in another language', said({ severity: 'ВАЖНО', code: '57P01' }), 'end'],
    ['a crash of another backend', said({ severity: 'FATAL', code: '57P02' }), 'end'],
    ['the time of the transaction', said({ severity: 'FATAL', code: '25P04' }), 'end'],
    ['the time of the session', said({ severity: 'FATAL', code: '57P05' }), 'end'],
    ['a PANIC', said({ severity: 'PANIC', code: 'XX000' }), 'end'],
    ['a pooler whose server broke', said({ severity: 'FATAL', code: '08P01', backend: false }), 'nothing'],
    ['a pooler that shuts down', said({ severity: 'FATAL', code: '57P01', backend: false }), 'nothing'],
    ['a pooler about an idle one', said({ severity: 'FATAL', code: '25P03', backend: false }), 'nothing'],
    ['a pooler that says ERROR', said({ code: '58000', backend: false }), 'nothing'],
    ['a pooler that says ERROR of class 08', said({ code: '08006', backend: false }), 'nothing'],
    ['an outcome in doubt by itself (40003)', said({ code: '40003' }), 'nothing'],
    ['an outcome in doubt by itself (08007)', said({ code: '08007' }), 'nothing'],
    ['a broken socket', Object.assign(new Error('read'), { code: 'ECONNRESET' }), 'nothing'],
    ['an abort', new AbortedError('aborted'), 'nothing'],
    ['a timeout of ours', new StatementTimeoutError('slow', { code: '57014' }, {}), 'nothing'],
    ['dispose', new EngineDisposedError('disposed'), 'nothing'],
    ['a loss', new ConnectionLostError('lost'), 'nothing'],
    ['never sent', new StatementNotRun(new Error('broken pipe')), 'nothing'],
    ['passed over', new StatementSkipped('skipped'), 'refusal'],
    ['a type parser that throws', new RowsUnreadable(new Error('no date')), 'success'],
    ['a standby that is gone', new StandbyWaitEnded('canceling wait'), 'success without standby'],
  ]

  test.each(cases)('%s', (_what, error, seen) => {
    expect(seenIn(error, false)).toBe(seen)
  })

  test('an error for which a connection was dropped is no answer, whatever it looks like', () => {
    for (const code of ['23505', '57014', '25P03']) expect(seenIn(said({ code }), true)).toBe('nothing')
  })
})
