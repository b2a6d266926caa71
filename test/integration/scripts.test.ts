/** Scripts with transactions of their own: what is stored is told as stored, what is lost as lost. */
import { beforeEach, describe, expect, test } from 'vitest'
import { IllegalStateError, TransactionAbortedError } from '../../src/errors.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table marks (n int)')

beforeEach(async () => {
  await fixture.db.query('truncate marks')
})

async function marks(): Promise<number[]> {
  const rows = await fixture.db.query<{ n: number }>('select n from marks order by n')
  return rows.map(({ n }) => n)
}

const add = (n: number) => `insert into marks values (${n})`

describe('in autocommit mode', () => {
  const open = () => fixture.engine({ poolSize: 1, maxOverflow: 0 }).connect({ autocommit: true })

  test('a script may have transactions of its own', async () => {
    await using connection = await open()
    await connection.executeScript(
      `begin; ${add(1)}; commit; begin; ${add(2)}; rollback; ${add(3)}; start transaction; savepoint a; ${add(4)}; rollback to a; commit and chain; commit`,
    )
    expect(await marks()).toEqual([1, 3])
  })

  test('a script that leaves a transaction open fails, and that is rolled back', async () => {
    await using connection = await open()
    for (const beginning of [
      'begin',
      'start transaction',
      'begin; commit and chain',
      'begin; rollback and chain',
    ]) {
      const error = await errorOf(
        connection.executeScript(`begin; ${add(1)}; commit; ${beginning}; ${add(2)}`),
      )
      expect(error).toBeInstanceOf(IllegalStateError)
      expect(error.message).toContain('left a transaction open')
      await connection.execute(add(3))
      expect(await marks()).toEqual([1, 3])
      await fixture.db.query('truncate marks')
    }
  })

  test('a script that fails inside of its transaction leaves a connection that can be used', async () => {
    await using connection = await open()
    expect(await errorOf(connection.executeScript(`begin; ${add(1)}; select 1/0`))).toMatchObject({
      sqlState: '22012',
    })
    await connection.execute(add(2))
    expect(await marks()).toEqual([2])
  })

  test('DISCARD ALL and DEALLOCATE ALL leave a connection that can be used', async () => {
    await using connection = await open()
    for (const script of ['discard all', 'deallocate all', `${add(1)}; deallocate all`]) {
      await connection.execute('select 1')
      await connection.begin(() => connection.execute('select 1'))
      await connection.executeScript(script)
      expect(await connection.begin(() => connection.scalar('select 1'))).toBe(1)
    }
  })

  test('a procedure and a DO block that commit are stored as they say', async () => {
    await using connection = await open()
    await connection.executeScript(
      `create or replace procedure halves() language plpgsql as $$ begin ${add(1)}; commit; ${add(2)}; rollback; end $$`,
    )
    await connection.execute('call halves()')
    await connection.executeScript('call halves()')
    await connection.execute(`do $$ begin ${add(5)}; commit; end $$`)
    expect(await marks()).toEqual([1, 1, 5])
  })
})

describe.each(['engine.begin', 'withSession', 'begin() in autocommit mode'])('in a block of %s', (kind) => {
  type Runner = { execute(text: string): Promise<unknown>; executeScript(text: string): Promise<void> }
  const run = (work: (runner: Runner) => Promise<unknown>): Promise<unknown> => {
    const options = { poolSize: 1, maxOverflow: 0 }
    if (kind === 'engine.begin') return fixture.engine(options).begin(work)
    if (kind === 'withSession') return fixture.factory(options).withSession(work)
    const { withSession } = fixture.factory(options, { autocommit: true })
    return withSession((session) => session.begin(() => work(session)))
  }

  test.each([
    ['commit', [1], 'committed the transaction of its block'],
    [`begin; ${add(2)}; commit`, [1, 2], 'committed the transaction of its block'],
    [`commit; begin; ${add(2)}`, [1], 'committed the transaction of its block'],
    [`${add(2)}; commit and chain; ${add(3)}`, [1, 2], 'committed the transaction of its block'],
    ['rollback', [], 'rolled back the transaction of its block'],
    [`rollback; begin; ${add(2)}`, [], 'rolled back the transaction of its block'],
    [`rollback; ${add(2)}`, [2], 'is lost, and what the script did after that is stored'],
    [`rollback; ${add(2)}; select 1/0`, [], 'what was done before is lost, and failed then'],
    ['abort and chain', [], 'rolled back the transaction of its block'],
    [`rollback; begin; ${add(2)}; commit`, [2], 'ROLLBACK, BEGIN, COMMIT'],
    ['commit; select 1/0', [1], 'and failed then (see cause)'],
  ])('a script that ends its transaction is told: %s', async (script, stored, message) => {
    const error = await errorOf(
      run(async (runner) => {
        await runner.execute(add(1))
        await runner.executeScript(script)
        await runner.execute(add(9))
      }),
    )
    expect(error).toBeInstanceOf(IllegalStateError)
    expect(error.message).toContain(message)
    expect(await marks()).toEqual(stored)
  })

  test('if its error is caught, later calls throw the same error', async () => {
    const later: Error[] = []
    const error = await errorOf(
      run(async (runner) => {
        await runner.execute(add(1))
        later.push(await errorOf(runner.executeScript('commit')))
        later.push(await errorOf(runner.execute(add(2))))
      }),
    )
    for (const told of [error, ...later]) {
      expect(told).not.toBeInstanceOf(TransactionAbortedError)
      expect(told.message).toContain('is stored')
    }
    expect(await marks()).toEqual([1])
  })

  test.each([
    `savepoint a; ${add(2)}; rollback to savepoint a; release a`,
    `begin; savepoint a; ${add(2)}; ROLLBACK WORK TO a`,
    `select 'rollback; begin'; begin -- a warning, nothing more`,
  ])('a script that stays in its transaction goes with it: %s', async (script) => {
    await run(async (runner) => {
      await runner.execute(add(1))
      await runner.executeScript(script)
    })
    expect(await marks()).toEqual([1])
    await errorOf(
      run(async (runner) => {
        await runner.executeScript(`${add(3)}; ${script}`)
        throw new Error('undo')
      }),
    )
    expect(await marks()).toEqual([1])
  })

  test('a script, a procedure or a DO block that may not commit fails the block, and nothing is stored', async () => {
    await fixture.db.query(
      `create or replace procedure commits() language plpgsql as $$ begin ${add(2)}; commit; end $$`,
    )
    for (const use of [
      (runner: Runner) => runner.execute('call commits()'),
      (runner: Runner) => runner.executeScript('call commits()'),
      (runner: Runner) => runner.executeScript(`do $$ begin ${add(3)}; commit; end $$`),
    ]) {
      const error = await errorOf(
        run(async (runner) => {
          await runner.execute(add(1))
          await use(runner)
        }),
      )
      expect(error).toMatchObject({ sqlState: '2D000' })
      expect(await marks()).toEqual([])
    }
  })
})

test('neither hook runs if a script committed the transaction', async () => {
  const { withSession } = fixture.factory()
  const ran: string[] = []
  await errorOf(
    withSession(async (session) => {
      session.afterCommit(() => ran.push('afterCommit'))
      session.afterRollback(() => ran.push('afterRollback'))
      await session.executeScript('commit')
    }),
  )
  expect(ran).toEqual([])
})
