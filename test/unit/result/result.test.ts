import { describe, expect, test } from 'vitest'
import type { FieldDescription } from '../../../src/driver/driver.js'
import { InvalidStatementError, MultipleResultsError, NoResultError } from '../../../src/errors.js'
import { Result } from '../../../src/result/result.js'

interface Song {
  id: number
  title: string
}

const songs = (count: number): Song[] =>
  Array.from({ length: count }, (_, index) => ({ id: index + 1, title: `Song ${index + 1}` }))

const fields = (...names: string[]): FieldDescription[] =>
  names.map((name) => ({ name, dataTypeID: 25, tableID: 0, columnID: 0 }))

function result<Row = Song>(rows: readonly Row[], columns = ['id', 'title']): Result<Row> {
  return new Result({ command: 'SELECT', rowCount: rows.length, fields: fields(...columns), rows })
}

describe('rows', () => {
  test('all() gives every row, as often as one likes, in an array of its own', () => {
    const two = result(songs(2))
    const first = two.all()
    expect(first).toEqual(songs(2))
    first.pop()
    expect(two.all()).toEqual(songs(2))
  })

  test('a result is iterable, more than once', () => {
    const two = result(songs(2))
    expect([...two]).toEqual(songs(2))
    expect([...two].map(({ id }) => id)).toEqual([1, 2])
  })

  test.each([
    [0, null],
    [1, 1],
    [3, 1],
  ])('first() of %i rows', (count, id) => {
    expect(result(songs(count)).first()?.id ?? null).toBe(id)
  })

  test('one() wants exactly one row', () => {
    expect(result(songs(1)).one()).toEqual({ id: 1, title: 'Song 1' })
    expect(() => result([]).one()).toThrow(NoResultError)
    expect(() => result(songs(2)).one()).toThrow(MultipleResultsError)
    expect(() => result(songs(2)).one()).toThrow('2 rows')
  })

  test('oneOrNone() wants one row at most', () => {
    expect(result(songs(1)).oneOrNone()).toEqual({ id: 1, title: 'Song 1' })
    expect(result([]).oneOrNone()).toBeNull()
    expect(() => result(songs(2)).oneOrNone()).toThrow(MultipleResultsError)
  })
})

describe('scalars', () => {
  test('are the first column, whatever the order of the keys', () => {
    const swapped = result([{ title: 'Help!', id: 7 }], ['id', 'title'])
    expect(swapped.scalar()).toBe(7)
    expect(swapped.scalars()).toEqual([7])
    expect(swapped.scalarOne()).toBe(7)
    expect(swapped.scalarOneOrNone()).toBe(7)
  })

  test('scalar() takes the first row and is null without one', () => {
    expect(result(songs(3)).scalar()).toBe(1)
    expect(result([]).scalar()).toBeNull()
  })

  test('scalars() takes every row', () => {
    expect(result(songs(3)).scalars()).toEqual([1, 2, 3])
    expect(result([]).scalars()).toEqual([])
  })

  test('scalarOne() and scalarOneOrNone() count rows as one() and oneOrNone() do', () => {
    expect(() => result([]).scalarOne()).toThrow(NoResultError)
    expect(() => result(songs(2)).scalarOne()).toThrow(MultipleResultsError)
    expect(result([]).scalarOneOrNone()).toBeNull()
    expect(() => result(songs(2)).scalarOneOrNone()).toThrow(MultipleResultsError)
  })

  test('of a row that is an array are its first element', () => {
    const arrays = result([
      [1, 'a'],
      [2, 'b'],
    ])
    expect(arrays.scalars()).toEqual([1, 2])
    expect(arrays.scalar()).toBe(1)
  })

  test('of a statement without columns are undefined', () => {
    expect(result([{}], []).scalarOne()).toBeUndefined()
  })

  test('are refused when another column has the name of the first', () => {
    const twice = result([{ id: 2 }], ['id', 'id'])
    expect(() => twice.scalar()).toThrow(InvalidStatementError)
    expect(() => twice.scalars()).toThrow('Name one of them with AS')
    // An array row keeps both.
    expect(result([[1, 2]], ['id', 'id']).scalar()).toBe(1)
    // Two later columns of one name do not matter.
    expect(result([{ id: 1, x: 3 }], ['id', 'x', 'x']).scalar()).toBe(1)
  })
})

describe('columns and figures', () => {
  test('columns() are the names in order, duplicates included; fields tell the rest', () => {
    const twice = result([], ['id', 'title', 'id'])
    expect(twice.columns).toEqual(['id', 'title', 'id'])
    expect(twice.fields[1]).toEqual({ name: 'title', dataTypeID: 25, tableID: 0, columnID: 0 })
  })

  test('rowCount is that of the command, and 0 where the command has none', () => {
    const made = (command: string, rowCount: number | null): Result =>
      new Result({ command, rowCount, fields: [], rows: [] })
    expect(made('UPDATE', 12).rowCount).toBe(12)
    expect(made('CREATE TABLE', null).rowCount).toBe(0)
    expect(made('CREATE TABLE', null).command).toBe('CREATE TABLE')
  })

  test('mappings() gives objects, also of array rows', () => {
    const rows = result([[1, 'a']])
    expect(rows.mappings()).toEqual([{ id: 1, title: 'a' }])
  })

  test('mappings() gives copies', () => {
    const one = result(songs(1))
    const [mapping] = one.mappings()
    expect(mapping).toEqual({ id: 1, title: 'Song 1' })
    ;(mapping as Record<string, unknown>)['id'] = 2
    expect(one.one().id).toBe(1)
  })
})

describe('partitions', () => {
  test('cut the rows, the last one shorter', () => {
    expect([...result(songs(5)).partitions(2)].map((part) => part.map(({ id }) => id))).toEqual([
      [1, 2],
      [3, 4],
      [5],
    ])
    expect([...result(songs(4)).partitions(2)]).toHaveLength(2)
    expect([...result([]).partitions(2)]).toEqual([])
  })

  test.each([0, -1, 1.5, Number.NaN])('of %d rows are refused', (size) => {
    expect(() => [...result(songs(2)).partitions(size)]).toThrow(RangeError)
  })
})
