/** Whether COMMIT waits for a standby, as far as the connections of an engine have asked. */
import { expect, test } from 'vitest'
import type { DriverConnection } from '../../../src/driver/driver.js'
import { SynchronousStandbys } from '../../../src/pipeline/synchronous-standbys.js'

const connectionTo = (host: string | undefined): DriverConnection =>
  ({ server: host === undefined ? undefined : { host, port: 5432 } }) as DriverConnection

/** Asks on the connection, and answers. @returns whether anything was asked. */
function ask(standbys: SynchronousStandbys, connection: DriverConnection, rows: readonly unknown[]): boolean {
  const statements = standbys.ask(connection, 'select 1')
  for (const { onRows } of statements) onRows?.(rows)
  return statements.length > 0
}

test.each([
  ['a server with a standby', [{ standbys: 'FIRST 1 (one, two)' }], true],
  ['a server without a standby', [{ standbys: '' }], false],
  ['a server without the setting', [{ standbys: null }], false],
  ['a server that does not answer the question', [], true],
])('%s', (_name, rows, waits) => {
  const standbys = new SynchronousStandbys()
  const connection = connectionTo('db')
  expect(standbys.mayDelayCommit(connection)).toBe(true)
  expect(ask(standbys, connection, rows)).toBe(true)
  expect(standbys.mayDelayCommit(connection)).toBe(waits)
  expect(ask(standbys, connection, rows)).toBe(false)
})

test('the latest answer of a server counts for all connections to it, and for no other server', () => {
  const standbys = new SynchronousStandbys()
  const [old, young, other] = [connectionTo('db'), connectionTo('db'), connectionTo('replica')]
  ask(standbys, old, [{ standbys: '' }])
  expect(standbys.mayDelayCommit(young)).toBe(false)
  expect(standbys.mayDelayCommit(other)).toBe(true)
  ask(standbys, young, [{ standbys: '*' }])
  expect(standbys.mayDelayCommit(old)).toBe(true)
})

test('a question that was not answered, because BEGIN was refused, is asked again', () => {
  const standbys = new SynchronousStandbys()
  const connection = connectionTo(undefined)
  expect(standbys.ask(connection, 'select 1')).toHaveLength(1)
  expect(standbys.ask(connection, 'select 1')).toHaveLength(1)
})

test('the question is asked only before a statement that rules out SET TRANSACTION as well', () => {
  const standbys = new SynchronousStandbys()
  const connection = connectionTo('db')
  const isAskedBefore = (text: string): boolean => standbys.ask(connection, text).length > 0
  for (const text of ['', 'set transaction read write', 'SET LOCAL x.y = 1', 'lock table songs', 'COMMIT'])
    expect(isAskedBefore(text), text).toBe(false)
  for (const text of ['SELECT 1', '\n  with a as (select 1) table a', 'insert into songs values (1)'])
    expect(isAskedBefore(text), text).toBe(true)
})
