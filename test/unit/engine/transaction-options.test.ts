import { describe, expect, test } from 'vitest'
import { createBeginnings } from '../../../src/pipeline/begin.js'
import {
  beginStatements,
  checkTransactionOptions,
  mergeTransactionOptions,
  type TransactionOptions,
} from '../../../src/pipeline/transaction-options.js'
import type { DriverConnection } from '../../../src/driver/driver.js'
import { InvalidOptionError } from '../../../src/errors.js'

const connection = {} as DriverConnection

describe('the batch that begins', () => {
  test.each<[TransactionOptions, string]>([
    [{}, 'BEGIN'],
    [{ isolationLevel: 'SERIALIZABLE' }, 'BEGIN ISOLATION LEVEL SERIALIZABLE'],
    [{ readOnly: true }, 'BEGIN READ ONLY'],
    [{ readOnly: false }, 'BEGIN READ WRITE'],
    [
      { isolationLevel: 'SERIALIZABLE', readOnly: true, deferrable: true },
      'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE',
    ],
    [{ deferrable: false }, 'BEGIN NOT DEFERRABLE'],
  ])('%j is %j alone', (options, text) => {
    expect(beginStatements(options)).toMatchObject([{ text, values: [] }])
  })

  test('has one more statement for all settings, their values as parameters, the role last', () => {
    const [, settings, ...more] = beginStatements({
      role: 'reader',
      settings: { 'app.tenant': "'; drop table songs" },
      statementTimeoutMillis: 5,
      lockTimeoutMillis: 0,
    })
    expect(more).toEqual([])
    expect(settings?.text).toBe(
      'select set_config($1, $2, true), set_config($3, $4, true), set_config($5, $6, true), set_config($7, $8, true)',
    )
    expect(settings?.values).toEqual([
      ...['statement_timeout', '5'],
      ...['lock_timeout', '0'],
      ...['app.tenant', "'; drop table songs"],
      ...['role', 'reader'],
    ])
  })
})

describe('merging', () => {
  test('the narrower wins, one by one; undefined takes nothing back', () => {
    const merged = mergeTransactionOptions(
      { isolationLevel: 'SERIALIZABLE', readOnly: true, role: 'a' },
      { isolationLevel: undefined, readOnly: false, lockTimeoutMillis: 5 },
    )
    expect(merged).toMatchObject({
      isolationLevel: 'SERIALIZABLE',
      readOnly: false,
      role: 'a',
      lockTimeoutMillis: 5,
    })
  })

  test('settings are merged by name', () => {
    const merged = mergeTransactionOptions({ settings: { a: '1', b: '1' } }, { settings: { b: '2', c: '2' } })
    expect(merged.settings).toEqual({ a: '1', b: '2', c: '2' })
  })
})

test.each([
  { isolationLevel: 'SNAPSHOT' },
  { readOnly: 1 },
  { statementTimeoutMillis: 0.5 },
  { lockTimeoutMillis: 2 ** 31 },
  { role: 7 },
  { settings: [] },
  { settings: { a: null } },
])('%j is refused', (options) => {
  expect(() => checkTransactionOptions(options as never)).toThrow(InvalidOptionError)
})

describe('beginnings', () => {
  test('those that are alike are worked out once; those with settings never share values', () => {
    const beginnings = createBeginnings()
    expect(beginnings({ readOnly: false })).toBe(beginnings({ readOnly: false }))
    const [first, second] = ['1', '2'].map((tenant) => beginnings({ settings: { 'app.tenant': tenant } }))
    expect(first?.plan(connection)[1]?.values).toEqual(['app.tenant', '1'])
    expect(second?.plan(connection)[1]?.values).toEqual(['app.tenant', '2'])
    expect(beginnings({ role: 'a' }).plan(connection)[1]?.values).toEqual(['role', 'a'])
    expect(beginnings({ role: 'b' }).plan(connection)[1]?.values).toEqual(['role', 'b'])
  })

  test('COMMIT is a formality for what only reads, unless it is or may be serializable', () => {
    const beginnings = createBeginnings()
    const isFormality = (options: TransactionOptions): boolean =>
      beginnings(options).commitIsFormality(connection)
    expect(isFormality({})).toBe(false)
    expect(isFormality({ isolationLevel: 'REPEATABLE READ' })).toBe(false)
    expect(isFormality({ readOnly: true, isolationLevel: 'READ COMMITTED' })).toBe(true)
    expect(isFormality({ readOnly: true, isolationLevel: 'SERIALIZABLE' })).toBe(false)
    // The server's own level is not known yet.
    expect(isFormality({ readOnly: true })).toBe(false)
  })

  test("the server's level is asked for once for each connection, in the packet of BEGIN", () => {
    const beginnings = createBeginnings()
    for (const [level, formality] of [
      ['read committed', true],
      ['serializable', false],
    ] as const) {
      const fresh = {} as DriverConnection
      const beginning = beginnings({ readOnly: true })
      const plan = beginning.plan(fresh)
      expect(plan.map(({ text }) => text)).toEqual(['BEGIN READ ONLY', 'show transaction_isolation'])
      plan[1]?.onRows?.([{ transaction_isolation: level }])
      expect(beginning.plan(fresh)).toHaveLength(1)
      expect(beginning.commitIsFormality(fresh)).toBe(formality)
    }
  })
})
