/** The checker of consistency runs finds what it is there to find, in histories that are made up. */
import { expect, test } from 'vitest'
import { History, violationsOf, type Operation, type Stored, type Told } from './consistency-history.js'

const NOTHING: Stored = { effects: new Map(), lists: new Map(), money: [], notified: [] }

/** An operation that began and ended at once. */
function operation(history: History, number: number, told: Told, effects: readonly string[] = []): Operation {
  const made = history.begin(number, 'made up')
  made.effects = effects
  made.end(told, 'made up')
  return made
}

function found(history: History, stored: Partial<Stored>): string[] {
  return violationsOf(history, { ...NOTHING, ...stored }).map(
    ({ what, operation }) => `${String(operation?.number ?? '-')}: ${what}`,
  )
}

const stored = (...effects: readonly string[]): Partial<Stored> => ({ effects: new Map([[1, effects]]) })

test.each<[Told, readonly string[]]>([
  ['committed', ['a', 'b']],
  ['failed', []],
  ['unknown', []],
  ['unknown', ['b', 'a']],
])('told %s and stored %j is consistent', (told, effects) => {
  const history = new History()
  operation(history, 1, told, ['a', 'b'])
  expect(found(history, stored(...effects))).toEqual([])
})

test.each<[Told, readonly string[], string]>([
  ['committed', [], '1: told committed, 0 of 2 effects are stored'],
  ['failed', ['a', 'b'], '1: told failed, 2 of 2 effects are stored'],
  ['unknown', ['a'], '1: not whole: 1 of 2 effects are stored'],
  ['committed', ['a', 'b', 'b'], '1: stored more than once: b'],
  ['committed', ['a', 'b', 'undone'], '1: undone is stored, and was undone or never written'],
])('told %s and stored %j is not', (told, effects, complaint) => {
  const history = new History()
  operation(history, 1, told, ['a', 'b'])
  expect(found(history, stored(...effects))).toContain(complaint)
})

test('what no operation has written is found, so are balances that do not add up and complaints of an operation', () => {
  const history = new History()
  operation(history, 1, 'failed').complaints.push('saw too much')
  expect(found(history, { effects: new Map([[2, ['a']]]), money: ['too little'] })).toEqual([
    '-: too little',
    '1: saw too much',
    '-: token 2 is stored, and no operation has it',
  ])
})

test('an operation that never ended is found', () => {
  const history = new History()
  history.begin(1, 'made up')
  expect(found(history, {})).toEqual(['1: it never ended'])
})

test.each<[Told, number, boolean]>([
  ['committed', 1, true],
  ['committed', 0, false],
  ['committed', 2, false],
  ['failed', 0, true],
  ['failed', 1, false],
  ['unknown', 1, false],
])('told %s and afterCommit ran %i times: consistent is %s', (told, runs, consistent) => {
  const history = new History()
  const made = operation(history, 1, told)
  made.hooked = true
  made.hookRuns = runs
  expect(found(history, {})).toHaveLength(consistent ? 0 : 1)
})

test('a list keeps the order in which appends were told, as far as one was told before the other began', () => {
  const history = new History()
  operation(history, 1, 'committed', ['item'])
  operation(history, 2, 'committed', ['item'])
  const effects = new Map([1, 2].map((token) => [token, ['item']]))
  expect(found(history, { effects, lists: new Map([[7, [1, 2]]]) })).toEqual([])
  expect(found(history, { effects, lists: new Map([[7, [2, 1]]]) })).toEqual([
    '2: list 7 has it before an append that was told earlier',
  ])
})

test('appends that overlap, or whose outcome was never known, may come in any order', () => {
  const history = new History()
  const late = history.begin(1, 'made up')
  operation(history, 2, 'committed', ['item'])
  late.effects = ['item']
  late.end('committed', 'made up')
  operation(history, 3, 'unknown', ['item'])
  operation(history, 4, 'committed', ['item'])
  const effects = new Map([1, 2, 3, 4].map((token) => [token, ['item']]))
  expect(found(history, { effects, lists: new Map([[7, [2, 1, 4, 3]]]) })).toEqual([])
})

test('what was read of a list is a prefix of what it became', () => {
  const history = new History()
  const reader = operation(history, 1, 'committed')
  reader.observations = [{ list: 7, items: [2, 3] }]
  for (const token of [2, 3, 4]) operation(history, token, 'committed', ['item'])
  const effects = new Map([2, 3, 4].map((token) => [token, ['item']]))
  expect(found(history, { effects, lists: new Map([[7, [2, 3, 4]]]) })).toEqual([])
  expect(found(history, { effects, lists: new Map([[7, [2, 4]]]) })).toContain(
    '1: it read 2,3 from list 7, no prefix of 2,4',
  )
})

test('a read sees all that was confirmed before it; what a rolled-back operation saw does not count', () => {
  const history = new History()
  operation(history, 1, 'committed', ['item'])
  operation(history, 2, 'committed').observations = [{ list: 7, items: [] }]
  operation(history, 3, 'failed').observations = [{ list: 7, items: [99] }]
  expect(found(history, { ...stored('item'), lists: new Map([[7, [1]]]) })).toEqual([
    '2: it read list 7 without an append that was told before it began',
  ])
})

test('a notification comes if and only if its transaction was committed, and once', () => {
  const history = new History()
  const notifying = (number: number, told: Told, epoch: number): void => {
    operation(history, number, told).notifiesIn = epoch
  }
  notifying(1, 'committed', 0)
  notifying(2, 'failed', 0)
  notifying(3, 'unknown', 0)
  notifying(4, 'committed', 0)
  expect(found(history, { notified: [[1, 4]] })).toEqual([])
  expect(found(history, { notified: [[1, 3, 4]] })).toEqual([])
  expect(found(history, { notified: [[1, 2, 4, 4]] })).toEqual([
    '2: told failed, and notified',
    '4: notified 2 times',
  ])
  expect(found(history, { notified: [[4]] })).toEqual(['1: told committed, and never notified'])
  // The connection was lost: nothing after that proves that it was delivered.
  expect(found(history, { notified: [[], [4]] })).toEqual([])
})

test('nothing is told committed while the standby is gone', () => {
  const history = new History()
  operation(history, 1, 'committed', ['a'])
  history.unconfirmed.push({ from: history.tick(), to: Infinity })
  operation(history, 2, 'committed', ['a'])
  operation(history, 3, 'unknown', ['a'])
  operation(history, 4, 'committed')
  history.confirm()
  operation(history, 5, 'committed', ['a'])
  const effects = new Map([1, 2, 3, 5].map((token) => [token, ['a']]))
  expect(found(history, { effects })).toEqual([
    '2: told committed while the standby was gone: a failover loses it',
  ])
})

test('the story of an operation has what it did, and the faults of its time with the last one before', () => {
  const history = new History()
  history.fault('long ago')
  history.fault('before')
  const made = history.begin(1, 'made up')
  made.log('a step')
  history.fault('between')
  made.end('failed', 'an error')
  history.fault('afterwards')
  expect(history.story(made).split('\n    ')).toEqual([
    'operation 1, made up, begun at 3',
    '2 FAULT before',
    '4 a step',
    '5 FAULT between',
    '6 told failed: an error',
  ])
})
