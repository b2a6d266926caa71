import { describe, expect, test } from 'vitest'
import { StatementSkipped, type BatchStatement, type TypeParsers } from '../../../src/driver/driver.js'
import type { BatchRun } from '../../../src/driver/batch-run.js'
import { Harness } from './batch-harness.js'
import {
  bindComplete,
  closeComplete,
  commandComplete,
  dataRow,
  emptyQuery,
  errorResponse,
  noData,
  parseComplete,
  portalSuspended,
  readyForQuery,
  rowDescription,
} from './backend-messages.js'

const ONE_ROW = [bindComplete, rowDescription(['x'], 23), dataRow(['7']), commandComplete('SELECT 1')]

describe('a batch under one Sync', () => {
  test('is one write, and ends with its only Sync', () => {
    const harness = new Harness()
    harness.run(['select 1', 'select 2'])
    expect(harness.sent()).toEqual([
      1,
      ...['Parse', 'Bind', 'Describe', 'Execute'],
      ...['Parse', 'Bind', 'Describe', 'Execute'],
      'Sync',
    ])
  })

  test('settles each statement as its answer is complete, the last one when the server is ready', () => {
    const harness = new Harness()
    harness.run(['select 7 as x', "insert into t values ('x')"])
    harness.answer(parseComplete, ...ONE_ROW)
    expect(harness.outcomes[0]).toMatchObject({
      command: 'SELECT',
      rowCount: 1,
      rows: [{ x: 7 }],
      suspended: false,
    })
    expect(harness.outcomes[1]).toBeUndefined()
    harness.answer(parseComplete, bindComplete, noData, commandComplete('INSERT 0 5'))
    expect(harness.outcomes[1]).toBeUndefined()
    expect(harness.ended).toBe(0)
    harness.answer(readyForQuery())
    expect(harness.outcomes[1]).toMatchObject({ command: 'INSERT', rowCount: 5, rows: [], fields: [] })
    expect(harness.ended).toBe(1)
  })

  test('the first failure skips the rest', () => {
    const harness = new Harness().begin()
    harness.run(['select 7 as x', 'not sql', 'select 2'])
    harness.answer(parseComplete, ...ONE_ROW, errorResponse('42601', 'syntax error'))
    expect(harness.outcomes[2]).toBeUndefined()
    harness.answer(readyForQuery('E'))
    expect(harness.outcomes[1]).toMatchObject({ code: '42601' })
    expect(harness.outcomes[2]).toBeInstanceOf(StatementSkipped)
    expect(harness.ended).toBe(1)
  })

  test('the loss of the connection fails what has not settled, once', () => {
    const harness = new Harness()
    const run = harness.run(['select 7 as x', 'select 2'])
    harness.answer(parseComplete, ...ONE_ROW)
    const lost = new Error('gone')
    run.fail(lost)
    run.fail(lost)
    expect(harness.outcomes[0]).toMatchObject({ rowCount: 1 })
    expect(harness.outcomes[1]).toBe(lost)
    expect(harness.ended).toBe(1)
  })

  describe('that is answered, while its ReadyForQuery is not there', () => {
    function answered(): { readonly harness: Harness; readonly run: BatchRun } {
      const harness = new Harness().begin()
      const run = harness.run(["insert into t values ('x')", 'COMMIT'])
      harness.answer(parseComplete, bindComplete, noData, commandComplete('INSERT 0 1'))
      harness.answer(parseComplete, bindComplete, noData, commandComplete('COMMIT'))
      expect(harness.outcomes[1]).toBeUndefined()
      return { harness, run }
    }

    test('stands when the connection is lost', () => {
      const { harness, run } = answered()
      run.confirm('ended')
      run.fail(new Error('gone'))
      expect(harness.outcomes[1]).toMatchObject({ command: 'COMMIT' })
      expect(harness.ended).toBe(1)
    })

    test.each(['ERROR', 'FATAL'])('stands when %s comes after it', (severity) => {
      const { harness, run } = answered()
      harness.answer(errorResponse('57P01', 'terminating connection', severity))
      run.confirm('ended')
      run.fail(new Error('gone'))
      expect(harness.outcomes[1]).toMatchObject({ command: 'COMMIT' })
    })

    test('is discarded when anything else comes after it', () => {
      const { harness } = answered()
      harness.answer(commandComplete('COMMIT'))
      expect(harness.outcomes[1]).toBe(harness.broken)
      expect(harness.broken).toMatchObject({ name: 'ProtocolError' })
    })
  })
})

describe('a batch with a Sync for each statement', () => {
  test('is one write with as many Syncs', () => {
    const harness = new Harness()
    harness.run(['select 1', 'select 2'], 'separate')
    const sent = harness.sent()
    expect(sent[0]).toBe(1)
    expect(sent.filter((name) => name === 'Sync')).toHaveLength(2)
  })

  test('a statement settles at its ReadyForQuery: its commit may still fail', () => {
    const harness = new Harness()
    harness.run(['insert into t values (1)', 'select 7 as x'], 'separate')
    harness.answer(parseComplete, bindComplete, noData, commandComplete('INSERT 0 1'))
    expect(harness.outcomes[0]).toBeUndefined()
    harness.answer(errorResponse('23503', 'deferred'), readyForQuery())
    expect(harness.outcomes[0]).toMatchObject({ code: '23503' })
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    expect(harness.outcomes[1]).toMatchObject({ rows: [{ x: 7 }] })
    expect(harness.ended).toBe(1)
  })

  test('a statement whose ReadyForQuery does not come fails with the connection: its commit may have failed', () => {
    const harness = new Harness()
    const run = harness.run(["insert into t values ('x')"], 'separate')
    harness.answer(parseComplete, bindComplete, noData, commandComplete('INSERT 0 1'))
    const lost = new Error('gone')
    run.confirm('ended')
    run.fail(lost)
    expect(harness.outcomes[0]).toBe(lost)
  })

  test('a failure fails no other statement', () => {
    const harness = new Harness()
    harness.run(['not sql', 'select 7 as x'], 'separate')
    harness.answer(errorResponse('42601', 'syntax error'), readyForQuery())
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    expect(harness.outcomes).toMatchObject([{ code: '42601' }, { rowCount: 1 }])
  })

  test('a plan that has become stale is to be run again; one that only resembles it is not', () => {
    const harness = new Harness()
    harness.run(['select 7 as x'], 'separate')
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    const again = harness.run(['select 7 as x'], 'separate')
    harness.answer(errorResponse('26000', 'prepared statement does not exist'), readyForQuery())
    expect(again.repeated?.text).toBe('select 7 as x')
    expect(harness.outcomes).toEqual([])
    const other = harness.run(['select 8 as x'], 'separate')
    harness.answer(errorResponse('26000', 'of another client'), readyForQuery())
    expect(other.repeated).toBeUndefined()
    expect(harness.outcomes).toMatchObject([{ code: '26000' }])
  })
})

describe('prepared statements', () => {
  test('are parsed once; rows are described each time', () => {
    const harness = new Harness()
    harness.run(['select 7 as x'])
    expect(harness.sent()).toEqual([1, 'Parse', 'Bind', 'Describe', 'Execute', 'Sync'])
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    harness.run(['select 7 as x'])
    expect(harness.sent()).toEqual([1, 'Bind', 'Describe', 'Execute', 'Sync'])
    harness.answer(
      bindComplete,
      rowDescription(['x'], 23),
      dataRow(['8']),
      commandComplete('SELECT 1'),
      readyForQuery(),
    )
    expect(harness.outcomes).toMatchObject([{ rows: [{ x: 8 }] }])
    // Another backend behind a pooler, after a migration.
    harness.run(['select 7 as x'])
    harness.answer(
      bindComplete,
      rowDescription(['y'], 25),
      dataRow(['9']),
      commandComplete('SELECT 1'),
      readyForQuery(),
    )
    expect(harness.outcomes).toMatchObject([{ rows: [{ y: '9' }] }])
  })

  test.each([
    ['insert into t values (1)', 'INSERT 0 1', false],
    ['  COMMIT', 'COMMIT', false],
    ['call p()', 'CALL', true],
    ['execute p', 'INSERT 0 1', true],
    ['/* select */ set x = 1', 'SET', true],
  ])('%j, which returned no rows, is described again: %s', (text, tag, again) => {
    const harness = new Harness()
    harness.run([text])
    harness.answer(parseComplete, bindComplete, noData, commandComplete(tag), readyForQuery())
    harness.sent()
    harness.run([text])
    expect(harness.sent().includes('Describe')).toBe(again)
  })

  test('one text twice in a batch is parsed once', () => {
    const harness = new Harness()
    harness.run(['select 7 as x', 'select 7 as x'])
    expect(harness.sent().filter((name) => name === 'Parse')).toHaveLength(1)
    harness.answer(parseComplete, ...ONE_ROW, ...ONE_ROW, readyForQuery())
    expect(harness.outcomes).toMatchObject([{ rowCount: 1 }, { rowCount: 1 }])
  })

  test('twice with a Sync for each, the second does not depend on the first', () => {
    const harness = new Harness()
    harness.run(['select 7 as x', 'select 7 as x'], 'separate')
    expect(harness.sent().filter((name) => name === 'Parse')).toHaveLength(2)
  })

  test('one whose Parse failed is parsed anew', () => {
    const harness = new Harness()
    harness.run(['select * from t'])
    harness.answer(errorResponse('42P01', 'no such table'), readyForQuery())
    harness.sent()
    harness.run(['select * from t'])
    expect(harness.sent()).toContain('Parse')
  })

  test('one whose Bind failed is not', () => {
    const harness = new Harness()
    harness.run([{ text: 'select $1::int', values: ['x'] }])
    harness.answer(parseComplete, errorResponse('22P02', 'not a number'), readyForQuery())
    harness.sent()
    harness.run([{ text: 'select $1::int', values: ['1'] }])
    expect(harness.sent()).not.toContain('Parse')
  })

  test('those pushed out are closed with the next batch, whose answers stay in step', () => {
    const harness = new Harness(1)
    harness.run(['select 7 as x'])
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    harness.run(['select 8 as x'])
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    harness.sent()
    harness.run(['select 9 as x'])
    expect(harness.sent().slice(0, 2)).toEqual([1, 'Close'])
    harness.answer(closeComplete, parseComplete, ...ONE_ROW, readyForQuery())
    expect(harness.outcomes).toMatchObject([{ rowCount: 1 }])
  })

  test('prepare: false, and a cache of 0, use the statement without a name', () => {
    for (const [harness, statement] of [
      [new Harness(), { text: 'select 7 as x', prepare: false }],
      [new Harness(0), { text: 'select 7 as x' }],
    ] as const) {
      for (let round = 0; round < 2; round++) {
        harness.run([statement])
        const [parse] = harness.messages().filter(({ name }) => name === 'Parse')
        expect(parse?.bytes[5]).toBe(0)
        harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
      }
    }
  })
})

describe('portals', () => {
  test('give a page, then the next, then the end, and are closed', () => {
    const harness = new Harness().begin()
    harness.run([{ text: 'select x', portal: 'p', maxRows: 1 }])
    harness.answer(
      parseComplete,
      bindComplete,
      rowDescription(['x'], 23),
      dataRow(['1']),
      portalSuspended,
      readyForQuery('T'),
    )
    expect(harness.outcomes).toMatchObject([{ rows: [{ x: 1 }], suspended: true }])
    harness.sent()
    harness.run([{ text: '', portal: 'p', maxRows: 1 }])
    expect(harness.sent()).toEqual([1, 'Execute', 'Sync'])
    harness.answer(dataRow(['2']), commandComplete('SELECT 1'), readyForQuery('T'))
    expect(harness.outcomes).toMatchObject([{ rows: [{ x: 2 }], suspended: false }])
    harness.run([{ portal: 'p', closePortal: true }, 'select 7 as x'])
    expect(harness.sent().slice(0, 2)).toEqual([1, 'Close'])
    harness.answer(closeComplete, parseComplete, ...ONE_ROW, readyForQuery('T'))
    expect(harness.outcomes).toMatchObject([{ command: '' }, { rowCount: 1 }])
  })
})

describe('answers of their own kind', () => {
  test('an empty statement', () => {
    const harness = new Harness()
    harness.run([''])
    harness.answer(parseComplete, bindComplete, noData, emptyQuery, readyForQuery())
    expect(harness.outcomes).toMatchObject([{ command: '', rowCount: null, rows: [] }])
  })

  test.each([
    ['SELECT 5', 'SELECT', 5],
    ['INSERT 0 12', 'INSERT', 12],
    ['CREATE TABLE', 'CREATE TABLE', null],
    ['COMMIT', 'COMMIT', null],
    ['MERGE 3', 'MERGE', 3],
    ['SET', 'SET', null],
  ])('the tag %j', (tag, command, rowCount) => {
    const harness = new Harness()
    harness.run(['whatever'])
    harness.answer(parseComplete, bindComplete, noData, commandComplete(tag), readyForQuery())
    expect(harness.outcomes).toMatchObject([{ command, rowCount }])
  })

  test('flushAfter asks for the answer before the rest', () => {
    const harness = new Harness()
    harness.run([{ text: 'begin', flushAfter: true }, 'select 1'])
    expect(harness.sent().indexOf('Flush')).toBe(5)
  })

  test('a row that cannot be decoded fails its statement; its later rows are skipped', () => {
    const harness = new Harness()
    const types: TypeParsers = {
      getTypeParser: () => () => {
        throw new Error('no parser')
      },
    }
    harness.run([{ text: 'select 7 as x', types }, 'select 8 as x'])
    harness.answer(
      parseComplete,
      bindComplete,
      rowDescription(['x'], 23),
      dataRow(['1']),
      dataRow(['2']),
      commandComplete('SELECT 2'),
    )
    harness.answer(parseComplete, ...ONE_ROW, readyForQuery())
    expect(harness.outcomes).toMatchObject([{ message: 'no parser' }, { rows: [{ x: 7 }] }])
  })

  test('COPY in a batch ends the connection, which cannot speak it', () => {
    const harness = new Harness()
    harness.run(['copy t from stdin'])
    harness.answer(parseComplete, bindComplete, noData, Buffer.from([0x47, 0, 0, 0, 7, 0, 0, 0]))
    expect(harness.broken?.message).toContain('COPY')
  })
})

describe('a plan that may be stale', () => {
  const text = 'insert into t values ($1)'
  function warm(): Harness {
    const harness = new Harness()
    harness.run([{ text, values: ['1'] }])
    harness.answer(parseComplete, bindComplete, noData, commandComplete('INSERT 0 1'), readyForQuery())
    harness.sent()
    return harness
  }
  const REFUSAL = errorResponse('22003', 'value out of range for type integer')

  test('is run again with its batch, if nothing but BEGIN was answered and its owner agrees', () => {
    const harness = warm()
    const run = harness.run(['BEGIN', { text, values: ['2'] }, 'COMMIT'])
    harness.answer(parseComplete, bindComplete, noData, commandComplete('BEGIN'), REFUSAL, readyForQuery('E'))
    expect(run.repeated?.text).toBe(text)
    expect(harness.outcomes.slice(1)).toEqual([])
  })

  test('fails with its batch when the connection is lost before that', () => {
    const harness = warm()
    const run = harness.run(['BEGIN', { text, values: ['2'] }, 'COMMIT'])
    harness.answer(parseComplete, bindComplete, noData, commandComplete('BEGIN'), REFUSAL)
    run.fail(new Error('lost'))
    expect(harness.outcomes.slice(1)).toMatchObject([{ message: 'lost' }, { message: 'lost' }])
  })

  test.each([
    ['its owner does not agree', (harness: Harness) => (harness.mayRepeat = false)],
    ['a transaction was open before', (harness: Harness) => harness.begin()],
  ])('is told, and forgotten, if %s', (_why, prevent) => {
    const harness = warm()
    prevent(harness)
    const run = harness.run([{ text, values: ['2'] }])
    harness.answer(REFUSAL, readyForQuery(_why.startsWith('a') ? 'E' : 'I'))
    expect(run.repeated).toBeUndefined()
    expect(run.suspect).toMatchObject({ statement: { text }, stale: { certain: false } })
    expect(harness.outcomes).toMatchObject([{ code: '22003' }])
  })

  test.each([
    ['57014', 'canceling statement due to user request'],
    ['25P02', 'current transaction is aborted'],
    ['40001', 'could not serialize access'],
    ['55P03', 'lock not available'],
  ])('%s is no sign of one', (code, message) => {
    const harness = warm()
    const run = harness.run([{ text, values: ['2'] }])
    harness.answer(errorResponse(code, message), readyForQuery())
    expect([run.repeated, run.suspect]).toEqual([undefined, undefined])
    expect(harness.outcomes).toMatchObject([{ code }])
  })

  test('is not to blame for what is refused when it runs', () => {
    const harness = warm()
    const run = harness.run([{ text, values: ['2'] }])
    harness.answer(bindComplete, errorResponse('22012', 'division by zero'), readyForQuery())
    expect([run.repeated, run.suspect]).toEqual([undefined, undefined])
    expect(harness.outcomes).toMatchObject([{ code: '22012' }])
  })
})

test('a prepared statement that takes long is prepared anew for its values; one without values is not', () => {
  const harness = new Harness()
  const run = (statement: Partial<BatchStatement>, takes: number): string[] => {
    harness.run([{ text: 'select $1::int as x', ...statement }])
    const sent = harness.sent().slice(1) as string[]
    harness.now += takes
    const ahead = { Close: closeComplete, Parse: parseComplete }
    const parts = Object.entries(ahead).flatMap(([name, answer]) => (sent.includes(name) ? [answer] : []))
    harness.answer(...parts, ...ONE_ROW, readyForQuery())
    return sent
  }
  const values = ['1']
  // PostgreSQL plans five runs for their values.
  for (let planned = 0; planned < 5; planned++) run({ values }, 50)
  expect(run({ values }, 50)).not.toContain('Parse')
  expect(run({ values }, 0)).toEqual(['Close', 'Parse', 'Bind', 'Describe', 'Execute', 'Sync'])
  expect(run({ values }, 0)).not.toContain('Parse')
  for (let planned = 0; planned < 6; planned++) run({ text: 'select 7 as x' }, 50)
  expect(run({ text: 'select 7 as x' }, 0)).not.toContain('Parse')
})
