import { describe, expect, test } from 'vitest'
import { type PreparedStatement, StatementCache } from '../../../src/driver/statement-cache.js'

/** Takes a statement as a batch does whose ParseComplete has come. */
function prepare(cache: StatementCache, text: string): PreparedStatement {
  const statement = cache.take(text, true)
  if (!statement.parsed) cache.confirm(statement)
  return statement
}

test('one text is one statement, with a name of its own', () => {
  const cache = new StatementCache(10)
  const first = prepare(cache, 'select 1')
  expect(cache.take('select 1', true)).toBe(first)
  const second = prepare(cache, 'select 2')
  expect(new Set([first.name, second.name, '']).size).toBe(3)
})

test('a statement counts as prepared when ParseComplete has come, and not before', () => {
  const cache = new StatementCache(10)
  const statement = cache.take('select 1', true)
  expect(statement.parsed).toBe(false)
  cache.confirm(statement)
  expect(statement.parsed).toBe(true)
})

test.each([
  ['a capacity of 0', 0, true],
  ['prepare: false', 10, false],
])('%s: no names, nothing kept, nothing to close', (_what, capacity, wanted) => {
  const cache = new StatementCache(capacity)
  const first = cache.take('select 1', wanted)
  expect(first.name).toBe('')
  cache.confirm(first)
  expect(cache.take('select 1', wanted)).not.toBe(first)
  expect(cache.takeClosable()).toEqual([])
})

describe('a full cache', () => {
  test('drops what was used least recently, and tells the server once', () => {
    const cache = new StatementCache(2)
    const one = prepare(cache, 'one')
    const two = prepare(cache, 'two')
    prepare(cache, 'one')
    prepare(cache, 'three')
    expect(cache.takeClosable()).toEqual([two.name])
    expect(cache.takeClosable()).toEqual([])
    expect(cache.take('one', true)).toBe(one)
  })

  test('never gives a used name to another statement', () => {
    const cache = new StatementCache(1)
    const names = Array.from({ length: 50 }, (_, index) => prepare(cache, `select ${index % 3}`).name)
    expect(new Set(names).size).toBe(names.length)
  })

  test('closes a statement that was pushed out before its ParseComplete came', () => {
    const cache = new StatementCache(1)
    const early = cache.take('early', true)
    cache.take('late', true)
    expect(cache.takeClosable()).toEqual([])
    cache.confirm(early)
    expect(cache.takeClosable()).toEqual([early.name])
  })
})

describe('a forgotten statement', () => {
  test('is prepared anew under another name, and closed if the server knows it', () => {
    const cache = new StatementCache(10)
    const stale = prepare(cache, 'select 1')
    cache.forget(stale)
    expect(cache.takeClosable()).toEqual([stale.name])
    expect(cache.take('select 1', true).name).not.toBe(stale.name)
  })

  test('that the server never parsed is not closed', () => {
    const cache = new StatementCache(10)
    cache.forget(cache.take('not sql', true))
    expect(cache.takeClosable()).toEqual([])
  })

  test('is not the one that has taken its place meanwhile', () => {
    const cache = new StatementCache(10)
    const old = prepare(cache, 'select 1')
    cache.forget(old)
    const current = prepare(cache, 'select 1')
    cache.takeClosable()
    cache.forget(old)
    expect(cache.takeClosable()).toEqual([])
    expect(cache.take('select 1', true)).toBe(current)
  })
})
