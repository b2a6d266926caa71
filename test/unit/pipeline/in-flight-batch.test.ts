/** What travels together, rule by rule, and what a batch on its way may mean. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CommitOutcomeUnknownError, UnreadableResultError } from '../../../src/errors.js'
import {
  answeredFirst,
  arePlainReads,
  batchOf,
  hasOpenCommit,
  isUnbegun,
  mayRepeat,
  mayRepeatAlone,
  settlingOf,
  takeBatch,
  type BatchRules,
  type InFlightBatch,
} from '../../../src/pipeline/in-flight-batch.js'
import { NOTHING, type Operation } from '../../../src/pipeline/operation.js'
import { OperationQueue } from '../../../src/pipeline/operation-queue.js'
import { isPureRead } from '../../../src/pipeline/pure-reads.js'
import { operationsOf } from './operations.js'

const NO_RULES: BatchRules = {
  proving: false,
  alone: false,
  readOnly: false,
  flushes: false,
  commitMayWait: false,
  position: undefined,
  hasWritten: false,
}

interface Taken {
  readonly batch: InFlightBatch
  /** The words of what is sent; `^`: the server answers it before it goes on. */
  readonly sent: string
  readonly left: string
}

function take(queued: string, rules: Partial<BatchRules>, begin = '', deferred = ''): Taken {
  const wordOf = new Map<Operation, string>()
  const made = (words: string): Operation[] => {
    const operations = operationsOf(words)
    for (const [index, word] of words.split(' ').filter(Boolean).entries())
      wordOf.set(operations[index] as Operation, word)
    return operations
  }
  const queue = new OperationQueue()
  for (const operation of made(queued)) queue.push(operation)
  const batch = takeBatch(queue, made(begin), made(deferred), { ...NO_RULES, ...rules })
  const words = (operations: Iterable<Operation>): string =>
    [...operations]
      .map((operation) => `${wordOf.get(operation) ?? '?'}${operation.flushAfter === true ? '^' : ''}`)
      .join(' ')
  return { batch, sent: words(batch.operations), left: words(queue) }
}

interface Row {
  readonly queued: string
  readonly rules?: Partial<BatchRules>
  readonly begin?: string
  readonly deferred?: string
  readonly sent: string
  readonly left: string
}

const PROVING = { proving: true } as const
const WAITING = { flushes: true, commitMayWait: true } as const
const PROVING_READS = { proving: true, readOnly: true } as const

const TABLE: Readonly<Record<string, readonly Row[]>> = {
  'everything that is queued travels together': [
    { queued: '', sent: '', left: '' },
    { queued: 'read write read', sent: 'read write read', left: '' },
    { queued: 'savepoint write undo write', sent: 'savepoint write undo write', left: '' },
    { queued: 'read', begin: 'begin', deferred: 'savepoint', sent: 'begin savepoint read', left: '' },
    { queued: '', begin: 'begin', sent: 'begin', left: '' },
  ],
  '1: COMMIT and ROLLBACK end a batch': [
    { queued: 'write commit read', sent: 'write commit', left: 'read' },
    { queued: 'write rollback read', sent: 'write rollback', left: 'read' },
    { queued: 'commit commit', sent: 'commit', left: 'commit' },
    { queued: 'rollback write commit', sent: 'rollback', left: 'write commit' },
    { queued: 'commit', begin: 'begin', sent: 'begin commit', left: '' },
  ],
  '2: COMMIT waits for the BEGIN that proves its connection, unless it can store nothing': [
    { queued: 'write commit', rules: PROVING, begin: 'begin', sent: 'begin write', left: 'commit' },
    { queued: 'read commit', rules: PROVING, begin: 'begin', sent: 'begin read', left: 'commit' },
    {
      queued: 'read commit read',
      rules: PROVING_READS,
      begin: 'begin',
      sent: 'begin read commit',
      left: 'read',
    },
    { queued: 'call commit', rules: PROVING_READS, begin: 'begin', sent: 'begin call', left: 'commit' },
    {
      queued: 'read write commit',
      rules: PROVING_READS,
      begin: 'begin',
      sent: 'begin read write',
      left: 'commit',
    },
    { queued: 'write rollback', rules: PROVING, begin: 'begin', sent: 'begin write rollback', left: '' },
    { queued: 'read commit', rules: { readOnly: true }, begin: 'begin', sent: 'begin read commit', left: '' },
  ],
  '3: what may be cancelled travels last, and alone but for what begins': [
    { queued: 'read! read', sent: 'read!', left: 'read' },
    { queued: 'read read! read', sent: 'read', left: 'read! read' },
    { queued: 'read! read!', sent: 'read!', left: 'read!' },
    { queued: 'write! commit', sent: 'write!', left: 'commit' },
    { queued: 'write!', begin: 'begin', deferred: 'savepoint', sent: 'begin savepoint write!', left: '' },
  ],
  '4: what takes the whole connection does not travel': [
    { queued: 'copy read', sent: '', left: 'copy read' },
    { queued: 'read copy read', sent: 'read', left: 'copy read' },
    { queued: 'copy', begin: 'begin', deferred: 'savepoint', sent: 'begin savepoint', left: 'copy' },
  ],
  '5: where every statement stands alone, COMMIT and ROLLBACK stay behind': [
    { queued: 'write commit', rules: { alone: true }, sent: 'write', left: 'commit' },
    { queued: 'write rollback write', rules: { alone: true }, sent: 'write', left: 'rollback write' },
    { queued: 'commit', rules: { alone: true }, sent: '', left: 'commit' },
    { queued: 'write undo write', rules: { alone: true }, sent: 'write undo write', left: '' },
  ],
  '7: where an abort has to know, the server answers what goes before COMMIT': [
    { queued: 'write read commit', rules: { flushes: true }, sent: 'write read^ commit', left: '' },
    { queued: 'commit', rules: { flushes: true }, sent: 'commit', left: '' },
    { queued: 'commit', rules: { flushes: true }, begin: 'begin', sent: 'begin commit', left: '' },
    { queued: 'commit', rules: { flushes: true }, deferred: 'savepoint', sent: 'savepoint commit', left: '' },
    { queued: 'write savepoint commit', rules: { flushes: true }, sent: 'write savepoint^ commit', left: '' },
    { queued: 'write rollback', rules: { flushes: true }, sent: 'write rollback', left: '' },
    { queued: 'write commit', rules: { flushes: true, alone: true }, sent: 'write', left: 'commit' },
    {
      queued: 'write commit',
      rules: { flushes: true, ...PROVING },
      begin: 'begin',
      sent: 'begin write',
      left: 'commit',
    },
  ],
  '8: where COMMIT may wait for a standby, it is sent once the statements are answered': [
    { queued: 'write commit', rules: WAITING, begin: 'begin', sent: 'begin write', left: 'commit' },
    { queued: 'call commit', rules: WAITING, sent: 'call', left: 'commit' },
    { queued: 'read commit', rules: WAITING, sent: 'read^ commit', left: '' },
    { queued: 'read commit', rules: { ...WAITING, hasWritten: true }, sent: 'read', left: 'commit' },
    { queued: 'commit', rules: { ...WAITING, hasWritten: true }, sent: 'commit', left: '' },
    {
      queued: 'commit',
      rules: { ...WAITING, hasWritten: true },
      deferred: 'savepoint',
      sent: 'savepoint commit',
      left: '',
    },
    { queued: 'write rollback', rules: WAITING, sent: 'write rollback', left: '' },
    { queued: 'write commit', rules: { commitMayWait: true }, sent: 'write commit', left: '' },
    { queued: 'call commit', rules: { ...WAITING, readOnly: true }, sent: 'call^ commit', left: '' },
    { queued: 'turn commit', rules: { ...WAITING, readOnly: true }, sent: 'turn', left: 'commit' },
    {
      queued: 'write commit',
      rules: { ...WAITING, readOnly: true, hasWritten: true },
      sent: 'write',
      left: 'commit',
    },
  ],
}

describe.each(Object.entries(TABLE))('%s', (_rule, rows) => {
  test.each(rows)('$queued $rules -> $sent | $left', ({ queued, rules, begin, deferred, sent, left }) => {
    const taken = take(queued, rules ?? {}, begin, deferred)
    expect(taken).toMatchObject({ sent, left })
    expect(taken.batch).toMatchObject({
      alone: rules?.alone ?? false,
      beginning: begin === undefined ? 0 : 1,
      answered: false,
      refused: false,
      replay: undefined,
      undoing: [],
    })
  })
})

test('nothing is lost, overtaken or held back without a reason', () => {
  const word = fc.constantFrom(
    'read',
    'call',
    'write',
    'read!',
    'write!',
    'commit',
    'rollback',
    'undo',
    'copy',
  )
  const rules = fc.record({
    proving: fc.boolean(),
    alone: fc.boolean(),
    readOnly: fc.boolean(),
    flushes: fc.boolean(),
  })
  const deferred = fc.constantFrom('', 'savepoint')
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 8 }),
      rules,
      deferred,
      fc.constantFrom('', 'begin'),
      (words, given, steps, begin) => {
        const { sent, left } = take(words.join(' '), given, begin, steps)
        const all = `${sent} ${left}`
          .split(' ')
          .filter(Boolean)
          .map((one) => one.replace('^', ''))
        expect(all).toEqual([begin, steps, ...words].filter(Boolean))
        const taken = sent.split(' ').filter(Boolean).slice([begin, steps].filter(Boolean).length)
        const isLast = (one: string): boolean => /!|^commit$|^rollback$/.test(one)
        expect(taken.slice(0, -1).filter(isLast)).toEqual([])
        if (taken.at(-1)?.endsWith('!') === true) expect(taken).toHaveLength(1)
        expect(taken).not.toContain('copy')
        const [next] = left.split(' ')
        if (next === '' || isLast(taken.at(-1) ?? '')) return
        // What was left stays for a reason of its own.
        expect(next).toMatch(
          given.alone ? /copy|commit|rollback|!/ : given.proving ? /copy|commit|!/ : /copy|!/,
        )
      },
    ),
  )
})

describe('a batch on its way', () => {
  function batch(words: string, given: { alone?: boolean; beginning?: number } = {}): InFlightBatch {
    return batchOf(operationsOf(words), given.alone ?? false, given.beginning)
  }

  const at = ({ operations }: InFlightBatch, index: number): Operation => operations[index] as Operation

  test('has not begun its transaction until the first answer, and is not run at all once it was called off', () => {
    expect(isUnbegun(batch('begin write', { beginning: 1 }))).toBe(true)
    expect(isUnbegun(batch('write'))).toBe(false)
    const answered = batch('begin write', { beginning: 1 })
    let cancelled = 0
    answered.deadline = { cancel: () => void cancelled++ }
    answeredFirst(answered)
    expect([isUnbegun(answered), cancelled]).toEqual([false, 1])
    const calledOff = batch('begin write', { beginning: 1 })
    at(calledOff, 1).callOff(new Error('aborted'))
    expect(isUnbegun(calledOff)).toBe(false)
  })

  test.each<[words: string, refused: number, calledOff: number | undefined, again: boolean, alone: boolean]>([
    ['begin write', 1, undefined, true, true],
    ['begin savepoint write write', 2, undefined, true, true],
    ['write', 0, undefined, true, true],
    // What was run once is not run twice.
    ['begin write read', 2, undefined, false, true],
    ['write undo read', 2, undefined, false, true],
    ['begin write', 1, 1, false, false],
    ['begin write write', 1, 2, false, true],
    ['begin write', 7, undefined, false, false],
  ])(
    '%s, refused at %i, called off at %s: repeated %s, alone %s',
    (words, refused, calledOff, again, alone) => {
      const sent = batch(words)
      if (calledOff !== undefined) at(sent, calledOff).callOff(new Error('aborted'))
      expect(mayRepeat(sent, sent.operations[refused] ?? {})).toBe(again)
      expect(mayRepeatAlone(sent, sent.operations[refused] ?? {})).toBe(alone)
    },
  )

  test('may have committed while its COMMIT is not known to be passed over', () => {
    expect(hasOpenCommit(undefined)).toBe(false)
    expect(hasOpenCommit(batch('write'))).toBe(false)
    expect(hasOpenCommit(batch('write rollback'))).toBe(false)
    const committing = batch('write commit')
    expect(hasOpenCommit(committing)).toBe(true)
    committing.refused = true
    expect(hasOpenCommit(committing)).toBe(false)
  })

  test.each<[words: string, plain: boolean, pure: boolean]>([
    ['', true, true],
    ['begin read savepoint commit', true, true],
    ['read call', true, false],
    ['read write', false, false],
    ['read copy', false, false],
  ])('%s: plain reads %s, pure %s', (words, plain, pure) => {
    expect(arePlainReads(operationsOf(words))).toBe(plain)
    expect(arePlainReads(operationsOf(words), isPureRead)).toBe(pure)
  })
})

describe('what is stored by its own answer', () => {
  const failures = {
    refused: new Error('refused'),
    unknown: new CommitOutcomeUnknownError('unknown', { cause: undefined }),
    unread: new UnreadableResultError('unread', { cause: undefined }),
  }

  /** How the operations end, by the word of each. */
  test.each<
    [words: string, alone: boolean, ends: (keyof typeof failures | 'stored')[], stored: boolean | undefined]
  >([
    ['write read', false, [], undefined],
    ['copy', false, [], undefined],
    ['write commit', false, ['stored', 'stored'], true],
    ['write commit', false, ['stored', 'refused'], false],
    ['write commit', false, ['stored', 'unknown'], true],
    ['write write', true, ['refused', 'refused'], false],
    ['write write', true, ['refused', 'stored'], true],
    ['write write', true, ['unread', 'refused'], true],
    ['copy', true, ['stored'], true],
    ['script', false, ['stored'], true],
    ['script', false, ['refused'], false],
  ])('%s (alone: %s) that ends as %j: %s', async (words, alone, ends, stored) => {
    const batch = batchOf(operationsOf(words), alone)
    const settling = settlingOf(batch)
    for (const [index, end] of ends.entries()) {
      if (end === 'stored') batch.operations[index]?.succeed(NOTHING)
      else batch.operations[index]?.fail(failures[end])
    }
    expect(await settling).toBe(stored)
    if (stored === undefined) expect(settling).toBeUndefined()
  })

  test('is waited for only if it has not ended, except COMMIT', async () => {
    expect(settlingOf(undefined)).toBeUndefined()
    const alone = batchOf(operationsOf('write'), true)
    alone.operations[0]?.succeed(NOTHING)
    expect(settlingOf(alone)).toBeUndefined()
    const committed = batchOf(operationsOf('commit'), false)
    committed.operations[0]?.succeed(NOTHING)
    expect(await settlingOf(committed)).toBe(true)
  })
})

describe('6: the query for the position', () => {
  const [query] = operationsOf('read')
  const position = (): Operation => query as Operation
  const asks = (queued: string, rules: Partial<BatchRules> = {}): string =>
    take(queued, { position, ...rules }, 'begin').sent

  test.each<[string, Partial<BatchRules>, string]>([
    ['write commit', {}, 'begin write commit ?'],
    ['commit', { hasWritten: true }, 'begin commit ?'],
    ['read commit', {}, 'begin read commit'],
    ['write', {}, 'begin write'],
    ['write rollback', {}, 'begin write rollback'],
    ['write', { alone: true }, 'begin write ?'],
    ['read', { alone: true }, 'begin read'],
    ['write read', { alone: true }, 'begin write read ?'],
  ])('%s %o', (queued, rules, sent) => {
    expect(asks(queued, rules)).toBe(sent)
  })

  test('is not asked for if no caller wants it', () => {
    expect(asks('write commit', { position: undefined })).toBe('begin write commit')
  })
})
