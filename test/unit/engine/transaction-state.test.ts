import { expect, test } from 'vitest'
import { TransactionState, type TransactionStateName } from '../../../src/pipeline/transaction-state.js'
import { IllegalStateError } from '../../../src/errors.js'

/** A state that was led there. */
function at(name: TransactionStateName): TransactionState {
  const state = new TransactionState()
  const ways: Readonly<Record<TransactionStateName, readonly TransactionStateName[]>> = {
    idle: [],
    active: ['active'],
    failed: ['active', 'failed'],
    lost: ['active', 'lost'],
  }
  for (const step of ways[name]) state.move(step)
  return state
}

const ARROWS: Readonly<Record<TransactionStateName, readonly TransactionStateName[]>> = {
  idle: ['active', 'failed'],
  active: ['idle', 'failed', 'lost'],
  failed: ['idle', 'active', 'lost'],
  lost: ['idle'],
}
const NAMES = Object.keys(ARROWS) as TransactionStateName[]

test.each(NAMES.flatMap((from) => NAMES.map((to) => [from, to] as const)))('from %s to %s', (from, to) => {
  const state = at(from)
  if (ARROWS[from].includes(to)) {
    state.move(to)
    expect(state.name).toBe(to)
  } else {
    expect(() => state.move(to)).toThrow(IllegalStateError)
    expect(state.name).toBe(from)
  }
})

test('a transaction is open until it has ended, whatever became of it', () => {
  expect(NAMES.filter((name) => at(name).inTransaction)).toEqual(['active', 'failed', 'lost'])
})

test('the first failure is the cause, also when the connection is lost later, and is forgotten at the end', () => {
  const state = at('active')
  const [first, second] = [new Error('first'), new Error('second')]
  state.fail(first)
  state.fail(second)
  expect(state.cause).toBe(first)
  state.lose(second)
  expect([state.name, state.cause]).toEqual(['lost', first])
  state.move('idle')
  expect(state.cause).toBeUndefined()
})

test('what is idle cannot be lost', () => {
  const state = at('idle')
  state.lose(new Error('x'))
  expect(state.name).toBe('idle')
})
