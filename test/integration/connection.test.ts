import { describe, expect, test } from 'vitest'
import {
  ConnectionClosedError,
  ConnectionLostError,
  IllegalStateError,
  InvalidOptionError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import { UniqueViolationError } from '../../src/database-errors.js'
import type { Connection } from '../../src/engine/connection.js'
import type { Engine } from '../../src/engine/engine.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

const add = (connection: Connection, text: string) =>
  connection.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

async function emptyEngine(...options: Parameters<typeof fixture.engine>): Promise<Engine> {
  await fixture.db.query('truncate notes')
  return fixture.engine(...options)
}

describe('connect()', () => {
  test('holds a connection from the call until close', async () => {
    const engine = await emptyEngine()
    const connection = await engine.connect()
    expect(engine.stats().borrowed).toBe(1)
    expect(connection.processId).toBe(await connection.scalar('select pg_backend_pid()'))
    await connection.commit()
    expect(engine.stats().borrowed).toBe(1)
    await connection.close()
    await connection.close()
    expect(engine.stats().borrowed).toBe(0)
  })

  test('the first statement begins, commit stores, rollback undoes', async () => {
    const engine = await emptyEngine()
    await using connection = await engine.connect()
    expect(connection.inTransaction).toBe(false)
    await add(connection, 'one')
    expect(connection.inTransaction).toBe(true)
    await connection.commit()
    expect(connection.inTransaction).toBe(false)
    await add(connection, 'two')
    await connection.rollback()
    await add(connection, 'three')
    await connection.commit()
    await connection.commit()
    await connection.rollback()
    expect(await stored()).toEqual(['one', 'three'])
  })

  test('await using rolls back what was not committed, and gives the connection back clean', async () => {
    const engine = await emptyEngine({ poolSize: 1, maxOverflow: 0 })
    {
      await using connection = await engine.connect()
      await add(connection, 'one')
    }
    expect(engine.stats().borrowed).toBe(0)
    await using next = await engine.connect({ autocommit: true })
    expect(await next.scalar('select pg_current_xact_id_if_assigned() is null')).toBe(true)
    expect(await stored()).toEqual([])
  })

  test('a closed connection refuses everything', async () => {
    const connection = await (await emptyEngine()).connect()
    await connection.close()
    expect(connection.closed).toBe(true)
    for (const use of [
      () => add(connection, 'one'),
      () => connection.scalar('select 1'),
      () => connection.scalars('select 1'),
      () => connection.commit(),
      () => connection.rollback(),
      () => connection.begin(),
      () => connection.begin(() => undefined),
      () => connection.executeScript('select 1'),
      () => connection.stream('select 1')[Symbol.asyncIterator]().next(),
      () => connection.beginNested(() => connection.execute('select 1')),
    ]) {
      expect(await errorOf(use())).toBeInstanceOf(ConnectionClosedError)
    }
  })

  test('close waits for what was given before it', async () => {
    const engine = await emptyEngine()
    const connection = await engine.connect()
    const [inserted, committed] = [add(connection, 'one'), connection.commit()]
    await connection.close()
    await Promise.all([inserted, committed])
    expect(await stored()).toEqual(['one'])
  })

  test('autocommit: every statement is stored by itself', async () => {
    await using connection = await (await emptyEngine()).connect({ autocommit: true })
    await add(connection, 'one')
    expect(connection.inTransaction).toBe(false)
    await errorOf(add(connection, 'one'))
    await add(connection, 'two')
    await connection.rollback()
    expect(await stored()).toEqual(['one', 'two'])
  })

  test('autocommit runs what may not run in a transaction', async () => {
    await using connection = await (await emptyEngine()).connect({ autocommit: true })
    await connection.execute('vacuum notes')
    await connection.execute('create index concurrently on notes (text)')
  })

  test('options of the transaction, over those of the engine', async () => {
    const engine = await emptyEngine({ isolationLevel: 'SERIALIZABLE', statementTimeoutMillis: 5000 })
    await using connection = await engine.connect({ isolationLevel: 'REPEATABLE READ', readOnly: true })
    const row = await connection.execute<Record<string, string>>(
      "select current_setting('transaction_isolation') a, current_setting('transaction_read_only') b, current_setting('statement_timeout') c",
    )
    expect(row.one()).toEqual({ a: 'repeatable read', b: 'on', c: '5s' })
  })

  test.each([
    [{ isolationLevl: 'SERIALIZABLE' }, "did you mean 'isolationLevel'?"],
    [{ autocommit: 'yes' }, 'autocommit must be true or false'],
    [{ signal: {} }, 'signal must be an AbortSignal'],
    [{ poolTimeoutMillis: -1 }, 'poolTimeoutMillis must be'],
    [{ statementTimeoutMillis: 1.5 }, 'statementTimeoutMillis must be'],
  ])('%j is refused', async (options, message) => {
    const engine = await emptyEngine()
    for (const call of [engine.connect(options as never), engine.begin(() => undefined, options as never)]) {
      const failure = await errorOf(call)
      if ('autocommit' in options && failure.message.includes('begin has no option')) continue
      expect(failure).toBeInstanceOf(InvalidOptionError)
      expect(failure.message).toContain(message)
    }
  })
})

describe('after a failure', () => {
  test('the transaction refuses to go on until rollback', async () => {
    await using connection = await (await emptyEngine()).connect()
    await add(connection, 'one')
    const first = await errorOf(add(connection, 'one'))
    expect(first).toBeInstanceOf(UniqueViolationError)
    const second = await errorOf(connection.commit())
    expect(second).toBeInstanceOf(TransactionAbortedError)
    expect(second.cause).toBe(first)
    await connection.rollback()
    await add(connection, 'two')
    await connection.commit()
    expect(await stored()).toEqual(['two'])
  })

  test('the error leads to the line that awaits the statement, and holds no value', async () => {
    await using connection = await (await emptyEngine()).connect()
    const failure = await errorOf(connection.execute('select $1::int', ['hunter2']))
    expect(failure.stack).toContain('connection.test.ts')
    expect(failure).toMatchObject({ sqlState: '22P02', statement: 'select $1::int' })
    await using careful = await fixture.engine({ hideParameters: true }).connect()
    const hidden = await errorOf(careful.execute('select $1::int', ['hunter2']))
    const { inspect } = await import('node:util')
    expect(inspect(hidden, { depth: 9, showHidden: true }) + JSON.stringify(hidden)).not.toContain('hunter2')
  })
})

describe('a connection that is lost', () => {
  test('fails its transaction until rollback; then another one takes its place', async () => {
    const engine = await emptyEngine()
    await using connection = await engine.connect()
    await add(connection, 'one')
    await terminate(fixture.db, connection.processId)
    expect(await errorOf(add(connection, 'two'))).toBeInstanceOf(ConnectionLostError)
    expect(await errorOf(connection.commit())).toBeInstanceOf(ConnectionLostError)
    await connection.rollback()
    expect(connection.processId).toBeUndefined()
    await add(connection, 'three')
    await connection.commit()
    expect(await stored()).toEqual(['three'])
  })

  test('without a transaction is replaced without a word', async () => {
    const engine = await emptyEngine({ prePingSkipMillis: 0 })
    await using connection = await engine.connect()
    const first = connection.processId
    await terminate(fixture.db, first)
    await waitUntil(() => engine.stats().borrowed <= 1)
    await add(connection, 'one')
    await connection.commit()
    expect(connection.processId).not.toBe(first)
    expect(await stored()).toEqual(['one'])
  })
})

describe('invalidate()', () => {
  test('drops the connection and closes the object', async () => {
    const engine = await emptyEngine()
    const connection = await engine.connect()
    await add(connection, 'one')
    const pid = connection.processId
    await connection.invalidate(new Error('looks odd'))
    expect(connection.closed).toBe(true)
    expect(await errorOf(add(connection, 'two'))).toBeInstanceOf(ConnectionClosedError)
    await waitUntil(
      async () =>
        (await fixture.db.query('select 1 from pg_stat_activity where pid = $1', [pid])).length === 0,
    )
    expect(engine.stats()).toMatchObject({ borrowed: 0, idle: 0 })
    expect(await stored()).toEqual([])
  })

  test('drops the connection it has now, not the one it had first', async () => {
    const engine = await emptyEngine()
    const connection = await engine.connect()
    await add(connection, 'one')
    await terminate(fixture.db, connection.processId)
    await errorOf(add(connection, 'two'))
    await connection.rollback()
    await connection.execute('select 1')
    const pid = connection.processId
    await connection.invalidate()
    await waitUntil(
      async () =>
        (await fixture.db.query('select 1 from pg_stat_activity where pid = $1', [pid])).length === 0,
    )
    expect(engine.stats()).toMatchObject({ borrowed: 0, idle: 0 })
  })

  test('fails what is under way', async () => {
    const engine = await emptyEngine()
    const connection = await engine.connect()
    const sleeping = connection.execute('select pg_sleep(60)')
    await waitUntil(
      async () =>
        (
          await fixture.db.query(
            "select 1 from pg_stat_activity where state = 'active' and query = 'select pg_sleep(60)' and pid = $1",
            [connection.processId],
          )
        ).length === 1,
    )
    await connection.invalidate()
    expect(await errorOf(sleeping)).toBeInstanceOf(ConnectionLostError)
  })
})

describe('begin(fn) of a connection', () => {
  test('commits when it returns and rolls back when it throws', async () => {
    await using connection = await (await emptyEngine()).connect()
    expect(await connection.begin(async () => (await add(connection, 'one')).rowCount)).toBe(1)
    expect(connection.inTransaction).toBe(false)
    const reason = new Error('enough')
    const failure = await errorOf(
      connection.begin(async () => {
        await add(connection, 'two')
        throw reason
      }),
    )
    expect(failure).toBe(reason)
    expect(connection.inTransaction).toBe(false)
    expect(await stored()).toEqual(['one'])
  })

  test('gives an autocommit connection a transaction, and leaves it as it was', async () => {
    await using connection = await (await emptyEngine()).connect({ autocommit: true })
    await errorOf(
      connection.begin(async () => {
        await add(connection, 'one')
        throw new Error('enough')
      }),
    )
    await connection.begin(() => add(connection, 'two'))
    await add(connection, 'three')
    expect(connection.inTransaction).toBe(false)
    expect(await stored()).toEqual(['three', 'two'])
  })

  test('is refused while a transaction is open, and takes nothing but a function', async () => {
    await using connection = await (await emptyEngine()).connect()
    expect(await errorOf(connection.begin('x' as never))).toBeInstanceOf(InvalidOptionError)
    await add(connection, 'one')
    expect(await errorOf(connection.begin(() => undefined))).toBeInstanceOf(IllegalStateError)
    expect(await errorOf(connection.begin())).toBeInstanceOf(IllegalStateError)
    await connection.commit()
    expect(await stored()).toEqual(['one'])
  })
})

describe('begin() of a connection', () => {
  test('gives a transaction that is ended by hand', async () => {
    await using connection = await (await emptyEngine()).connect()
    const first = await connection.begin()
    await add(connection, 'one')
    await first.commit()
    const second = await connection.begin()
    await add(connection, 'two')
    await second.rollback()
    await second.rollback()
    expect(await stored()).toEqual(['one'])
    expect(await errorOf(first.commit())).toBeInstanceOf(IllegalStateError)
  })

  test('await using rolls back what was not committed', async () => {
    await using connection = await (await emptyEngine()).connect()
    {
      await using _transaction = await connection.begin()
      await add(connection, 'one')
    }
    {
      await using transaction = await connection.begin()
      await add(connection, 'two')
      await transaction.commit()
    }
    expect(connection.inTransaction).toBe(false)
    expect(await stored()).toEqual(['two'])
  })

  test('in autocommit mode, too', async () => {
    await using connection = await (await emptyEngine()).connect({ autocommit: true })
    const transaction = await connection.begin()
    await add(connection, 'one')
    expect(connection.inTransaction).toBe(true)
    await transaction.rollback()
    await add(connection, 'two')
    expect(connection.inTransaction).toBe(false)
    expect(await stored()).toEqual(['two'])
  })

  test('a transaction that failed cannot be committed, but rolled back', async () => {
    await using connection = await (await emptyEngine()).connect()
    const transaction = await connection.begin()
    await add(connection, 'one')
    await errorOf(add(connection, 'one'))
    expect(await errorOf(transaction.commit())).toBeInstanceOf(TransactionAbortedError)
    await transaction.rollback()
    await add(connection, 'two')
    await connection.commit()
    expect(await stored()).toEqual(['two'])
  })
})

describe('begin(fn) of the engine', () => {
  test('runs its block on a connection of its own, commits, and gives the value', async () => {
    const engine = await emptyEngine()
    const value = await engine.begin(async (connection) => {
      expect(engine.stats().borrowed).toBe(1)
      await add(connection, 'one')
      return 'value'
    })
    expect(value).toBe('value')
    expect(engine.stats().borrowed).toBe(0)
    expect(await stored()).toEqual(['one'])
  })

  test('rolls back when the block throws, and throws the same', async () => {
    const engine = await emptyEngine()
    const reason = new Error('enough')
    expect(
      await errorOf(
        engine.begin(async (connection) => {
          await add(connection, 'one')
          throw reason
        }),
      ),
    ).toBe(reason)
    expect(engine.stats().borrowed).toBe(0)
    expect(await stored()).toEqual([])
  })

  test('the connection is closed afterwards', async () => {
    const engine = await emptyEngine()
    let escaped: Connection | undefined
    await engine.begin((connection) => {
      escaped = connection
    })
    expect(await errorOf((escaped as Connection).execute('select 1'))).toBeInstanceOf(ConnectionClosedError)
  })

  test('an un-awaited statement is detected', async () => {
    const engine = await emptyEngine()
    let forgotten: Promise<unknown> | undefined
    const failure = await errorOf(
      engine.begin((connection) => {
        forgotten = add(connection, 'one')
        return 'too early'
      }),
    )
    expect(failure).toBeInstanceOf(UnawaitedStatementError)
    await forgotten
    expect(await stored()).toEqual([])
  })

  test('a failed COMMIT fails the block, and the connection is of use', async () => {
    const engine = await emptyEngine({ poolSize: 1, maxOverflow: 0 })
    const failure = await errorOf(
      engine.begin(async (connection) => {
        await connection.execute('create temp table t (a int unique deferrable initially deferred)')
        await connection.execute('insert into t values (1), (1)')
      }),
    )
    expect(failure).toBeInstanceOf(UniqueViolationError)
    await engine.begin((connection) => connection.execute('select 1'))
    expect(engine.stats().counters.connected).toBe(1)
  })

  test.each([undefined, null, 'select 1', {}])('a block that is %j is refused', async (work) => {
    const failure = await errorOf((await emptyEngine()).begin(work as never))
    expect(failure).toBeInstanceOf(InvalidOptionError)
    expect(failure.message).toContain('begin takes a function')
  })
})
