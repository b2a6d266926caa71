import { describe, expect, test } from 'vitest'
import {
  IllegalStateError,
  InvalidOptionError,
  InvalidStatementError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import type { Session } from '../../src/session/session.js'
import { sql } from '../../src/sql.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, gate, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table numbers (n int primary key)')

const open = (...options: Parameters<typeof fixture.factory>): Session => fixture.factory(...options)()

/** How many cursors of ours the transaction has open. */
const cursors = (session: Session) =>
  session.scalar<number>("select count(*)::int from pg_cursors where name like 'lifeguard%'")

async function read<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const found: Row[] = []
  for await (const row of rows) found.push(row)
  return found
}

test('every row comes once, in order', async () => {
  await using session = open()
  const rows = session.stream<{ n: number }>('select n from generate_series(1, 1234) n', { batchSize: 100 })
  expect(await read(rows)).toEqual(Array.from({ length: 1234 }, (_, index) => ({ n: index + 1 })))
})

test.each(['', ' ', '-- nothing yet', ';'])('the statement %j gives none', async (text) => {
  await using session = open()
  expect(await read(session.stream(text))).toEqual([])
  expect(await session.scalar('select 1')).toBe(1)
})

test.each([
  ['no rows', 0],
  ['fewer rows than a page', 3],
  ['exactly one page', 10],
  ['exactly two pages', 20],
  ['one row more than a page', 11],
])('%s', async (_what, count) => {
  await using session = open()
  const rows = await read(session.stream('select generate_series(1, $1)', [count], { batchSize: 10 }))
  expect(rows).toHaveLength(count)
  expect(await cursors(session)).toBe(0)
})

test('a hundred thousand rows: never more than a page is in memory, and a page costs one round trip', async () => {
  using proxy = await startProxy(fixture.db.url)
  await using session = open({ url: proxy.url })
  await session.execute('select 1')
  proxy.reset()
  let [count, sum, largest] = [0, 0, 0]
  const stream = session.stream<{ n: number; padding: string }>(
    "select n, repeat('x', 100) as padding from generate_series(1, 100000) n",
    { batchSize: 1000 },
  )
  for await (const page of stream.pages()) {
    largest = Math.max(largest, page.length)
    count += page.length
    for (const { n } of page) sum += n
  }
  expect([count, sum, largest]).toEqual([100_000, 5_000_050_000, 1000])
  const executes = proxy.connections
    .flatMap((connection) => connection.names('client'))
    .filter((name) => name === 'Execute')
  expect(executes).toHaveLength(101)
})

test('the server does not run ahead: it makes only the requested rows', async () => {
  await using session = open()
  await session.executeScript('create temp sequence calls')
  const stream = session.stream("select nextval('calls') from generate_series(1, 100000)", { batchSize: 10 })
  for await (const _row of stream) break
  expect(await session.scalar<string>('select last_value from calls')).toBe('10')
})

test('by default a page has 500 rows', async () => {
  await using session = open()
  const sizes: number[] = []
  for await (const page of session.stream('select generate_series(1, 1200)').pages()) sizes.push(page.length)
  expect(sizes).toEqual([500, 500, 200])
})

test('values, options, the sql tag and array rows', async () => {
  await using session = open()
  expect(await read(session.stream<{ n: number }>('select $1::int as n', [7]))).toEqual([{ n: 7 }])
  expect(await read(session.stream<{ n: number }>(sql`select ${8}::int as n`, { batchSize: 1 }))).toEqual([
    { n: 8 },
  ])
  const arrays = session.stream<number[]>(
    { text: 'select n, n * 2 from generate_series(1, 3) n', rowMode: 'array' },
    { batchSize: 2 },
  )
  expect(await read(arrays)).toEqual([
    [1, 2],
    [2, 4],
    [3, 6],
  ])
})

test('leaving the loop closes the cursor on the server', async () => {
  await using session = open()
  for await (const _row of session.stream('select generate_series(1, 1000)', { batchSize: 10 })) break
  expect(await cursors(session)).toBe(0)
  const stream = session.stream('select generate_series(1, 1000)', { batchSize: 10 })
  await stream[Symbol.asyncIterator]().next()
  expect(await cursors(session)).toBe(1)
  stream.close()
  expect(await cursors(session)).toBe(0)
})

test('await using closes the cursor, too, and so does the end of the transaction', async () => {
  await using session = open()
  {
    await using stream = session.stream('select generate_series(1, 1000)', { batchSize: 10 })
    await stream[Symbol.asyncIterator]().next()
  }
  expect(await cursors(session)).toBe(0)
  const stream = session.stream('select generate_series(1, 1000)', { batchSize: 10 })
  await stream[Symbol.asyncIterator]().next()
  await session.commit()
  expect(await cursors(session)).toBe(0)
  stream.close()
  expect(await session.scalar('select 1')).toBe(1)
})

test('other statements run in between, and other streams', async () => {
  await using session = open()
  await session.execute('delete from numbers')
  const odd = session.stream<{ n: number }>('select n from generate_series(1, 9, 2) n', { batchSize: 1 })
  const even = session.stream<{ n: number }>('select n from generate_series(2, 10, 2) n', { batchSize: 2 })
  const evens = even[Symbol.asyncIterator]()
  for await (const { n } of odd) {
    await session.execute('insert into numbers values ($1)', [n])
    const next = await evens.next()
    if (next.done !== true) await session.execute('insert into numbers values ($1)', [next.value.n])
  }
  expect(await session.scalars('select n from numbers order by n')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
})

test('a cursor survives that its prepared statement is pushed out of the cache', async () => {
  await using session = open({ statementCacheSize: 2 })
  const seen: number[] = []
  for await (const { n } of session.stream<{ n: number }>('select n from generate_series(1, 12) n', {
    batchSize: 3,
  })) {
    seen.push(n)
    for (const column of ['a', 'b', 'c', 'd']) await session.execute(`select 1 as ${column}`)
  }
  expect(seen).toHaveLength(12)
})

test('without prepared statements, too', async () => {
  await using session = open({ statementCacheSize: 0 })
  const seen: number[] = []
  for await (const { n } of session.stream<{ n: number }>('select n from generate_series(1, $1) n', [5], {
    batchSize: 2,
  })) {
    seen.push(n)
    await session.execute('select 1')
  }
  expect(seen).toEqual([1, 2, 3, 4, 5])
})

test('an error in the middle comes after the rows before it, and fails the transaction', async () => {
  await using session = open()
  const seen: number[] = []
  const failure = await errorOf(
    (async () => {
      const rows = session.stream<{ n: number }>(
        'select 10 / (25 - n) as q, n from generate_series(1, 100) n',
        {
          batchSize: 10,
        },
      )
      for await (const { n } of rows) seen.push(n)
    })(),
  )
  expect(failure['sqlState']).toBe('22012')
  expect(failure.stack).toContain('streaming.test.ts')
  expect(seen).toHaveLength(20)
  expect((await errorOf(session.execute('select 1'))).cause).toBe(failure)
  await session.rollback()
  expect(await session.scalar('select 1')).toBe(1)
})

test('an error in the middle inside of a nested block undoes that block only', async () => {
  await using session = open()
  const failure = await errorOf(
    session.beginNested(() =>
      read(session.stream('select 10 / (25 - n) from generate_series(1, 100) n', { batchSize: 10 })),
    ),
  )
  expect(failure['sqlState']).toBe('22012')
  expect(await session.scalar('select 1')).toBe(1)
})

test('a statement that is wrong fails at the first row', async () => {
  await using session = open()
  const stream = session.stream('select * from nowhere')
  expect((await errorOf(read(stream)))['sqlState']).toBe('42P01')
})

test('a throw in the loop closes the cursor and leaves the transaction usable', async () => {
  await using session = open()
  const failure = await errorOf(
    (async () => {
      for await (const _row of session.stream('select generate_series(1, 1000)', { batchSize: 10 })) {
        throw new Error('enough')
      }
    })(),
  )
  expect(failure.message).toBe('enough')
  expect(await cursors(session)).toBe(0)
})

test('a stream begins the transaction like any statement, and is part of withSession', async () => {
  const { withSession } = fixture.factory()
  const rows = await withSession((session) => {
    expect(session.inTransaction).toBe(false)
    return read(session.stream('select generate_series(1, 3) as n', { batchSize: 2 }))
  })
  expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
})

test('what was read of a cursor whose transaction has ended is kept; reading on is refused by name', async () => {
  await using session = open()
  const rows = session
    .stream<{ n: number }>('select generate_series(1, 10) as n', { batchSize: 2 })
    [Symbol.asyncIterator]()
  expect((await rows.next()).value).toEqual({ n: 1 })
  await session.commit()
  expect((await rows.next()).value).toEqual({ n: 2 })
  const failure = await errorOf(rows.next())
  expect(failure).toBeInstanceOf(IllegalStateError)
  expect(failure.message).toContain('transaction')
  expect(await session.scalar('select 1')).toBe(1)
})

test('a cursor that a savepoint has taken with it is refused by name, too', async () => {
  await using session = open()
  await session.execute('select 1')
  let rows: AsyncIterator<{ n: number }> | undefined
  await session
    .beginNested(async () => {
      rows = session
        .stream<{ n: number }>('select generate_series(1, 10) as n', { batchSize: 1 })
        [Symbol.asyncIterator]()
      await rows.next()
      throw new Error('undo')
    })
    .catch(() => undefined)
  const failure = await errorOf(rows?.next() as Promise<unknown>)
  expect(failure['sqlState']).toBe('34000')
})

test('in autocommit mode it needs begin()', async () => {
  await using session = open({}, { autocommit: true })
  const failure = await errorOf(read(session.stream('select 1 as n')))
  expect(failure).toBeInstanceOf(IllegalStateError)
  expect(failure.message).toContain('begin()')
  expect(await session.begin(() => read(session.stream('select 1 as n')))).toEqual([{ n: 1 }])
})

test('a connection that dies in the middle ends the stream with an error, and rollback recovers', async () => {
  await using session = open()
  const seen: unknown[] = []
  const failure = await errorOf(
    (async () => {
      for await (const row of session.stream(
        'select n, pg_backend_pid() as pid from generate_series(1, 100) n',
        {
          batchSize: 10,
        },
      )) {
        seen.push(row)
        if (seen.length === 15) await terminate(fixture.db, (row as { pid: number }).pid)
      }
    })(),
  )
  expect(failure['code']).toBe('CONNECTION_LOST')
  expect(seen).toHaveLength(20)
  await session.rollback()
  expect(await session.scalar('select 1')).toBe(1)
})

describe('an abort', () => {
  test('before the first row', async () => {
    await using session = open()
    const failure = await errorOf(read(session.stream('select 1', { signal: AbortSignal.abort() })))
    expect(failure.name).toBe('AbortError')
  })

  test('while a page is made cancels it on the server', async () => {
    await using session = open()
    const pid = await session.scalar('select pg_backend_pid()')
    const controller = new AbortController()
    const stream = session.stream(
      'select n, pg_sleep(case when n > 10 then 60 else 0 end) from generate_series(1, 100) n',
      {
        batchSize: 10,
        signal: controller.signal,
      },
    )
    let count = 0
    const reading = errorOf(
      (async () => {
        for await (const _row of stream) if (++count === 10) setTimeout(() => controller.abort(), 50)
      })(),
    )
    expect((await reading).name).toBe('AbortError')
    expect(count).toBe(10)
    await session.rollback()
    expect(await session.scalar('select pg_backend_pid()')).toBe(pid)
  })
})

test.each([0, -1, 1.5, Number.NaN, '10' as never])('a batchSize of %j is refused', (batchSize) => {
  const session = open()
  expect(() => session.stream('select 1', { batchSize })).toThrow(InvalidOptionError)
})

test('what is no statement is refused at once', () => {
  const session = open()
  expect(() => session.stream(undefined as never)).toThrow(InvalidStatementError)
  expect(() => session.stream('commit')).toThrow(InvalidStatementError)
})

test('a connection of the engine streams, too', async () => {
  const rows = await fixture
    .engine()
    .begin((connection) => read(connection.stream('select generate_series(1, 3) n')))
  expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
})

describe('a loop that the block does not await', () => {
  test.each([
    ['between two pages', 'select generate_series(1, 5) n', 2],
    ['in the middle of its last page', 'select generate_series(1, 2) n', 10],
  ])('is noticed %s, and the block rolled back', async (_where, statement, batchSize) => {
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    const mayGoOn = gate()
    const isReading = gate()
    let loop: Promise<unknown> | undefined
    const error = await errorOf(
      withSession(async (session) => {
        loop = (async () => {
          for await (const _row of session.stream(statement, { batchSize })) {
            isReading.open()
            await mayGoOn.opened
          }
        })()
        loop.catch(() => undefined)
        await isReading.opened
      }),
    )
    expect(error).toBeInstanceOf(UnawaitedStatementError)
    expect(error).toMatchObject({ statements: [statement] })
    expect(error.message).toContain('a stream of it was still being read')
    mayGoOn.open()
    await Promise.allSettled([loop])
  })

  test('is no loop that was left, ended, closed, or belonged to an earlier transaction', async () => {
    const { withSession } = fixture.factory()
    const many = 'select generate_series(1, 5) n'
    const value = await withSession(async (session) => {
      await session.stream(many, { batchSize: 2 })[Symbol.asyncIterator]().next()
      await session.rollback()
      for await (const _row of session.stream(many, { batchSize: 2 })) break
      const closed = session.stream(many, { batchSize: 2 })
      await closed[Symbol.asyncIterator]().next()
      closed.close()
      await errorOf(session.beginNested(() => read(session.stream('select 1/0'))))
      session.stream(many)
      return (await read(session.stream(many, { batchSize: 2 }))).length
    })
    expect(value).toBe(5)
  })
})
