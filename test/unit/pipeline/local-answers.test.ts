/** What the state of the transaction answers by itself, as one table: state x kind x abandoned. */
import { describe, expect, test } from 'vitest'
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  EngineDisposedError,
  TransactionAbortedError,
} from '../../../src/errors.js'
import { batchOf } from '../../../src/pipeline/in-flight-batch.js'
import {
  answerLocally,
  passOver,
  refuseQueued,
  type TransactionAnswers,
} from '../../../src/pipeline/local-answers.js'
import { NOTHING, type Operation } from '../../../src/pipeline/operation.js'
import { OperationQueue } from '../../../src/pipeline/operation-queue.js'
import { EndedBehindError } from '../../../src/pipeline/script.js'
import { TransactionState, type TransactionStateName } from '../../../src/pipeline/transaction-state.js'
import { operationOf, operationsOf } from './operations.js'

const CAUSE = new Error('the first failure')
const ABANDONED = new Error('aborted')

function stateAt(name: TransactionStateName, cause: unknown = CAUSE): TransactionState {
  const state = new TransactionState()
  if (name !== 'idle') state.move('active')
  if (name === 'failed') state.fail(cause)
  if (name === 'lost') state.lose(cause)
  return state
}

interface Given {
  readonly state: TransactionState
  readonly abandoned?: Error | undefined
  readonly autocommit?: boolean | undefined
  readonly endedOnServer?: boolean | undefined
  readonly refusedBegin?: TransactionAnswers['refusedBegin']
}

function ask(word: string, given: Given): Operation {
  const { state, abandoned, autocommit = false, endedOnServer = false, refusedBegin } = given
  const operation = operationOf(word)
  const isAnswered = answerLocally(
    operation,
    { state, mutableState: state, autocommit, endedOnServer, refusedBegin },
    abandoned,
  )
  expect(isAnswered).toBe(operation.settled)
  return operation
}

function failureOf(operation: Operation): unknown {
  try {
    return operation.result === NOTHING ? 'nothing' : operation.result
  } catch (error) {
    return error
  }
}

/** `send`: no answer; `nothing`: a success without a statement. */
type Answer = 'send' | 'nothing' | 'abort' | 'lost' | 'not run'

function answerOf(operation: Operation): Answer {
  if (!operation.settled) return 'send'
  const end = failureOf(operation)
  if (end === 'nothing') return end
  if (end === ABANDONED) return 'abort'
  if (end instanceof ConnectionLostError) return 'lost'
  expect(end).toBeInstanceOf(TransactionAbortedError)
  return 'not run'
}

const WORDS = ['write', 'savepoint', 'copy', 'commit', 'rollback', 'undo'] as const

// prettier-ignore
const TABLE: readonly (readonly [state: TransactionStateName, abandoned: boolean, answers: readonly Answer[]])[] = [
  //                 write      savepoint  copy       commit     rollback   undo
  ['idle',   false, ['send',    'send',    'send',    'nothing', 'nothing', 'send']],
  ['active', false, ['send',    'send',    'send',    'send',    'send',    'send']],
  ['failed', false, ['not run', 'not run', 'not run', 'not run', 'send',    'send']],
  ['lost',   false, ['lost',    'lost',    'lost',    'lost',    'nothing', 'lost']],
  ['idle',   true,  ['abort',   'abort',   'abort',   'abort',   'nothing', 'abort']],
  ['active', true,  ['abort',   'abort',   'abort',   'abort',   'send',    'abort']],
  ['failed', true,  ['abort',   'abort',   'abort',   'abort',   'send',    'abort']],
  ['lost',   true,  ['abort',   'abort',   'abort',   'abort',   'nothing', 'abort']],
]

test.each(TABLE)('%s, abandoned %s: %j', (name, isAbandoned, answers) => {
  const abandoned = isAbandoned ? ABANDONED : undefined
  const found = WORDS.map((word) => answerOf(ask(word, { state: stateAt(name), abandoned })))
  expect(found).toEqual(answers)
})

test.each(TABLE)('%s, abandoned %s, autocommit: the same answers', (name, isAbandoned, answers) => {
  const abandoned = isAbandoned ? ABANDONED : undefined
  const found = WORDS.map((word) =>
    answerOf(ask(word, { state: stateAt(name), abandoned, autocommit: true })),
  )
  expect(found).toEqual(answers)
})

describe('the exceptions', () => {
  test('a rollback of what is over on the server already is nothing', () => {
    expect(answerOf(ask('rollback', { state: stateAt('failed'), endedOnServer: true }))).toBe('nothing')
    expect(answerOf(ask('undo', { state: stateAt('failed'), endedOnServer: true }))).toBe('not run')
    expect(answerOf(ask('commit', { state: stateAt('failed'), endedOnServer: true }))).toBe('not run')
  })

  test('an abandoned COMMIT of nothing succeeds only where something was stored before', () => {
    const state = stateAt('idle')
    state.hasStored = true
    expect(answerOf(ask('commit', { state, abandoned: ABANDONED }))).toBe('nothing')
  })

  test.each<[word: string, autocommit: boolean, after: TransactionStateName]>([
    ['write', false, 'failed'],
    ['savepoint', false, 'failed'],
    ['copy', false, 'failed'],
    ['commit', false, 'active'],
    ['rollback', false, 'active'],
    ['undo', false, 'failed'],
    ['write', true, 'active'],
  ])('an abandoned %s (autocommit: %s) leaves the transaction %s', (word, autocommit, after) => {
    const state = stateAt('active')
    ask(word, { state, autocommit, abandoned: ABANDONED })
    expect([state.name, state.cause]).toEqual([after, after === 'failed' ? ABANDONED : undefined])
  })

  test('the error says how it failed: the cause, the outcome of COMMIT, dispose', () => {
    expect(failureOf(ask('write', { state: stateAt('failed') }))).toMatchObject({ cause: CAUSE })
    expect(failureOf(ask('write', { state: stateAt('lost') }))).toMatchObject({ cause: CAUSE })
    const unknown = new CommitOutcomeUnknownError('unknown', { cause: CAUSE })
    const end = failureOf(ask('write', { state: stateAt('lost', unknown) }))
    expect(end).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(end).not.toBe(unknown)
    expect(end).toMatchObject({ message: 'unknown', cause: CAUSE })
    const disposed = new EngineDisposedError('disposed')
    expect(failureOf(ask('write', { state: stateAt('lost', disposed) }))).toBeInstanceOf(EngineDisposedError)
  })

  test('a refused BEGIN rejects the first operation after it, and no other', () => {
    const refusedBegin = { error: CAUSE, text: 'BEGIN', told: false }
    const given = { state: stateAt('failed'), refusedBegin }
    expect(failureOf(ask('write', given))).toBe(CAUSE)
    expect(failureOf(ask('write', given))).toBeInstanceOf(TransactionAbortedError)
    // It has begun since, and has failed for another reason.
    const other = { error: new Error('other'), text: 'BEGIN', told: false }
    expect(failureOf(ask('write', { ...given, refusedBegin: other }))).toBeInstanceOf(TransactionAbortedError)
  })

  test('operations after the end of a script fail with an error of their own', () => {
    const ended = new EndedBehindError('ended', true, CAUSE)
    const end = failureOf(ask('write', { state: stateAt('failed', ended) }))
    expect(end).toBeInstanceOf(EndedBehindError)
    expect(end).not.toBe(ended)
    expect(end).toMatchObject({ message: 'ended', isStored: true, cause: CAUSE })
  })
})

describe('what the server has passed over', () => {
  test('fails, but what undoes and whatever follows it is sent next', () => {
    const operations = operationsOf('write savepoint undo write savepoint commit')
    const inFlight = batchOf(operations, false)
    for (const operation of operations) passOver(operation, inFlight, CAUSE, undefined)
    expect(inFlight.undoing).toEqual(operations.slice(2))
    expect(operations.map(({ settled }) => settled)).toEqual([true, true, false, false, false, false])
    expect(failureOf(operations[0] as Operation)).toBeInstanceOf(TransactionAbortedError)
    // Steps are told the cause itself.
    expect(failureOf(operations[1] as Operation)).toBe(CAUSE)
  })

  test('fails with the reason of the abort, also after a rollback', () => {
    const operations = operationsOf('undo write')
    const inFlight = batchOf(operations, false)
    operations[1]?.callOff(ABANDONED)
    for (const operation of operations) passOver(operation, inFlight, CAUSE, undefined)
    expect(inFlight.undoing).toEqual([operations[0]])
    expect(failureOf(operations[1] as Operation)).toBe(ABANDONED)
  })
})

test('what is queued is refused, except what undoes or is spared, which keeps its order', () => {
  for (const [isSpared, kept] of [
    [undefined, [1, 3]],
    [({ kind }: Operation) => kind === 'commit', [4]],
  ] as const) {
    const operations = operationsOf('write undo read rollback commit')
    const queue = new OperationQueue()
    for (const operation of operations) queue.push(operation)
    refuseQueued(queue, CAUSE, isSpared)
    expect([...queue]).toEqual(kept.map((index) => operations[index]))
    expect(operations.filter(({ settled }) => settled)).toHaveLength(5 - kept.length)
    for (const operation of operations) if (operation.settled) expect(failureOf(operation)).toBe(CAUSE)
  }
})
