import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { beforeEach, expect, test } from 'vitest'
import { InvalidStatementError, TransactionAbortedError } from '../../src/errors.js'
import { UniqueViolationError } from '../../src/database-errors.js'
import { startProxy } from '../helpers/proxy.js'
import { errorOf, terminate, useDatabase, waitForBackend } from './session-support.js'

const fixture = useDatabase('create table notes (id int primary key, text text)')

beforeEach(async () => {
  await fixture.db.query('truncate notes')
})

const FROM = 'copy notes from stdin'
const TO = 'copy (select id, text from notes order by id) to stdout'

/** Lines of the text format. */
function* lines(count: number): Generator<string> {
  for (let id = 1; id <= count; id++) yield `${id}\tnote ${id}\n`
}

async function stored(): Promise<number> {
  const [row] = await fixture.db.query<{ count: string }>('select count(*) from notes')
  return Number(row?.count)
}

async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

test('copyFrom stores what is written to it, in the transaction of the session', async () => {
  await fixture.factory().withSession(async (session) => {
    await pipeline(Readable.from(lines(10_000)), await session.copyFrom(FROM))
    expect(await session.scalar<string>('select count(*) from notes')).toBe('10000')
    expect(await stored()).toBe(0)
  })
  expect(await stored()).toBe(10_000)
})

test('copyTo gives what the statement selects', async () => {
  await fixture.factory().withSession(async (session) => {
    await session.execute("insert into notes select n, 'note ' || n from generate_series(1, 20000) n")
    expect(await text(await session.copyTo(TO))).toBe([...lines(20_000)].join(''))
  })
})

test('a copy may be the first statement, and the last', async () => {
  const { withSession } = fixture.factory()
  await withSession(async (session) => pipeline(Readable.from(lines(3)), await session.copyFrom(FROM)))
  expect(await withSession(async (session) => text(await session.copyTo(TO)))).toBe([...lines(3)].join(''))
})

test('rolled back with the transaction', async () => {
  const { withSession } = fixture.factory()
  await errorOf(
    withSession(async (session) => {
      await pipeline(Readable.from(lines(10)), await session.copyFrom(FROM))
      throw new Error('enough')
    }),
  )
  expect(await stored()).toBe(0)
})

test('statements that were given meanwhile wait for the end of the stream', async () => {
  await using session = fixture.factory()()
  const stream = await session.copyFrom(FROM)
  const counting = session.scalar<string>('select count(*) from notes')
  const committing = session.commit()
  await pipeline(Readable.from(lines(100)), stream)
  expect(await counting).toBe('100')
  await committing
  expect(await stored()).toBe(100)
})

test('copies given at once run one after the other', async () => {
  await using session = fixture.factory()()
  const copy = async (id: number) => pipeline(Readable.from([`${id}\tx\n`]), await session.copyFrom(FROM))
  await Promise.all([copy(1), copy(2), copy(3), session.execute("insert into notes values (4, 'x')")])
  await session.commit()
  expect(await stored()).toBe(4)
})

test('a source that fails undoes the copy, and its error is the one of the pipeline', async () => {
  await using session = fixture.factory()()
  const failing = Readable.from(
    (function* () {
      yield* lines(10)
      throw new Error('disk gone')
    })(),
  )
  const failure = await errorOf(pipeline(failing, await session.copyFrom(FROM)))
  expect(failure.message).toBe('disk gone')
  expect(await errorOf(session.execute('select 1'))).toBeInstanceOf(TransactionAbortedError)
  await session.rollback()
  expect(await session.scalar('select 1')).toBe(1)
  expect(await stored()).toBe(0)
})

test('in a nested block a source that fails undoes that block only', async () => {
  await fixture.factory().withSession(async (session) => {
    await session.execute("insert into notes values (0, 'x')")
    const failure = await errorOf(
      session.beginNested(async () => {
        const failing = Readable.from(
          (function* () {
            yield* lines(10)
            throw new Error('disk gone')
          })(),
        )
        await pipeline(failing, await session.copyFrom(FROM))
      }),
    )
    expect(failure.message).toBe('disk gone')
  })
  expect(await stored()).toBe(1)
})

test('data that PostgreSQL refuses fails the pipeline, and the transaction with the same cause', async () => {
  await using session = fixture.factory()()
  const failure = await errorOf(
    pipeline(Readable.from(['1\tone\n', 'x\ttwo\n', ...lines(10_000)]), await session.copyFrom(FROM)),
  )
  expect(failure.message).toContain('invalid input syntax')
  const aborted = await errorOf(session.commit())
  expect(aborted).toBeInstanceOf(TransactionAbortedError)
  expect(aborted.cause).toMatchObject({ code: 'DATABASE_ERROR', sqlState: '22P02' })
  await session.rollback()
  expect(await session.scalar('select 1')).toBe(1)
})

test('a constraint that fails at the end of the copy is an error of it', async () => {
  await using session = fixture.factory()()
  await session.execute("insert into notes values (1, 'x')")
  const failure = await errorOf(pipeline(Readable.from(lines(1)), await session.copyFrom(FROM)))
  expect(failure.message).toContain('duplicate key')
  expect((await errorOf(session.commit())).cause).toBeInstanceOf(UniqueViolationError)
  await session.rollback()
})

test('a table that does not exist', async () => {
  await using session = fixture.factory()()
  const failure = await errorOf(
    (async () => pipeline(Readable.from(lines(1)), await session.copyFrom('copy nowhere from stdin')))(),
  )
  expect(failure.message).toContain('nowhere')
  await session.rollback()
  const reading = await errorOf((async () => text(await session.copyTo('copy nowhere to stdout')))())
  expect(reading.message).toContain('nowhere')
  await session.rollback()
  expect(await session.scalar('select 1')).toBe(1)
})

test('a reader that stops early ends the copy; the session goes on after a rollback', async () => {
  await using session = fixture.factory()()
  await session.execute("insert into notes select n, repeat('x', 1000) from generate_series(1, 20000) n")
  const stream = await session.copyTo(TO)
  for await (const _chunk of stream) break
  await session.rollback()
  expect(await session.scalar('select 1')).toBe(1)
})

const ENDLESS =
  "copy (select repeat('x', 1000) from generate_series(1, 10000) as a, generate_series(1, 1000000) as b) to stdout"

test('a block whose reader stops early fails with that as its cause, is not repeated, and keeps its connection', async () => {
  const { withSession, bind } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
  let runs = 0
  const failure = await errorOf(
    withSession(
      async (session) => {
        runs += 1
        for await (const _chunk of await session.copyTo(ENDLESS)) break
      },
      { retry: { attempts: 3, backoff: () => 0 } },
    ),
  )
  expect(failure).toBeInstanceOf(TransactionAbortedError)
  expect(failure.cause).toMatchObject({ code: 'ABORTED', name: 'AbortError' })
  expect((failure.cause as Error).message).toContain('COPY stream was closed early')
  expect(runs).toBe(1)
  await withSession((session) => session.execute('select 1'))
  expect(bind.stats().counters.connected).toBe(1)
})

test('in a nested block a reader that stops early undoes that block only', async () => {
  await fixture.factory().withSession(async (session) => {
    await session.execute("insert into notes values (0, 'x')")
    const failure = await errorOf(
      session.beginNested(async () => {
        await session.execute("insert into notes values (1, 'x')")
        for await (const _chunk of await session.copyTo(ENDLESS)) break
      }),
    )
    expect(failure).toBeInstanceOf(TransactionAbortedError)
    expect(failure.cause).toMatchObject({ code: 'ABORTED' })
    expect(await session.scalar<string>('select count(*) from notes')).toBe('1')
  })
  expect(await stored()).toBe(1)
})

test('in autocommit mode nothing is lost by a reader that stops early', async () => {
  const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 }, { autocommit: true })
  await using session = sessions()
  for await (const _chunk of await session.copyTo(ENDLESS)) break
  expect(await session.scalar('select 1')).toBe(1)
  expect(sessions.bind.stats().counters.connected).toBe(1)
})

test('a copy that the server has finished fails nothing when it is left', async () => {
  const application = 'copy-left'
  const settings = { serverSettings: { application_name: application } }
  await fixture.factory({ connectArgs: settings }).withSession(async (session) => {
    const stream = await session.copyTo('copy (select 1) to stdout')
    await waitForBackend(fixture.db, application, ({ state }) => state === 'idle in transaction')
    stream.destroy()
    expect(await session.scalar('select 1')).toBe(1)
  })
})

test('a slow reader holds the server back', async () => {
  await using session = fixture.factory()()
  await session.execute("insert into notes select n, repeat('x', 1000) from generate_series(1, 5000) n")
  let bytes = 0
  const slow = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      setImmediate(done)
    },
  })
  await pipeline(await session.copyTo(TO), slow)
  expect(bytes).toBeGreaterThan(5_000_000)
  expect(await session.scalar('select 1')).toBe(1)
})

test('a block that throws while its copy is open is rolled back, and does not hang', async () => {
  const { withSession, bind } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
  const failure = await errorOf(
    withSession(async (session) => {
      const stream = await session.copyFrom(FROM)
      stream.on('error', () => undefined)
      stream.write('1\tone\n')
      throw new Error('enough')
    }),
  )
  expect(failure.message).toBe('enough')
  expect(bind.stats().borrowed).toBe(0)
  // The server was told that the copy has failed, and is ready for more.
  await withSession((session) => session.execute('select 1'))
  expect(bind.stats().counters.connected).toBe(1)
  expect(await stored()).toBe(0)
  const reading = await errorOf(
    withSession(async (session) => {
      await session.execute("insert into notes select n, repeat('x', 1000) from generate_series(1, 20000) n")
      const stream = await session.copyTo(TO)
      stream.on('error', () => undefined)
      throw new Error('enough')
    }),
  )
  expect(reading.message).toBe('enough')
  expect(bind.stats().borrowed).toBe(0)
})

test('a block that returns while its copy is open is rolled back, and told so', async () => {
  const { withSession } = fixture.factory()
  const failure = await errorOf(
    withSession(async (session) => {
      const stream = await session.copyFrom(FROM)
      stream.on('error', () => undefined)
      stream.write('1\tone\n')
    }),
  )
  expect(failure['code']).toBe('UNAWAITED_STATEMENT')
  expect(failure.message).toContain(FROM)
  expect(await stored()).toBe(0)
})

test('a session that is closed while its copy is open does not hang', async () => {
  const sessions = fixture.factory()
  const session = sessions()
  const stream = await session.copyFrom(FROM)
  stream.on('error', () => undefined)
  stream.write('1\tone\n')
  await session.close()
  expect(sessions.bind.stats().borrowed).toBe(0)
  expect(await stored()).toBe(0)
})

test('an abort of the block ends its copy', async () => {
  const { withSession, bind } = fixture.factory()
  const controller = new AbortController()
  const failure = await errorOf(
    withSession(
      async (session) => {
        const stream = await session.copyFrom(FROM)
        stream.on('error', () => undefined)
        stream.write('1\tone\n')
        controller.abort()
        await new Promise((resolve) => stream.once('close', resolve))
      },
      { signal: controller.signal },
    ),
  )
  expect(failure.name).toBe('AbortError')
  expect(bind.stats().borrowed).toBe(0)
  expect(await stored()).toBe(0)
})

test('a connection that dies fails the pipeline', async () => {
  const { withSession } = fixture.factory()
  const failure = await errorOf(
    withSession(async (session) => {
      const pid = (await session.scalar<number>('select pg_backend_pid()')) ?? 0
      const stream = await session.copyFrom(FROM)
      stream.write('1\tone\n')
      await terminate(fixture.db, pid)
      await pipeline(Readable.from(lines(100_000)), stream)
    }),
  )
  expect(failure).toBeInstanceOf(Error)
  expect(await stored()).toBe(0)
})

test('in autocommit mode a copy is stored by itself', async () => {
  await using session = fixture.factory({}, { autocommit: true })()
  await pipeline(Readable.from(lines(5)), await session.copyFrom(FROM))
  // The stream has ended when PostgreSQL has confirmed.
  expect(await stored()).toBe(5)
})

test.each([
  ['copyFrom', 'insert into notes values (1)'],
  ['copyFrom', "copy notes from '/etc/passwd'"],
  ['copyFrom', TO],
  ['copyTo', FROM],
  ['copyTo', 'select 1'],
  ['copyTo', undefined as never],
] as const)('%s refuses %j', async (method, statement) => {
  await using session = fixture.factory()()
  expect(await errorOf(session[method](statement))).toBeInstanceOf(InvalidStatementError)
  expect(session.inTransaction).toBe(false)
})

test('a copy as a plain statement is refused, with what to call', async () => {
  await using session = fixture.factory()()
  const failure = await errorOf(session.execute(FROM))
  expect(failure).toBeInstanceOf(InvalidStatementError)
  expect(failure.message).toContain('copyFrom()')
})

test('a copy over a slow network arrives whole', async () => {
  using proxy = await startProxy(fixture.db.url)
  proxy.delay(2)
  await fixture.factory({ url: proxy.url }).withSession(async (session) => {
    await pipeline(Readable.from(lines(5000)), await session.copyFrom(FROM))
    expect(await text(await session.copyTo(TO))).toBe([...lines(5000)].join(''))
  })
  expect(await stored()).toBe(5000)
})
