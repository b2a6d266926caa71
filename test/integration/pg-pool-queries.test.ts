/** `query` of pg.Pool's face, in every form of pg, against pg itself. */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from, to } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { InvalidStatementError } from '../../src/errors.js'
import { faced } from './pg-pool-support.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (id int primary key, title varchar(40), at timestamptz)')

let theirs: pg.Pool
beforeAll(() => {
  theirs = new pg.Pool({ connectionString: fixture.db.url, max: 1, allowExitOnIdle: true })
})
afterAll(() => theirs.end())

/** What is compared of a result. */
const figures = (result: pg.QueryResult | pg.QueryResult[]) =>
  [result].flat().map(({ command, rowCount, oid, rows, fields }) => ({
    command,
    rowCount,
    oid,
    rows: rows as unknown[],
    fields: fields.map((field) => ({ ...field })),
  }))

const shout = { getTypeParser: () => (text: string) => `${text}!` }

describe('a query gives what pg gives', () => {
  test.each<[string, unknown, unknown[]?]>([
    ['a text', 'select 1 as x, null as y, true as z'],
    ['a text with values', 'select $1::int as x, $2::text[] as y', [1, ['a', 'b"']]],
    [
      'dates, json, bytes',
      'select $1::timestamptz a, $2::jsonb b, $3::bytea c',
      [new Date(0), { a: 1 }, Buffer.from('x')],
    ],
    ['a config', { text: 'select $1::int as x', values: [1] }],
    ['a config with values beside it', { text: 'select $1::int as x' }, [2]],
    ['rows as arrays', { text: 'select 1 as x, 2 as x', rowMode: 'array' }],
    ['parsers of its own', { text: 'select 1 as x', types: shout }],
    ['a name', { name: 'one', text: 'select $1::int as x', values: [3] }],
    ['two columns of one name', 'select 1 as x, 2 as x'],
    ['several statements', 'select 1 as x; select 2 as y'],
    ['several statements, the last of them empty', 'select 1 as x; '],
    ['a semicolon in a literal', "select 'a;b' as x"],
    ['nothing', ''],
    ['a comment', '-- nothing'],
    ['a table', 'select * from songs'],
    ['rows page by page', { text: 'select * from generate_series(1, 10) i', rows: 3 }],
    ['the extended protocol', { text: 'select 1 as x', queryMode: 'extended' }],
    ['SET', "set application_name = 'x'"],
    ['DDL', 'create temp table made (id int)'],
    ['INSERT without RETURNING', "insert into songs values (1, 'Help!') on conflict do nothing"],
    ['DELETE with RETURNING', 'delete from songs returning id'],
  ])('for %s', async (_name, query, values) => {
    const { pool } = faced(fixture, { poolSize: 1, maxOverflow: 0 })
    await theirs.query('drop table if exists made')
    await theirs.query('truncate songs')
    const expected = await theirs.query(query as string, values as string[])
    await theirs.query('truncate songs')
    const result = await pool.query(query as string, values as string[])
    expect(figures(result as pg.QueryResult)).toEqual(figures(expected))
  })
})

describe('a refused query rejects with the error of pg', () => {
  test.each<[string, unknown, unknown[]?]>([
    ['a unique key', 'insert into songs values (1), (1)'],
    ['a syntax error', 'selec 1'],
    ['a syntax error among several', 'select 1; selec 2; select 3'],
    ['a wrong value', 'select $1::int', ['x']],
    ['several statements with values', 'select $1::int; select 2', [1]],
    ['COPY as a query', 'copy songs from stdin'],
  ])('for %s', async (_name, query, values) => {
    const { pool } = faced(fixture)
    const expected = await errorOf(theirs.query(query as string, values as string[]))
    const error = await errorOf(pool.query(query as string, values as string[]))
    expect(error).toBeInstanceOf(pg.DatabaseError)
    const { code, message, severity, position, constraint } = error as unknown as pg.DatabaseError
    expect({ code, message, severity, position, constraint }).toEqual({
      code: expected.code,
      message: expected.message,
      severity: expected.severity,
      position: expected.position,
      constraint: expected.constraint,
    })
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })

  test('its stack leads to the line that awaits it', async () => {
    const { pool } = faced(fixture)
    const error = await errorOf(pool.query('selec 1'))
    expect(error.stack).toContain('pg-pool-queries.test.ts')
  })

  test('what is no value, no array or no query rejects, and leaves the client as it was', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    expect(await errorOf(client.query('select $1', [new Set([1])]))).toBeInstanceOf(InvalidStatementError)
    expect((await errorOf(client.query('select $1', 'x' as never))).message).toBe(
      'Query values must be an array',
    )
    expect((await errorOf(client.query({} as never))).message).toContain('either text or a name')
    expect(() => client.query(null as never)).toThrow('Client was passed a null or undefined query')
    expect(() => client.query('select 1', [], 'x' as never)).toThrow('callback is not a function')
    expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    client.release()
  })
})

describe('names', () => {
  test('stand for their text on the same client', async () => {
    const { pool } = faced(fixture, { poolSize: 1, maxOverflow: 0 })
    await pool.query({ name: 'n', text: 'select $1::int as x', values: [1] })
    expect((await pool.query({ name: 'n', values: [2] } as pg.QueryConfig)).rows).toEqual([{ x: 2 }])
    const other = await errorOf(pool.query({ name: 'n', text: 'select 2' }))
    expect(other.message).toBe("Prepared statements must be unique - 'n' was used for a different statement")
    expect((await errorOf(pool.query({ name: 'unknown' } as never))).message).toContain("the name 'unknown'")
  })
})

test('parsers of a client serve its queries, also the next caller of the same connection', async () => {
  const { pool } = faced(fixture, { poolSize: 1, maxOverflow: 0 })
  const client = await pool.connect()
  client.setTypeParser(20, (text: string) => BigInt(text))
  expect((await client.query('select 1::int8 as x')).rows).toEqual([{ x: 1n }])
  expect(await client.query('select 1::int8 as x; select 2::int8 as x')).toMatchObject([
    { rows: [{ x: 1n }] },
    { rows: [{ x: 2n }] },
  ])
  client.release()
  expect((await pool.query('select 1::int8 as x')).rows).toEqual([{ x: 1n }])
})

describe('callbacks', () => {
  test('get results and errors, and the call returns nothing', async () => {
    const { pool } = faced(fixture)
    const called = <Value>(run: (callback: (error: Error | null, value?: Value) => void) => unknown) =>
      new Promise<{ error: Error | null | undefined; value: Value | undefined }>((resolve) => {
        expect(run((error, value) => resolve({ error, value }))).toBeUndefined()
      })
    const direct = await called<pg.QueryResult>((callback) => pool.query('select 1 as x', callback as never))
    // As in pg: undefined from a pool, null from a client.
    expect(direct).toMatchObject({ error: undefined, value: { rows: [{ x: 1 }] } })
    const withValues = await called<pg.QueryResult>((callback) =>
      pool.query('select $1::int as x', [2], callback as never),
    )
    expect(withValues.value?.rows).toEqual([{ x: 2 }])
    const several = await called((callback) => pool.query('select 1; select 2', callback as never))
    expect(several.value).toHaveLength(2)
    expect((await called((callback) => pool.query('selec', callback as never))).error).toMatchObject({
      code: '42601',
    })
    const client = await pool.connect()
    expect((await called((callback) => client.query('selec', callback as never))).error).toMatchObject({
      code: '42601',
    })
    const config = { text: 'select 3 as x', callback: undefined as unknown }
    const third = await called((callback) => client.query(Object.assign(config, { callback })))
    expect(third.value).toMatchObject({ rows: [{ x: 3 }] })
    client.release()
  })
})

test('queries that are not awaited run in order, and a failure keeps no later one from running', async () => {
  const { pool } = faced(fixture)
  const client = await pool.connect()
  await client.query('create temp table seen (i int)')
  const outcomes = await Promise.allSettled([
    client.query('insert into seen values (1)'),
    client.query('selec'),
    client.query('insert into seen values (2); insert into seen values (3)'),
    client.query('select array_agg(i order by i) as all from seen'),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  expect(outcomes[3]).toMatchObject({ value: { rows: [{ all: [1, 2, 3] }] } })
  client.release()
})

describe('Submittables', () => {
  test('a cursor is read and closed, and its client goes on', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    const cursor = client.query(
      new Cursor<{ i: number }>('select * from generate_series(1, $1::int) i', [100]),
    )
    expect(await cursor.read(2)).toEqual([{ i: 1 }, { i: 2 }])
    expect(await cursor.read(3)).toHaveLength(3)
    await cursor.close()
    expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    const whole = client.query(new Cursor('select 1'))
    expect(await whole.read(10)).toHaveLength(1)
    expect(await whole.read(10)).toHaveLength(0)
    await whole.close()
    client.release()
  })

  test('a cursor whose query fails may be closed after its error, early and late', async () => {
    const { pool } = faced(fixture, { poolSize: 1, maxOverflow: 0 })
    const client = await pool.connect()
    const cursor = client.query(new Cursor('select 1 / (3 - i) from generate_series(1, 5) i'))
    expect(await errorOf(cursor.read(10))).toMatchObject({ code: '22012' })
    await cursor.close()
    const late = client.query(new Cursor('selec'))
    expect(await errorOf(late.read(10))).toMatchObject({ code: '42601' })
    expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    await late.close()
    const { processID } = client
    client.release()
    expect((await pool.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid).toBe(processID)
  })

  test('a query stream gives its rows, is left early, and fails', async () => {
    const { pool } = faced(fixture, { poolSize: 1, maxOverflow: 0 })
    const client = await pool.connect()
    let rows = 0
    for await (const row of client.query(new QueryStream('select * from generate_series(1, 1000) i'))) {
      rows += (row as { i: number }).i > 0 ? 1 : 0
    }
    expect(rows).toBe(1000)
    for await (const row of client.query(new QueryStream('select * from generate_series(1, 1000) i'))) {
      if ((row as { i: number }).i === 5) break
    }
    const failing = client.query(new QueryStream('select 1 / (3 - i) from generate_series(1, 5) i'))
    expect(await errorOf(failing.toArray())).toMatchObject({ code: '22012' })
    expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    client.release()
  })

  test('COPY runs both ways, and fails', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    await client.query('truncate songs')
    await pipeline(Readable.from(['1\ta\t\\N\n', '2\tb\t\\N\n']), client.query(from('copy songs from stdin')))
    const chunks = await client.query(to('copy songs to stdout')).toArray()
    expect(String(Buffer.concat(chunks as Buffer[]))).toBe('1\ta\t\\N\n2\tb\t\\N\n')
    const twice = pipeline(Readable.from(['1\ta\t\\N\n']), client.query(from('copy songs from stdin')))
    expect(await errorOf(twice)).toMatchObject({ code: '23505' })
    expect(await errorOf(client.query(to('copy nowhere to stdout')).toArray())).toMatchObject({
      code: '42P01',
    })
    expect((await client.query('select count(*)::int as n from songs')).rows).toEqual([{ n: 2 }])
    client.release()
  })

  test('a Query of pg tells its rows as events', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    const query = client.query(new pg.Query('select * from generate_series(1, 3) i'))
    const seen: unknown[] = []
    query.on('row', (row: unknown) => seen.push(row))
    await once(query, 'end')
    expect(seen).toEqual([{ i: 1 }, { i: 2 }, { i: 3 }])
    client.release()
  })

  test('one that node-postgres refuses itself ends, and the next query runs', async () => {
    const { pool } = faced(fixture)
    const client = await pool.connect()
    const query = client.query(new pg.Query({ text: 'select $1', values: 'x' as never }))
    const [error] = (await once(query, 'error')) as [Error]
    expect(error.message).toBe('Query values must be an array')
    expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    client.release()
  })

  test('of pool.query keeps its client until it has ended', async () => {
    const { pool, engine } = faced(fixture)
    const stream = pool.query(new QueryStream('select * from generate_series(1, 1000) i'))
    expect(await stream.toArray()).toHaveLength(1000)
    const cursor = pool.query(new Cursor('select * from generate_series(1, 1000) i'))
    expect(await cursor.read(1)).toHaveLength(1)
    expect(engine.stats().borrowed).toBe(1)
    await cursor.close()
    await expect.poll(() => engine.stats().borrowed).toBe(0)
  })
})

test('query_timeout cancels the statement on the server, and the connection is used again', async () => {
  const { pool } = faced(fixture, { poolSize: 1, maxOverflow: 0 })
  const client = await pool.connect()
  const slow = { text: 'select pg_sleep(60)', query_timeout: 50 }
  expect((await errorOf(client.query(slow))).message).toBe('Query read timeout')
  expect((await client.query('select 1 as x')).rows).toEqual([{ x: 1 }])
  client.release()
})
