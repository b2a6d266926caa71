import { constants } from 'node:buffer'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../../src/driver/backend-messages.js'
import { BatchStep } from '../../../src/driver/batch-step.js'
import type { Batch, BatchStatement } from '../../../src/driver/driver.js'
import { RowsUnreadable, StatementSkipped } from '../../../src/driver/driver.js'
import { RowShape } from '../../../src/driver/row-reader.js'
import { InvalidValueError } from '../../../src/errors.js'
import {
  bindComplete,
  closeComplete,
  commandComplete,
  dataRow,
  emptyQuery,
  errorResponse,
  int16,
  int32,
  message,
  noData,
  parseComplete,
  portalSuspended,
  readyForQuery,
  rowDescription,
} from './backend-messages.js'
import { Harness } from './batch-harness.js'

const SHAPE = rowDescription(['x'], 23)
const ROW = dataRow(['7'])
const DONE = commandComplete('SELECT 1')
const PAGE: Partial<BatchStatement> = { text: 'select x', portal: 'p', maxRows: 2 }

interface Case {
  readonly statements?: readonly (string | Partial<BatchStatement>)[]
  readonly sync?: Batch['sync']
  readonly messages: readonly Buffer[]
}

/** Lets a server answer a batch. */
function answered({ statements = ['select 7 as x', 'select 8 as x'], sync, messages }: Case): Harness {
  const harness = new Harness().begin()
  harness.run(statements, sync)
  harness.answer(...messages, ...LATER)
  return harness
}

/** What comes behind it is never read. */
const LATER = [
  parseComplete,
  bindComplete,
  SHAPE,
  dataRow(['666']),
  DONE,
  readyForQuery('T'),
  readyForQuery('T'),
]
const WHOLE = [parseComplete, bindComplete, SHAPE, ROW, DONE]
const failure = errorResponse('22012', 'division by zero')

describe('what has no place in an answer ends the connection, and fails what is not settled, once', () => {
  test.each<[string, Case]>([
    ['a stray ReadyForQuery before everything', { messages: [readyForQuery('T')] }],
    ['a stray ReadyForQuery behind ParseComplete', { messages: [parseComplete, readyForQuery('T')] }],
    ['a stray ReadyForQuery among rows', { messages: [...WHOLE.slice(0, 4), readyForQuery('T')] }],
    ['a stray ReadyForQuery between statements', { messages: [...WHOLE, readyForQuery('T')] }],
    [
      'a stray ReadyForQuery where each has its Sync',
      { sync: 'separate', messages: [...WHOLE, readyForQuery('T'), readyForQuery('T')] },
    ],
    ['a stray BindComplete', { messages: [bindComplete] }],
    ['ParseComplete twice', { messages: [parseComplete, parseComplete] }],
    ['BindComplete twice', { messages: [parseComplete, bindComplete, bindComplete] }],
    ['a row before its description', { messages: [parseComplete, bindComplete, ROW] }],
    ['a description twice', { messages: [parseComplete, bindComplete, SHAPE, SHAPE] }],
    ['a row of a statement that returns none', { messages: [parseComplete, bindComplete, noData, ROW] }],
    ['an answer to Close that was not sent', { messages: [closeComplete] }],
    ['the end of a command before its rows are described', { messages: [parseComplete, bindComplete, DONE] }],
    ['the end of a command twice', { messages: [...WHOLE, DONE] }],
    ['the end of a command twice, where each has its Sync', { sync: 'separate', messages: [...WHOLE, DONE] }],
    [
      'the end of a page that was not asked for',
      { messages: [parseComplete, bindComplete, SHAPE, portalSuspended] },
    ],
    [
      'a page with a row too few',
      { statements: [PAGE], messages: [parseComplete, bindComplete, SHAPE, ROW, portalSuspended] },
    ],
    ['a row too few', { messages: [...WHOLE.slice(0, 4), commandComplete('SELECT 2')] }],
    ['a row too many', { messages: [...WHOLE.slice(0, 4), ROW, DONE] }],
    ['an empty statement with a row', { messages: [...WHOLE.slice(0, 4), emptyQuery] }],
    ['a row of another shape', { messages: [parseComplete, bindComplete, SHAPE, dataRow(['7', '8'])] }],
    [
      'a description that is cut short',
      { messages: [parseComplete, bindComplete, message('T', int16(9), 'a', Buffer.alloc(18))] },
    ],
    ['an empty description', { messages: [parseComplete, bindComplete, message('T')] }],
    ['a tag without its end', { messages: [...WHOLE.slice(0, 4), message('C', Buffer.from('SELECT 1'))] }],
    ['an empty tag message', { messages: [...WHOLE.slice(0, 4), message('C')] }],
    ['a request for authentication', { messages: [message('R', int32(0))] }],
    ['a key', { messages: [message('K', int32(1), int32(2))] }],
    ['a description of parameters', { messages: [message('t', int16(0))] }],
    ['a message of an unknown type', { messages: [message('y')] }],
    ['data of a COPY', { messages: [parseComplete, bindComplete, SHAPE, message('d', 'x')] }],
    [
      'a COPY in both directions',
      { messages: [parseComplete, bindComplete, noData, message('W', 0, int16(0))] },
    ],
    ['an answer behind a failure', { messages: [failure, bindComplete] }],
    [
      'an answer behind a failure, where each has its Sync',
      { sync: 'separate', messages: [failure, bindComplete] },
    ],
    [
      'COMMIT with another tag',
      { statements: ['COMMIT'], messages: [parseComplete, bindComplete, noData, commandComplete('COMMIU')] },
    ],
    [
      'a transaction that ends by itself',
      { statements: ['select 7 as x'], messages: [...WHOLE, readyForQuery('I')] },
    ],
    [
      'a transaction that fails by itself',
      { statements: ['select 7 as x'], messages: [...WHOLE, readyForQuery('E')] },
    ],
    ['a transaction that survives a failure', { messages: [failure, readyForQuery('T')] }],
  ])('%s', (_, given) => {
    const harness = answered(given)
    expect(harness.broken).toBeInstanceOf(ProtocolError)
    const count = given.statements?.length ?? 2
    // The harness throws if one settles twice.
    expect(harness.outcomes.filter((outcome) => outcome !== undefined)).toHaveLength(count)
    for (const outcome of harness.outcomes) {
      if (outcome instanceof Error) continue
      expect(outcome?.rows).not.toContainEqual({ x: 666 })
    }
    expect(harness.ended).toBe(1)
  })
})

describe('what the protocol allows is taken', () => {
  const NOTICE = message('N', 'SNOTICE', 'C00000', 'Mhello', 0)
  const PARAMETER = message('S', 'TimeZone', 'UTC')
  const NOTIFICATION = message('A', int32(1), 'channel', 'payload')

  test('notices, parameters and notifications between any two messages', () => {
    const harness = new Harness().begin()
    harness.run(['select 7 as x', 'select 8 as x'])
    for (const part of [...WHOLE, ...WHOLE, readyForQuery('T')]) {
      harness.answer(NOTICE, part, PARAMETER, NOTIFICATION)
    }
    expect(harness.broken).toBeUndefined()
    expect(harness.outcomes).toMatchObject([{ rows: [{ x: 7 }] }, { rows: [{ x: 7 }] }])
  })

  test('a second failure among skipped messages is ignored', () => {
    const harness = new Harness().begin()
    harness.run(['select 1', 'select 2'])
    harness.answer(failure, errorResponse('57014', 'canceling statement'), readyForQuery('E'))
    expect(harness.broken).toBeUndefined()
    expect(harness.outcomes).toMatchObject([{ code: '22012' }, {}])
    expect(harness.outcomes[1]).toBeInstanceOf(StatementSkipped)
  })

  test('a second failure of a statement that stands alone does not settle it again', () => {
    const harness = new Harness()
    harness.run(['select 1'], 'separate')
    harness.answer(failure, errorResponse('57014', 'canceling statement'), readyForQuery())
    expect(harness.broken).toBeUndefined()
    expect(harness.outcomes).toMatchObject([{ code: '22012' }])
  })

  test('a COMMIT that is refused has ended its transaction', () => {
    const harness = new Harness().begin()
    harness.run(['COMMIT'])
    harness.answer(
      parseComplete,
      bindComplete,
      noData,
      errorResponse('23505', 'duplicate'),
      readyForQuery('I'),
    )
    expect(harness.broken).toBeUndefined()
    expect(harness.outcomes).toMatchObject([{ code: '23505' }])
  })

  test.each([
    ['INSERT 0 1', 'insert into t values (7) returning x'],
    ['EXPLAIN', 'explain select 1'],
    ['FETCH 1', 'fetch 1 from c'],
    ['CALL', 'call p()'],
  ])('rows under the tag %j', (tag, text) => {
    const harness = new Harness().begin()
    harness.run([text])
    harness.answer(parseComplete, bindComplete, SHAPE, ROW, commandComplete(tag), readyForQuery('T'))
    expect(harness.broken).toBeUndefined()
    expect(harness.outcomes).toMatchObject([{ rows: [{ x: 7 }] }])
  })

  test('the last page of what a statement returns, whose tag counts all pages', () => {
    const harness = new Harness().begin()
    harness.run([{ text: 'insert into t select 1 returning x', portal: 'p', maxRows: 1 }])
    harness.answer(parseComplete, bindComplete, SHAPE, ROW, portalSuspended, readyForQuery('T'))
    harness.run([{ text: '', portal: 'p', maxRows: 1 }])
    harness.answer(commandComplete('INSERT 0 1'), readyForQuery('T'))
    expect(harness.broken).toBeUndefined()
  })
})

describe('a refusal', () => {
  test.each(['shared', 'separate'] as const)('is told when ReadyForQuery confirms it (%s)', (sync) => {
    const harness = new Harness()
    harness.run(['select 1'], sync)
    harness.answer(failure)
    expect(harness.outcomes).toEqual([])
    harness.answer(readyForQuery())
    expect(harness.outcomes).toMatchObject([{ code: '22012' }])
  })

  test.each(['shared', 'separate'] as const)('that something else follows is none (%s)', (sync) => {
    const harness = new Harness()
    harness.run(['select 7 as x'], sync)
    harness.answer(failure, ...WHOLE, readyForQuery())
    expect(harness.outcomes).toEqual([harness.broken])
    expect(harness.broken).toBeInstanceOf(ProtocolError)
  })

  test.each(['shared', 'separate'] as const)(
    'with which the server ends the session is told at once (%s)',
    (sync) => {
      const harness = new Harness()
      const run = harness.run(['select 1', 'select 2'], sync)
      harness.answer(errorResponse('57P01', 'terminating connection', 'FATAL'))
      expect(harness.outcomes).toMatchObject([{ code: '57P01' }])
      run.fail(new Error('gone'))
      expect(harness.outcomes).toMatchObject([{ code: '57P01' }, { message: 'gone' }])
    },
  )
})

test('rows of one portal keep their shape, whatever else the same text returns meanwhile', () => {
  const harness = new Harness().begin()
  harness.run([{ ...PAGE, maxRows: 1 }])
  harness.answer(parseComplete, bindComplete, SHAPE, ROW, portalSuspended, readyForQuery('T'))
  harness.run([{ text: 'select x', portal: 'q', maxRows: 1 }])
  harness.answer(
    bindComplete,
    rowDescription(['y', 'z']),
    dataRow(['a', 'b']),
    portalSuspended,
    readyForQuery('T'),
  )
  harness.run([{ text: '', portal: 'p', maxRows: 1 }])
  harness.answer(ROW, portalSuspended, readyForQuery('T'))
  expect(harness.broken).toBeUndefined()
  expect(harness.outcomes).toMatchObject([{ rows: [{ x: 7 }] }])
})

test('a value that is longer than any string fails its statement by name', () => {
  // Most of it is never read: its pages are not even there.
  const length = constants.MAX_STRING_LENGTH + 1
  const row = Buffer.alloc(5 + 2 + 4 + length)
  row[0] = 0x44
  row.writeInt32BE(row.length - 1, 1)
  row.writeUInt16BE(1, 5)
  row.writeInt32BE(length, 7)
  const description = rowDescription(['x'])
  const shape = new RowShape(description, 5, description.length)
  let failure: unknown
  const statement: BatchStatement = {
    text: '',
    onResult: () => undefined,
    onError: (error) => (failure = error),
  }
  const step = new BatchStep({ statement, stage: 'rows', portal: { shape } }, pg.types)
  expect(step.receiveRows(row, 0)).toBe(row.length)
  step.receive(0x43, DONE, 5, DONE.length)
  step.settle()
  expect(failure).toBeInstanceOf(RowsUnreadable)
  expect((failure as RowsUnreadable).cause).toBeInstanceOf(InvalidValueError)
})
