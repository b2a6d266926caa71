/** `lifeguard/testing`: a transaction around a test, also around code that opens its own blocks. */
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { createSessionFactory, isRetryable, type Engine, type SessionFactory } from 'lifeguard'
import { expectNoLeaks, rollbackEach, withRollback } from 'lifeguard/testing'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table songs (id serial primary key, title text not null unique)',
  'create table plays (id serial primary key, song integer references songs deferrable initially deferred)',
  'create role limited',
)

interface Service {
  readonly engine: Engine
  readonly withSession: SessionFactory['withSession']
  readonly sessionFactory: SessionFactory
  add(title: string): Promise<void>
  titles(): Promise<string[]>
}

function service(options: Parameters<typeof fixture.engine>[0] = {}): Service {
  const engine = fixture.engine(options)
  const sessionFactory = createSessionFactory({ bind: engine })
  const { withSession } = sessionFactory
  return {
    engine,
    sessionFactory,
    withSession,
    add: (title) =>
      withSession(
        async (session) => void (await session.execute('insert into songs (title) values ($1)', [title])),
      ),
    titles: () => withSession((session) => session.scalars<string>('select title from songs order by id')),
  }
}

/** What another connection sees. */
async function stored(): Promise<string[]> {
  const rows = await fixture.db.query('select title from songs order by id')
  return (rows as { title: string }[]).map(({ title }) => title)
}

describe('code under test', () => {
  test('commits, which the rest of the test sees, and nothing is stored', async () => {
    const { engine, add, titles } = service()
    await withRollback(engine, async () => {
      await add('a')
      await engine.begin((connection) => connection.execute("insert into songs (title) values ('b')"))
      const connection = await engine.connect({ autocommit: true })
      await connection.execute("insert into songs (title) values ('c')")
      await connection.close()
      expect(await titles()).toEqual(['a', 'b', 'c'])
      expect(await stored()).toEqual([])
      await expectNoLeaks(engine)
    })
    expect(await titles()).toEqual([])
    await expectNoLeaks(engine)
  })

  test('rolls back its own work only, also after an error', async () => {
    const { engine, withSession, add, titles } = service()
    await withRollback(engine, async () => {
      await add('kept')
      expect(await errorOf(add('kept'))).toMatchObject({ sqlState: '23505' })
      await errorOf(
        withSession(async (session) => {
          await session.execute("insert into songs (title) values ('lost')")
          throw new Error('of the code')
        }),
      )
      await errorOf(
        (async () => {
          const connection = await engine.connect({ autocommit: true })
          try {
            await connection.execute("insert into songs (title) values ('kept')")
          } finally {
            await connection.close()
          }
        })(),
      )
      await add('after')
      expect(await titles()).toEqual(['kept', 'after'])
    })
    expect(await stored()).toEqual([])
  })

  test('fails at COMMIT where a deferred constraint would', async () => {
    const { engine, withSession, titles, add } = service()
    await withRollback(engine, async () => {
      const error = await errorOf(
        withSession(async (session) => {
          await session.execute("insert into songs (title) values ('lost')")
          await session.execute('insert into plays (song) values (-1)')
        }),
      )
      expect(error).toMatchObject({ sqlState: '23503' })
      expect(await titles()).toEqual([])
      // It is deferred again: the row that it refers to comes later.
      await withSession(async (session) => {
        await session.execute('insert into plays (song) values (1000)')
        await session.execute("insert into songs (id, title) values (1000, 'late')")
      })
      await add('more')
      expect(await titles()).toHaveLength(2)
    })
  })

  test('nests savepoints, commits step by step, and runs hooks', async () => {
    const { engine, sessionFactory, withSession, titles } = service()
    const hooks: string[] = []
    await withRollback(sessionFactory, async () => {
      await withSession(async (session) => {
        session.afterCommit(() => void hooks.push('committed'))
        await session.execute("insert into songs (title) values ('outer')")
        await errorOf(
          session.beginNested(async () => {
            await session.execute("insert into songs (title) values ('inner')")
            throw new Error('undo')
          }),
        )
      })
      const session = sessionFactory()
      await session.execute("insert into songs (title) values ('one')")
      await session.commit()
      await session.execute("insert into songs (title) values ('two')")
      await session.rollback()
      await session.close()
      expect(await titles()).toEqual(['outer', 'one'])
    })
    expect(hooks).toEqual(['committed'])
    await expectNoLeaks(engine)
  })

  test('is read-only, has its role and settings, and the next block does not', async () => {
    const { engine, withSession, add } = service()
    const role = (options = {}): Promise<unknown> =>
      withSession(
        (session) => session.scalar("select current_user || current_setting('app.tenant', true)"),
        options,
      )
    await withRollback(engine, async () => {
      await add('a')
      const write = withSession((session) => session.execute("insert into songs (title) values ('b')"), {
        readOnly: true,
      })
      expect(await errorOf(write)).toMatchObject({ sqlState: '25006' })
      expect(await role({ role: 'limited', settings: { 'app.tenant': '7' } })).toBe('limited7')
      expect(await role()).toBe('lifeguard')
      await add('b')
    })
  })

  test('is run again by retry', async () => {
    const { engine, withSession, titles } = service()
    let runs = 0
    await withRollback(engine, async () => {
      await withSession(
        async (session) => {
          await session.execute("insert into songs (title) values ('once')")
          if (++runs === 1)
            await session.execute("do $$ begin raise exception using errcode = '40001'; end $$")
        },
        { retry: { attempts: 2, backoff: () => 0 } },
      )
      expect(await titles()).toEqual(['once'])
    })
    expect(runs).toBe(2)
  })
})

describe('several at a time', () => {
  test('parallel blocks run one after the other, each with its own outcome', async () => {
    const { engine, withSession, titles } = service({ poolSize: 5, maxOverflow: 0 })
    await withRollback(engine, async () => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 50 }, (_, index) =>
          withSession(async (session) => {
            await session.execute('insert into songs (title) values ($1)', [`song ${String(index)}`])
            await session.execute('select 1')
            if (index % 2 === 1) throw new Error('odd')
          }),
        ),
      )
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(25)
      const found = await titles()
      expect(found).toHaveLength(25)
      expect(found.every((title) => Number(title.slice(5)) % 2 === 0)).toBe(true)
    })
    expect(await stored()).toEqual([])
  })

  test('a block inside of a block is inside of its transaction; siblings wait for each other', async () => {
    const { engine, withSession, add, titles } = service()
    await withRollback(engine, async () => {
      await withSession(async (session) => {
        await session.execute("insert into songs (title) values ('outer')")
        await Promise.allSettled([
          add('first'),
          withSession(async (inner) => {
            await inner.execute("insert into songs (title) values ('second')")
            throw new Error('undo')
          }),
          add('third'),
        ])
        expect(await session.scalars('select title from songs order by title')).toEqual([
          'first',
          'outer',
          'third',
        ])
      })
      expect(await titles()).toHaveLength(3)
    })
  })

  test('an outer session that its inner block waits for is told, instead of waiting for ever', async () => {
    const { engine, withSession } = service()
    const error = await errorOf(
      withRollback(
        engine,
        () =>
          withSession(async (outer) => {
            await outer.execute('select 1')
            await withSession(async (inner) => {
              await inner.execute('select 1')
              await outer.execute('select 2')
            })
          }),
        { waitMillis: 50 },
      ),
    )
    expect(String(error.message) + String((error.cause as Error | undefined)?.message)).toContain(
      'End the inner session first',
    )
    await expectNoLeaks(engine)
  })

  test('one engine serves one test at a time', async () => {
    const { engine } = service()
    const second = await withRollback(engine, () => errorOf(withRollback(engine, () => 1)))
    expect(second.message).toContain('The engine runs another test already: end that test first')
    expect(await withRollback(engine, () => 1)).toBe(1)
  })
})

describe('what is not a plain statement', () => {
  test('streams, COPY and scripts are part of it', async () => {
    const { engine, withSession, titles } = service()
    await withRollback(engine, async () => {
      await withSession(async (session) => {
        await pipeline(Readable.from(['x\n', 'y\n']), await session.copyFrom('copy songs (title) from stdin'))
        await session.executeScript("insert into songs (title) values ('z'); select 1")
        const seen: unknown[] = []
        for await (const row of session.stream('select title from songs order by title', { batchSize: 1 }))
          seen.push(row)
        expect(seen).toHaveLength(3)
      })
      const connection = await engine.connect({ autocommit: true })
      await connection.executeScript("insert into songs (title) values ('auto'); select 1")
      await pipeline(Readable.from(['copied\n']), await connection.copyFrom('copy songs (title) from stdin'))
      await connection.close()
      expect(await titles()).toHaveLength(5)
    })
    expect(await stored()).toEqual([])
  })

  test('LISTEN, and a script with a COMMIT of its own, are refused', async () => {
    const { engine, titles } = service()
    await withRollback(engine, async () => {
      const listening = Promise.resolve().then(() => engine.listen('channel').next())
      expect((await errorOf(listening)).message).toContain('would hear nothing inside of withRollback')
      const connection = await engine.connect({ autocommit: true })
      const script = "begin; insert into songs (title) values ('x'); commit"
      expect((await errorOf(connection.executeScript(script))).message).toContain('createTestDatabase')
      await connection.close()
      expect(await titles()).toEqual([])
    })
    expect(await stored()).toEqual([])
  })

  test('an abort cancels its statement, and the rest goes on', async () => {
    const { engine, withSession, titles, add } = service()
    await withRollback(engine, async () => {
      await add('before')
      const slow = withSession((session) => session.execute('select pg_sleep(30)', { timeoutMillis: 30 }))
      expect(await errorOf(slow)).toMatchObject({ sqlState: '57014' })
      expect(await titles()).toEqual(['before'])
    })
  })

  test('a lost connection fails the test with the cause, and the next test has another', async () => {
    const { engine, withSession, titles } = service()
    const error = await errorOf(
      withRollback(engine, async () => {
        await errorOf(
          withSession((session) => session.execute('select pg_terminate_backend(pg_backend_pid())')),
        )
      }),
    )
    expect(isRetryable(error) || error.message !== '').toBe(true)
    expect(await withRollback(engine, () => titles())).toEqual([])
  })
})

describe('for the hooks of a runner', () => {
  test('begin and rollback, also twice and without a test between', async () => {
    const { engine, add, titles } = service()
    const { begin, rollback } = rollbackEach(engine)
    await rollback()
    await begin()
    await add('a')
    await begin()
    expect(await titles()).toEqual([])
    await add('b')
    await rollback()
    await rollback()
    expect(await stored()).toEqual([])
  })

  test.each([false, true])(
    'rollbackEach registers itself with the hooks of a runner; an engine that is made later: %s',
    async (isLate) => {
      const { engine, add, titles } = service()
      const registered: Record<'beforeEach' | 'afterEach', (() => Promise<void>)[]> = {
        beforeEach: [],
        afterEach: [],
      }
      rollbackEach(isLate ? () => engine : engine, {
        beforeEach: (run) => registered.beforeEach.push(run),
        afterEach: (run) => registered.afterEach.push(run),
      })
      for (const title of ['a', 'b']) {
        for (const run of registered.beforeEach) await run()
        await add(title)
        expect(await titles()).toEqual([title])
        for (const run of registered.afterEach) await run()
      }
      expect(await stored()).toEqual([])
    },
  )

  test('the error of the test is thrown, and what it stored is rolled back', async () => {
    const { engine, add } = service()
    const error = await errorOf(
      withRollback(engine, async () => {
        await add('a')
        throw new Error('expectation failed')
      }),
    )
    expect(error.message).toBe('expectation failed')
    expect(await stored()).toEqual([])
  })

  test('an engine that is disposed in the test does not wait for it; nothing is stored or left open', async () => {
    const { engine, add } = service()
    const report = await withRollback(engine, async () => {
      await add('a')
      return await engine.dispose({ timeoutMillis: null })
    })
    expect(report.forced).toBe(0)
    expect(engine.stats()).toMatchObject({ disposed: true, size: 0 })
    expect(await stored()).toEqual([])
  })

  test('what is no engine is refused', async () => {
    expect((await errorOf(withRollback({} as never, () => 1))).message).toContain(
      'takes an engine, or a session factory',
    )
    expect((await errorOf(withRollback(fixture.engine(), undefined as never))).message).toContain('the test')
  })
})

test('a connection that is not returned is a leak, and its line is named', async () => {
  const { engine } = service()
  const connection = await engine.connect()
  await connection.execute('select 1')
  const error = await errorOf(expectNoLeaks(engine, { withinMillis: 0 }))
  expect(error.message).toContain('1 in use')
  expect(error.message).toContain('testing-rollback.test')
  await connection.close()
  await expectNoLeaks(engine)
})
