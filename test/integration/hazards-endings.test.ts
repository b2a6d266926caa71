/** Every way in which a transaction can end, and what the caller is told. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { UniqueViolationError, isRetryable } from '../../src/database-errors.js'
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  SessionClosedError,
  TransactionAbortedError,
  UnawaitedStatementError,
} from '../../src/errors.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table marks (mark text unique deferrable initially deferred)')

const MARK = 'insert into marks values ($1)'

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks order by mark')
  return rows.map(({ mark }) => mark)
}

/** `withSession` on an empty table. */
async function fresh(options: Parameters<typeof fixture.factory>[0] = {}) {
  await fixture.db.query('truncate marks')
  return fixture.factory(options)
}

describe('COMMIT answered with ROLLBACK', () => {
  test.each([
    ['a COMMIT of its own', false],
    ['a COMMIT that rides with the statement', true],
  ])('throws: %s', async (_name, rides) => {
    using server = await startFakeServer({
      onStatement: (sql) => (sql === 'COMMIT' ? { tag: 'ROLLBACK' } : undefined),
    })
    const factory = fixture.factory({ url: server.url })
    const events: string[] = []
    factory.on('afterCommit', () => events.push('committed'))
    factory.on('afterRollback', () => events.push('rolled back'))
    const error = await errorOf(
      factory.withSession(async (session) => {
        const running = session.execute('insert into songs values (1)')
        if (rides) return session.commit().then(() => running)
        return running
      }),
    )
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(error.message).toContain('nothing was stored')
    expect(isRetryable(error)).toBe(false)
    expect(events).toEqual(['rolled back'])
    expect(server.executed.filter((sql) => sql === 'ROLLBACK')).toEqual([])
  })
})

describe('a refused COMMIT', () => {
  test.each([
    ['awaited on its own', false],
    ['riding with the statement', true],
  ])('throws the reason and stores nothing: %s', async (_name, rides) => {
    const factory = await fresh()
    const events: string[] = []
    factory.on('afterCommit', () => events.push('committed'))
    factory.on('afterRollback', () => events.push('rolled back'))
    const work = 'insert into marks values ($1), ($1)'
    const error = await errorOf(
      rides
        ? factory.withSession((session) => session.execute(work, ['twice']))
        : factory.withSession(async (session) => {
            await session.execute(work, ['twice'])
          }),
    )
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect(events).toEqual(['rolled back'])
    expect(await marks()).toEqual([])
    await factory.withSession((session) => session.execute(MARK, ['next']))
    expect(await marks()).toEqual(['next'])
  })
})

describe('a connection that is lost at COMMIT', () => {
  test.each([
    ['awaited on its own', false],
    ['riding with the statement', true],
  ])('is an unknown outcome, for which no hook runs and no retry is made: %s', async (_name, rides) => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({ url: proxy.url })
    await factory.withSession((session) => session.execute('select'))
    const events: string[] = []
    factory.on('begin', () => events.push('began'))
    factory.on('afterRollback', () => events.push('rolled back'))
    const cut = proxy.cutAt({ from: 'server', when: 'before', message: ({ text }) => text === 'COMMIT' })
    const error = await errorOf(
      factory.withSession(
        (session) => {
          const inserting = session.execute(MARK, ['stored'])
          return rides ? inserting : inserting.then((result) => result)
        },
        { retry: { attempts: 3, backoff: () => 0 } },
      ),
    )
    await cut
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(isRetryable(error)).toBe(false)
    expect(events).toEqual(['began'])
    expect(await marks()).toEqual(['stored'])
  })
})

test('after an unknown outcome nothing pretends to know it, until rollback()', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url })
  await using session = factory()
  await session.execute(MARK, ['stored'])
  const cut = proxy.cutAt({ from: 'server', when: 'before', message: ({ text }) => text === 'COMMIT' })
  for (const again of [
    () => session.commit(),
    () => session.commit(),
    () => session.execute('select 1'),
    () => session.beginNested(() => session.execute('select 1')),
  ]) {
    const error = await errorOf(again())
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(isRetryable(error)).toBe(false)
  }
  await cut
  await session.rollback()
  expect(await session.scalars('select mark from marks')).toEqual(['stored'])
})

describe('the first error', () => {
  test('is thrown, not the error of the rollback after it', async () => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({ url: proxy.url })
    const reason = new Error('of the user')
    const error = await errorOf(
      factory.withSession(async (session) => {
        await session.execute(MARK, ['undone'])
        await proxy.cut()
        throw reason
      }),
    )
    expect(error).toBe(reason)
    expect(await marks()).toEqual([])
    await factory.withSession((session) => session.execute('select'))
  })

  test('is thrown, not that of a ROLLBACK that is never answered', async () => {
    using proxy = await startProxy(fixture.db.url)
    const factory = await fresh({ url: proxy.url })
    const reason = new Error('of the user')
    const cut = proxy.cutAt({ from: 'client', when: 'before', message: ({ text }) => text === 'ROLLBACK' })
    const error = await errorOf(
      factory.withSession(async (session) => {
        await session.execute(MARK, ['undone'])
        throw reason
      }),
    )
    await cut
    expect(error).toBe(reason)
    expect(await marks()).toEqual([])
  })

  test('is thrown, not that of an afterRollback hook', async () => {
    const factory = await fresh()
    factory.on('afterRollback', () => {
      throw new Error('of the hook')
    })
    const warnings: Error[] = []
    const listener = (warning: Error): void => void warnings.push(warning)
    process.on('warning', listener)
    const reason = new Error('of the user')
    const error = await errorOf(
      factory.withSession(async (session) => {
        await session.execute(MARK, ['undone'])
        throw reason
      }),
    )
    expect(error).toBe(reason)
    await waitUntil(() => warnings.length > 0)
    process.off('warning', listener)
    expect(warnings[0]?.message).toContain('of the hook')
  })

  test('may be thrown synchronously, and may be no Error at all', async () => {
    const factory = await fresh()
    const reason = new Error('synchronous')
    const failing = factory.withSession((session): number => {
      void session.execute(MARK, ['undone'])
      throw reason
    })
    expect(await errorOf(failing)).toBe(reason)
    await expect(
      factory.withSession(async (session) => {
        await session.execute(MARK, ['undone'])
        const noError: unknown = 'a string'
        throw noError
      }),
    ).rejects.toBe('a string')
    expect(await marks()).toEqual([])
    expect(factory.bind.stats().borrowed).toBe(0)
  })
})

test('a session is refused after its scope, whatever is asked of it', async () => {
  const factory = await fresh()
  const kept = await factory.withSession(async (session) => {
    await session.execute(MARK, ['stored'])
    return session
  })
  expect(await errorOf(kept.execute('select'))).toBeInstanceOf(SessionClosedError)
  expect(await errorOf(kept.scalar('select 1'))).toBeInstanceOf(SessionClosedError)
  expect(await errorOf(kept.stream('select 1')[Symbol.asyncIterator]().next())).toBeInstanceOf(
    SessionClosedError,
  )
  expect(await errorOf(kept.commit())).toBeInstanceOf(SessionClosedError)
  expect(await errorOf(kept.rollback())).toBeInstanceOf(SessionClosedError)
  expect(await errorOf(kept.begin(() => 1))).toBeInstanceOf(SessionClosedError)
  expect(await errorOf(kept.beginNested(() => kept.execute('select')))).toBeInstanceOf(SessionClosedError)
  await kept.close()
  expect(await marks()).toEqual(['stored'])
})

test('a session of the caller undoes what was not committed when it is disposed', async () => {
  const factory = await fresh()
  {
    await using session = factory()
    await session.execute(MARK, ['committed'])
    await session.commit()
    await session.execute(MARK, ['undone'])
  }
  expect(await marks()).toEqual(['committed'])
})

test('closing waits for un-awaited statements, and rolls them back', async () => {
  const factory = await fresh()
  const session = factory()
  const floating = session.execute(MARK, ['undone'])
  await session.close()
  await floating
  expect(await marks()).toEqual([])
  expect(factory.bind.stats().borrowed).toBe(0)
})

test('a stream that is not read to its end fails nothing', async () => {
  const factory = await fresh()
  await factory.withSession(async (session) => {
    await session.execute(MARK, ['stored'])
    for await (const row of session.stream<{ n: number }>('select n from generate_series(1, 10000) n')) {
      if (row.n === 3) break
    }
  })
  expect(await marks()).toEqual(['stored'])
})

test('the failure of a statement that an autocommit block did not await is reported', async () => {
  const factory = await fresh({})
  const error = await errorOf(
    factory.withSession(
      (session) => {
        void session.execute('select 1 / 0').catch(() => undefined)
        return 1
      },
      { autocommit: true },
    ),
  )
  expect(error).toBeInstanceOf(UnawaitedStatementError)
})

test('a backend that dies while its session thinks fails COMMIT before it is sent: nothing was stored', async () => {
  using proxy = await startProxy(fixture.db.url)
  const factory = await fresh({ url: proxy.url })
  const error = await errorOf(
    factory.withSession(async (session) => {
      await session.execute(MARK, ['undone'])
      await proxy.cut()
    }),
  )
  expect(error).toBeInstanceOf(ConnectionLostError)
  expect(isRetryable(error)).toBe(true)
  expect(await marks()).toEqual([])
})

test('a session that is not closed is found by garbage collection, and its connection is freed', async () => {
  const script = `
    import { createEngine, createSessionFactory } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)}
    const engine = createEngine({
      url: process.env.URL_OF_TEST, poolSize: 1, maxOverflow: 0, leakDetectionMillis: 40, captureStacks: true,
    })
    const sessions = createSessionFactory({ bind: engine })
    const stages = []
    let stack
    engine.on('leak', (leak) => {
      // On a slow machine the session that counts rows below is held for longer than 40 ms, and is reported as well.
      if (stages.includes('reclaimed')) return
      stages.push(leak.stage)
      stack = leak.stack
    })
    async function forgetful() {
      const session = sessions()
      await session.execute('insert into marks values ($1)', ['forgotten'])
    }
    await forgetful()
    const deadline = Date.now() + 10000
    while (!stages.includes('reclaimed') && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      globalThis.gc()
    }
    const next = await sessions.withSession((session) => session.scalar('select count(*)::int from marks'))
    console.log(JSON.stringify({ stages, stack, next, borrowed: engine.stats().borrowed }))
    await engine.dispose()
  `
  await fixture.db.query('truncate marks')
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', script],
    { env: { ...process.env, URL_OF_TEST: fixture.db.url }, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(0)
  const { stages, stack, ...rest } = JSON.parse(output) as { stages: string[]; stack: string }
  expect(stages.at(-1)).toBe('reclaimed')
  expect(stack).toContain('forgetful')
  expect(rest).toEqual({ next: 0, borrowed: 0 })
  expect(await marks()).toEqual([])
})
