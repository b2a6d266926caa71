import { describe, expect, test, vi } from 'vitest'
import { effectOf } from '../../../src/driver/schema-effects.js'
import { SchemaView } from '../../../src/driver/schema-view.js'
import { type PreparedStatement, StatementCache } from '../../../src/driver/statement-cache.js'
import type { StatementPolicyOptions } from '../../../src/driver/statement-policy.js'
import { statementPolicy } from './statement-policy-support.js'

function cacheOf(options: Partial<StatementPolicyOptions> = {}): StatementCache {
  const policy = statementPolicy(options)
  return new StatementCache(policy, new SchemaView(policy.generation, new Map()))
}

/** Takes a statement as a batch does whose ParseComplete has come. */
function prepare(cache: StatementCache, text: string): PreparedStatement {
  const statement = cache.take(text, true)
  if (!statement.parsed) cache.confirm(statement)
  return statement
}

test('one text is one statement, with a name of its own', () => {
  const cache = cacheOf({ size: 10 })
  const first = prepare(cache, 'select 1')
  expect(cache.take('select 1', true)).toBe(first)
  const second = prepare(cache, 'select 2')
  expect(new Set([first.name, second.name, '']).size).toBe(3)
})

test('a statement counts as prepared when ParseComplete has come, and not before', () => {
  const cache = cacheOf({ size: 10 })
  const statement = cache.take('select 1', true)
  expect(statement.parsed).toBe(false)
  cache.confirm(statement)
  expect(statement.parsed).toBe(true)
})

test.each([
  ['a capacity of 0', 0, true],
  ['prepare: false', 10, false],
])('%s: no names, nothing kept, nothing to close', (_what, capacity, wanted) => {
  const cache = cacheOf({ size: capacity })
  const first = cache.take('select 1', wanted)
  expect(first.name).toBe('')
  cache.confirm(first)
  expect(cache.take('select 1', wanted)).not.toBe(first)
  expect(cache.takeClosable()).toEqual([])
})

describe('a full cache', () => {
  test('drops what was used least recently, and tells the server once', () => {
    const cache = cacheOf({ size: 2 })
    const one = prepare(cache, 'one')
    const two = prepare(cache, 'two')
    prepare(cache, 'one')
    prepare(cache, 'three')
    expect(cache.takeClosable()).toEqual([two.name])
    expect(cache.takeClosable()).toEqual([])
    expect(cache.take('one', true)).toBe(one)
  })

  test('never gives a used name to another statement', () => {
    const cache = cacheOf({ size: 1 })
    const names = Array.from({ length: 50 }, (_, index) => prepare(cache, `select ${index % 3}`).name)
    expect(new Set(names).size).toBe(names.length)
  })

  test('closes a statement that was pushed out before its ParseComplete came', () => {
    const cache = cacheOf({ size: 1 })
    const early = cache.take('early', true)
    cache.take('late', true)
    expect(cache.takeClosable()).toEqual([])
    cache.confirm(early)
    expect(cache.takeClosable()).toEqual([early.name])
  })
})

describe('a forgotten statement', () => {
  test('is prepared anew under another name, and closed if the server knows it', () => {
    const cache = cacheOf({ size: 10 })
    const stale = prepare(cache, 'select 1')
    cache.forget(stale)
    expect(cache.takeClosable()).toEqual([stale.name])
    expect(cache.take('select 1', true).name).not.toBe(stale.name)
  })

  test('that the server never parsed is not closed', () => {
    const cache = cacheOf({ size: 10 })
    cache.forget(cache.take('not sql', true))
    expect(cache.takeClosable()).toEqual([])
  })

  test('is not the one that has taken its place meanwhile', () => {
    const cache = cacheOf({ size: 10 })
    const old = prepare(cache, 'select 1')
    cache.forget(old)
    const current = prepare(cache, 'select 1')
    cache.takeClosable()
    cache.forget(old)
    expect(cache.takeClosable()).toEqual([])
    expect(cache.take('select 1', true)).toBe(current)
  })
})

describe('a statement is prepared anew', () => {
  /** A cache, and what it depends on. */
  function parts(options: Partial<StatementPolicyOptions> = {}) {
    const time = { now: 0 }
    const clock = { now: () => time.now, setTimer: () => ({ cancel: () => undefined }) }
    const policy = statementPolicy({ clock, ...options })
    const view = new SchemaView(policy.generation, new Map())
    return { time, policy, view, cache: new StatementCache(policy, view) }
  }
  const TEXT = 'insert into t values ($1)'

  test('when the schema has changed, while what has no names in it stays', () => {
    const { cache, policy } = parts()
    const [statement, begin] = [prepare(cache, TEXT), prepare(cache, 'BEGIN')]
    policy.generation.current++
    const anew = prepare(cache, TEXT)
    expect(anew.name).not.toBe(statement.name)
    expect(cache.takeClosable()).toEqual([statement.name])
    expect(cache.take(TEXT, true)).toBe(anew)
    expect(cache.take('BEGIN', true)).toBe(begin)
  })

  test('when names mean something else on its connection', () => {
    const { cache, view } = parts()
    const statement = prepare(cache, TEXT)
    view.written(effectOf('set search_path to a'), [], 'autocommit')
    expect(prepare(cache, TEXT)).not.toBe(statement)
  })

  test('when it is not parsed yet and DDL stands between its two uses in one batch', () => {
    const { cache, view } = parts()
    const first = cache.take(TEXT, true)
    view.written(effectOf('alter table t add b int'), [], 'transaction')
    const second = cache.take(TEXT, true)
    expect(second).not.toBe(first)
    cache.confirm(first)
    cache.confirm(second)
    expect(cache.takeClosable()).toEqual([first.name])
  })

  test('when it is as old as it may be', () => {
    const { cache, time } = parts({ maxAgeMillis: 1_000 })
    const statement = prepare(cache, TEXT)
    time.now = 999
    expect(cache.take(TEXT, true)).toBe(statement)
    time.now = 1_000
    expect(prepare(cache, TEXT)).not.toBe(statement)
  })

  test('never for its age, if there is no limit', () => {
    const { cache, time } = parts({ maxAgeMillis: -1 })
    const statement = prepare(cache, TEXT)
    time.now = Number.MAX_SAFE_INTEGER
    expect(cache.take(TEXT, true)).toBe(statement)
  })
})

describe('a statement that has run', () => {
  test.each([
    ['fast stays', 0, [1, 19], false],
    ['20 ms longer than a round trip is prepared anew, for a plan of its values', 1, [30], true],
    ['slowly because the network is slow stays', 150, [160, 155, 169], false],
    ['20 ms longer than the fastest answer is prepared anew', 150, [5, 40], true],
  ])('%s', (_what, roundTripMillis, times, anew) => {
    const policy = statementPolicy()
    const cache = new StatementCache(policy, new SchemaView(policy.generation, new Map()), roundTripMillis)
    const statement = prepare(cache, 'select $1::int')
    // The first five runs are planned for their values: that of the Parse, and four more.
    for (let run = 0; run < 4; run++) cache.ran(statement, roundTripMillis)
    for (const time of times) cache.ran(statement, time)
    expect(cache.takeClosable()).toEqual(anew ? [statement.name] : [])
    expect(cache.take('select $1::int', true) === statement).toBe(!anew)
  })

  test('slowly while PostgreSQL still plans each run for its values stays', () => {
    const cache = cacheOf({})
    const statement = prepare(cache, 'select $1::int')
    for (let run = 0; run < 4; run++) cache.ran(statement, 1_000)
    expect(cache.take('select $1::int', true)).toBe(statement)
    cache.ran(statement, 1_000)
    expect(cache.takeClosable()).toEqual([statement.name])
  })
})

describe('what is named', () => {
  test('a text from its second use on, whichever connection it was used on', () => {
    const policy = statementPolicy({ namedFromUse: undefined })
    const caches = [1, 2].map(() => new StatementCache(policy, new SchemaView(policy.generation, new Map())))
    const names = [0, 1, 0].map((index) => (caches[index] as StatementCache).take('select 1', true).name)
    expect(names.map((name) => name !== '')).toEqual([false, true, true])
  })

  test('texts that are used once are forgotten in time', () => {
    const policy = statementPolicy({ namedFromUse: undefined })
    policy.admits('select 1')
    for (let index = 0; index < 2_000; index++) policy.admits(`select ${index} as other`)
    expect(policy.admits('select 1')).toBe(false)
    expect(policy.admits('select 1')).toBe(true)
  })

  test('no text that is longer than a 64th of the bound', () => {
    const cache = cacheOf({ maxBytes: 640 })
    expect(cache.take('x'.repeat(10), true).name).not.toBe('')
    expect(cache.take('x'.repeat(11), true).name).toBe('')
  })

  test('no more text than the bound, least recently used first out', () => {
    const cache = cacheOf({ maxBytes: 640 })
    const texts = Array.from({ length: 65 }, (_, index) => String(index).padStart(10))
    const names = texts.map((text) => prepare(cache, text).name)
    expect(cache.takeClosable()).toEqual([names[0]])
    cache.clear()
    for (const text of texts.slice(0, 64)) prepare(cache, text)
    expect(cache.takeClosable()).toEqual([])
  })
})

describe('a pooler that keeps no prepared statements', () => {
  function emitted(work: () => void): unknown[] {
    const emit = vi.spyOn(process, 'emitWarning').mockReturnValue()
    try {
      work()
      return emit.mock.calls.map(([, options]) => options)
    } finally {
      emit.mockRestore()
    }
  }
  const refusal = (code: string): Error => Object.assign(new Error('refused'), { code })
  const WARNING = { type: 'LifeguardWarning', code: 'LIFEGUARD_POOLER' }

  test.each([
    ['a name that is taken', ['42P05'], false],
    ['a name that is missing once', ['26000'], true],
    ['a name that is missing twice', ['26000', '26000'], false],
  ])('%s', (_what, codes, names) => {
    const policy = statementPolicy()
    const warnings = emitted(() => {
      for (const code of codes) policy.missing(refusal(code))
    })
    expect(policy.names).toBe(names)
    expect(warnings).toEqual(names ? [] : [WARNING])
  })

  test('is warned of once', () => {
    const policy = statementPolicy()
    const warnings = emitted(() => {
      for (let time = 0; time < 3; time++) policy.missing(refusal('42P05'))
    })
    expect(warnings).toEqual([WARNING])
  })

  test.each([
    ['of a backend', 4_194_304, false, true],
    ['that no backend has', 1_804_289_383, false, false],
    ['below zero', -5, false, false],
    ['that no backend has, where the caller has chosen', 1_804_289_383, true, true],
  ])('process id %s', (_what, processId, isChosen, names) => {
    const policy = statementPolicy({ isChosen })
    policy.connected(processId)
    expect(policy.names).toBe(names)
  })
})
