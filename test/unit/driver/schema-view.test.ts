import { beforeEach, describe, expect, test } from 'vitest'
import { effectOf } from '../../../src/driver/schema-effects.js'
import type { SchemaGeneration } from '../../../src/driver/schema-generation.js'
import { SchemaView, type StatementContext } from '../../../src/driver/schema-view.js'

let generation: SchemaGeneration
let reported: Map<string, string>
let view: SchemaView
beforeEach(() => {
  generation = { current: 0 }
  reported = new Map()
  view = new SchemaView(generation, reported)
})

const write = (
  text: string,
  values: readonly string[] = [],
  within: StatementContext = 'transaction',
): void => {
  view.written(effectOf(text), values, within)
}

/** Whether the names mean something else after it, on this connection and on others. */
function changes(work: () => void): { readonly here: boolean; readonly everywhere: boolean } {
  const [key, current] = [view.key, generation.current]
  work()
  const everywhere = generation.current !== current
  return { here: everywhere || view.key !== key, everywhere }
}
const NOWHERE = { here: false, everywhere: false }
const HERE = { here: true, everywhere: false }
const EVERYWHERE = { here: true, everywhere: true }

test('what reads and writes rows changes nothing', () => {
  const work = (): void => {
    for (const text of ['BEGIN', 'insert into t values (1)', 'SAVEPOINT a', 'ROLLBACK TO a', 'COMMIT'])
      write(text)
    view.completed('INSERT 0 1', false, effectOf('insert into t values (1)'))
    view.ready(true)
  }
  expect(changes(work)).toEqual(NOWHERE)
})

describe('DDL', () => {
  const ddl = 'alter table t add b int'

  test('counts when it is written, when it has run, and when its transaction has ended, stored or not', () => {
    expect(changes(() => write(ddl))).toEqual(EVERYWHERE)
    expect(changes(() => view.completed('ALTER TABLE', false, effectOf(ddl)))).toEqual(EVERYWHERE)
    expect(changes(() => view.ready(false))).toEqual(NOWHERE)
    expect(changes(() => view.ready(true))).toEqual(EVERYWHERE)
    expect(changes(() => view.ready(true))).toEqual(NOWHERE)
  })

  test('counts by its tag in a script', () => {
    expect(changes(() => view.completed('DROP TABLE', false))).toEqual(EVERYWHERE)
  })

  test('counts when a savepoint undoes it', () => {
    write(ddl)
    view.completed('ALTER TABLE', false, effectOf(ddl))
    expect(changes(() => write('ROLLBACK TO SAVEPOINT a'))).toEqual(EVERYWHERE)
  })

  test('counts when the connection is lost before its end is known', () => {
    write(ddl)
    expect(changes(() => view.lost())).toEqual(EVERYWHERE)
  })
})

describe('a temporary table', () => {
  test('counts on its own connection: when it is made, and when its transaction has ended', () => {
    expect(changes(() => write('create temp table t (a int) on commit drop'))).toEqual(HERE)
    expect(changes(() => view.ready(true))).toEqual(HERE)
    expect(changes(() => view.ready(true))).toEqual(NOWHERE)
  })

  test('DISCARD TEMP counts only where there may be one', () => {
    expect(changes(() => write('discard temp'))).toEqual(NOWHERE)
    write('create temp table t (a int)')
    expect(changes(() => write('discard temp'))).toEqual(HERE)
  })
})

describe('the search path', () => {
  const settings = 'select set_config($1, $2, true)'
  const tenant = (name: string): string => {
    write('BEGIN')
    write(settings, ['search_path', name])
    view.ready(false)
    return view.key
  }
  const end = (text = 'COMMIT'): string => {
    write(text)
    if (text === 'ROLLBACK') view.completed('ROLLBACK', false, effectOf(text))
    view.ready(true)
    return view.key
  }

  test('of a transaction is its own, and the same value is the same view', () => {
    const before = view.key
    const a = tenant('a')
    expect(end()).toBe(before)
    const b = tenant('b')
    expect(end('ROLLBACK')).toBe(before)
    expect(tenant('a')).toBe(a)
    expect(new Set([before, a, b]).size).toBe(3)
  })

  test('COMMIT in the same batch as the next BEGIN ends it, too', () => {
    const before = view.key
    tenant('a')
    write('COMMIT AND CHAIN')
    expect(view.key).toBe(before)
    view.ready(false)
    expect(view.key).toBe(before)
  })

  test('SET stays; RESET comes back to what was at connect', () => {
    const before = view.key
    write('set search_path to a')
    const a = view.key
    view.ready(true)
    expect(view.key).toBe(a)
    write('reset all')
    view.ready(true)
    expect(view.key).toBe(before)
  })

  test('SET that was rolled back or refused leads to a new view', () => {
    const seen = new Set([view.key])
    const expectNew = (): void => {
      expect(seen).not.toContain(view.key)
      seen.add(view.key)
    }
    write('set search_path to a')
    expectNew()
    write('ROLLBACK')
    expectNew()
    view.completed('ROLLBACK', false, effectOf('ROLLBACK'))
    view.ready(true)
    expectNew()
    write('set search_path to b')
    seen.add(view.key)
    view.refused()
    view.ready(true)
    expectNew()
    tenant('c')
    seen.add(view.key)
    write('ROLLBACK TO SAVEPOINT x')
    expectNew()
  })

  test('a COMMIT that was skipped has ended nothing', () => {
    const before = view.key
    tenant('a')
    write('COMMIT')
    view.refused()
    view.ready(false)
    expect(view.key).not.toBe(before)
  })

  test('SET LOCAL outside of a transaction does nothing', () => {
    expect(changes(() => write('set local search_path to a', [], 'autocommit'))).toEqual(NOWHERE)
  })

  test('by a value that is not known, or in a script, is a view that never was before', () => {
    const text = "select set_config('search_path', (select s from tenants), true)"
    const keys = [text, text].map((each) => {
      write(each)
      view.ready(true)
      return view.key
    })
    expect(new Set(keys).size).toBe(2)
    expect(changes(() => view.scripted('set search_path to a; select 1'))).toEqual(HERE)
    expect(changes(() => view.scripted('insert into t values (1)'))).toEqual(NOWHERE)
  })

  test('that the server reports counts where nothing that was sent explains it', () => {
    reported.set('search_path', 'by_function')
    expect(changes(() => view.ready(false))).toEqual(HERE)
    expect(changes(() => view.ready(false))).toEqual(NOWHERE)
    write("set local search_path to 'a'")
    const a = view.key
    reported.set('search_path', 'a')
    view.ready(false)
    expect(view.key).toBe(a)
  })
})
