import { describe, expect, test } from 'vitest'
import { InvalidStatementError } from '../../src/errors.js'
import { compileStatement, quoteIdentifier, refusalOf, sql } from '../../src/sql.js'

describe('the sql tag', () => {
  test('makes a parameter of every value', () => {
    const query = sql`select ${1}, ${'two'}, ${null}, ${[3, 4]}`
    expect(query.text).toBe('select $1, $2, $3, $4')
    expect(query.values).toEqual([1, 'two', null, [3, 4]])
  })

  test('numbers the parameters of fragments inside of fragments in the order of the text', () => {
    const inner = sql`b = ${2}`
    const middle = sql`(${inner} or c = ${3})`
    const query = sql`select * from t where a = ${1} and ${middle} and d = ${4}`
    expect(query.text).toBe('select * from t where a = $1 and (b = $2 or c = $3) and d = $4')
    expect(query.values).toEqual([1, 2, 3, 4])
  })

  test('lets one fragment appear several times', () => {
    const price = sql`price * ${2}`
    const query = sql`select ${price} from t order by ${price}`
    expect(query.text).toBe('select price * $1 from t order by price * $2')
    expect(query.values).toEqual([2, 2])
  })

  test('without values is the text as it stands', () => {
    expect(sql`select 1`.text).toBe('select 1')
    expect(sql`select 1`.values).toEqual([])
    expect(sql``.text).toBe('')
  })

  test('uses the text as JavaScript reads it, escapes included', () => {
    expect(sql`select 'a\tb' as "x"`.text).toBe('select \'a\tb\' as "x"')
  })

  test.each(["'; drop table songs; --", '$1', '" or 1=1 --', '\\', 'a\0b'])(
    'never puts the value %j into the text',
    (value) => {
      const query = sql`select * from songs where title = ${value}`
      expect(query.text).toBe('select * from songs where title = $1')
      expect(query.values).toEqual([value])
    },
  )

  test('makes a parameter of an object that looks like a fragment', () => {
    const forged = { text: '1; drop table songs', values: [] }
    const query = sql`select ${forged}`
    expect(query.text).toBe('select $1')
    expect(query.values).toEqual([forged])
  })

  test('refuses undefined and says where it stands', () => {
    const query = sql`select * from songs where a = ${1} and title = ${undefined}`
    expect(() => query.text).toThrow(InvalidStatementError)
    expect(() => query.text).toThrow(/Value 2 .*undefined.*and title =/)
  })

  test('refuses undefined inside of a nested fragment', () => {
    const query = sql`select ${sql`x = ${undefined}`}`
    expect(() => query.values).toThrow(InvalidStatementError)
  })

  test('an identifier is quoted, its parts are joined by dots', () => {
    expect(sql`select * from ${sql.identifier('audit', 'my "log"')}`.text).toBe(
      'select * from "audit"."my ""log"""',
    )
  })

  test.each(['', 'a\0b', 5 as never, undefined as never])('%j is no identifier', (name) => {
    expect(() => sql.identifier(name)).toThrow(InvalidStatementError)
    expect(() => quoteIdentifier(name)).toThrow(InvalidStatementError)
  })

  test('raw text is inserted as it stands', () => {
    const query = sql`select * from t order by id ${sql.raw('desc')} limit ${1}`
    expect(query.text).toBe('select * from t order by id desc limit $1')
    expect(query.values).toEqual([1])
  })

  test('joins values and fragments, with a comma or with a separator of your own', () => {
    expect(sql`select * from t where id in (${sql.join([1, 2, 3])})`.text).toBe(
      'select * from t where id in ($1, $2, $3)',
    )
    const conditions = [sql`a = ${1}`, sql`b = ${2}`]
    const query = sql`select * from t where ${sql.join(conditions, sql` and `)}`
    expect(query.text).toBe('select * from t where a = $1 and b = $2')
    expect(query.values).toEqual([1, 2])
    expect(sql.join([7]).text).toBe('$1')
  })

  test('a separator may hold values, too', () => {
    const query = sql.join([sql`a`, sql`b`, sql`c`], sql` || ${'-'} || `)
    expect(query.text).toBe('a || $1 || b || $2 || c')
    expect(query.values).toEqual(['-', '-'])
  })

  test('an empty list is refused instead of making broken SQL', () => {
    expect(() => sql.join([])).toThrow(InvalidStatementError)
  })
})

describe('a statement', () => {
  test('may be a string with or without values', () => {
    expect(compileStatement('select 1')).toMatchObject({ text: 'select 1', values: [] })
    expect(compileStatement('select $1', [7])).toMatchObject({ text: 'select $1', values: [7] })
  })

  test("may be node-postgres's object, with its row mode and without a prepared statement", () => {
    expect(compileStatement({ text: 'select $1', values: [7], rowMode: 'array', prepare: false })).toEqual({
      text: 'select $1',
      values: [7],
      rowMode: 'array',
      prepare: false,
    })
    expect(compileStatement({ text: 'select 1' })).toEqual({
      text: 'select 1',
      values: [],
      rowMode: 'object',
      prepare: true,
    })
  })

  test('may be the sql tag, a compiled query, or whatever compiles to one', () => {
    const parameters = [1]
    for (const statement of [
      sql`select ${1}`,
      { sql: 'select $1', parameters },
      { compile: () => ({ sql: 'select $1', parameters }), execute: () => Promise.resolve([]) },
      { toSQL: () => ({ sql: 'select $1', params: [1] }), execute: () => Promise.resolve([]) },
    ]) {
      expect(compileStatement(statement)).toMatchObject({ text: 'select $1', values: [1] })
    }
  })

  test('that is thenable and compiles is compiled, and never awaited', () => {
    const builder = {
      toSQL: () => ({ sql: 'select 1', params: [] }),
      then: () => {
        throw new Error('It was awaited')
      },
    }
    expect(compileStatement(builder).text).toBe('select 1')
  })

  test.each([
    [null, 'null'],
    [undefined, 'undefined'],
    [5, 'number'],
    [['select 1'], 'an array'],
    [() => 'select 1', 'function'],
    [{ query: 'select 1' }, 'an object with the keys query'],
    [{}, '(none)'],
    [{ text: 5 }, 'an object with the keys text'],
  ])('%j is none, and the error says what it is', (value, what) => {
    expect(() => compileStatement(value)).toThrow(InvalidStatementError)
    expect(() => compileStatement(value)).toThrow(what)
  })

  test('the refusal of an object names its keys and not its values', () => {
    const refused = (): unknown => compileStatement({ password: 'hunter2' })
    expect(refused).toThrow('password')
    expect(refused).not.toThrow('hunter2')
  })

  test('that is a promise is a missing await', () => {
    expect(() => compileStatement(Promise.resolve('select 1'))).toThrow(/await/)
  })

  test('with values that are no array is refused', () => {
    expect(() => compileStatement({ text: 'select $1', values: 'x' as never })).toThrow(
      /values of a statement are an array/,
    )
  })

  test('with values of its own takes no others', () => {
    for (const statement of [
      sql`select ${1}`,
      { text: 'select $1', values: [1] },
      { sql: 'select $1', parameters: [1] },
    ]) {
      expect(() => compileStatement(statement, [2])).toThrow('has its own values')
    }
    expect(compileStatement({ text: 'select $1' }, [2]).values).toEqual([2])
  })

  test('with a NUL character is refused', () => {
    expect(() => compileStatement('select 1\0; drop table t')).toThrow(/NUL/)
  })
})

describe('what may not run as a plain statement', () => {
  test.each([
    'begin',
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'start transaction',
    'start /* a /* b */ c */ transaction',
    'prepare--\ntransaction x',
    'commit -- prepared\n and chain',
    'commit;',
    'END',
    'rollback',
    'ROLLBACK TO SAVEPOINT x',
    'abort',
    'savepoint x',
    'release savepoint x',
    "prepare transaction 'x'",
    '  \n commit',
    '-- a comment\ncommit',
    '/* a comment */ commit',
    '/* one */ -- two\n /* three */ rollback',
  ])('%j belongs to the session', (text) => {
    expect(refusalOf(text)).toContain('Transactions belong to the session')
  })

  test.each([
    'copy t from stdin',
    'COPY t (a, b) TO STDOUT',
    'copy (select 1) to stdout csv',
    ' copy t from\nstdin',
    'copy t from /* here */ stdin',
    'copy t to -- there\n stdout',
  ])('%j is a stream', (text) => {
    expect(refusalOf(text)).toContain('copyFrom()')
  })

  test.each([
    'select 1',
    'select * from commits',
    'with x as (select 1) select * from x',
    'prepare x as select 1',
    "copy t from '/tmp/x'",
    'create table beginnings ()',
    'explain analyze select 1',
    'reset all',
    'set local role x',
    '',
    '-- only a comment',
    'begins',
    'begin_this',
    'commit /* now */ prepared x',
    'rollback -- it\nprepared x',
  ])('%j may', (text) => {
    expect(refusalOf(text)).toBeUndefined()
  })
})
