/** Handlers of `Request`, server actions, and engines that outlive their module. */
import { createServer, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { describe, expect, test } from 'vitest'
import { IllegalStateError, InvalidOptionError, UniqueViolationError } from '../../src/index.js'
import { requestSessions, sharedEngine, suspendedProcess } from '../../src/integrations/serverless.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useNotes } from './http-notes.js'
import { Stage } from './http-routes.js'
import { listen, listenerOf, post } from './http-servers.js'
import { backendsOf, errorOf } from './session-support.js'

const { fixture, services, stored } = useNotes()

async function sessions() {
  await fixture.db.query('truncate notes')
  const factory = fixture.factory()
  const db = requestSessions(factory, { onError: () => undefined })
  const insert = (text = 'a'): Promise<unknown> =>
    db().execute('insert into notes (text) values ($1)', [text])
  return { factory, db, insert }
}

const request = (): Request => new Request('http://localhost/', { method: 'POST' })

/** As Next's `redirect()` and `notFound()` make them. */
const thrownByNext = (digest: string): Error => Object.assign(new Error(digest), { digest })

describe('handler', () => {
  test('commits before its response, rolls back by status, and answers errors', async () => {
    const { db, insert } = await sessions()
    const handle = db.handler(async (_request, status: number) => {
      await insert(String(status))
      return new Response(null, { status })
    })
    expect((await handle(request(), 201)).status).toBe(201)
    expect(await stored()).toEqual(['201'])
    expect((await handle(request(), 404)).status).toBe(404)
    const taken = await handle(request(), 201)
    expect([taken.status, ((await taken.json()) as { code: string }).code]).toEqual([409, 'UNIQUE_VIOLATION'])
    expect(await stored()).toEqual(['201'])
  })

  test('a handler that throws an error of its own rolls back, and throws it on', async () => {
    const { db, insert, factory } = await sessions()
    const failure = new Error('failed')
    const handle = db.handler(async () => {
      await insert()
      throw failure
    })
    expect(await errorOf(handle(request()))).toBe(failure)
    expect([await stored(), factory.bind.stats().borrowed]).toEqual([[], 0])
  })

  test('a client that leaves is rolled back while its handler goes on', async () => {
    const { db, insert, factory } = await sessions()
    const stage = new Stage()
    const handle = db.handler(async () => {
      await insert()
      await stage.gate('handler')
      await insert('b').catch((error: unknown) => stage.errors.push(error))
      return new Response('done')
    })
    const server: Server = createServer(listenerOf(getRequestListener((incoming) => handle(incoming))))
    services.push(await listen(server, factory))
    const controller = new AbortController()
    const asked = post(services[0]?.url ?? '', { signal: controller.signal })
    await stage.arrived('handler')
    controller.abort()
    await expect(asked).rejects.toThrow()
    await waitUntil(() => factory.bind.stats().borrowed === 0)
    stage.open('handler')
    await waitUntil(() => stage.errors.length === 1)
    expect(await stored()).toEqual([])
  })

  test('requests at once have a session each', async () => {
    const { db, insert } = await sessions()
    const stage = new Stage()
    void stage.arrived('at once', 3).then(() => stage.open('at once'))
    const handle = db.handler(async (_request, text: string) => {
      await insert(text)
      await stage.gate('at once')
      return new Response(String(await db().scalar('select pg_backend_pid()')))
    })
    const replies = await Promise.all(['a', 'b', 'c'].map((text) => handle(request(), text)))
    const pids = await Promise.all(replies.map((reply) => reply.text()))
    expect([new Set(pids).size, await stored()]).toEqual([3, ['a', 'b', 'c']])
  })

  test('health is 200, or 503 with the reason', async () => {
    const { db, factory } = await sessions()
    expect((await db.health()).status).toBe(200)
    await factory.bind.dispose()
    const reply = await db.health()
    expect([reply.status, await reply.json()]).toMatchObject([503, { ok: false, reason: 'disposed' }])
  })
})

describe('action', () => {
  test('commits when it returns, and rolls back when it throws', async () => {
    const { db, insert } = await sessions()
    const add = db.action(async (text: string) => {
      await insert(text)
      return text.length
    })
    expect(await add('a')).toBe(1)
    expect(await errorOf(add('a'))).toBeInstanceOf(UniqueViolationError)
    expect(await stored()).toEqual(['a'])
  })

  test("Next's redirect() commits and leaves, its notFound() rolls back", async () => {
    const { db, insert } = await sessions()
    const leave = db.action(async (digest: string) => {
      await insert(digest)
      throw thrownByNext(digest)
    })
    expect((await errorOf(leave('NEXT_REDIRECT;replace;/songs;307;'))).message).toContain('NEXT_REDIRECT')
    expect(await stored()).toHaveLength(1)
    await errorOf(leave('NEXT_HTTP_ERROR_FALLBACK;404'))
    expect(await stored()).toHaveLength(1)
    // Where COMMIT is refused, there is nothing to be redirected to.
    const twice = db.action(async () => {
      await insert('b')
      db().beforeCommit((session) => session.execute("insert into notes values ('b')"))
      throw thrownByNext('NEXT_REDIRECT;replace;/;307;')
    })
    expect(await errorOf(twice())).toBeInstanceOf(UniqueViolationError)
  })
})

test('mistakes are told where they are made', async () => {
  const { db } = await sessions()
  expect(() => db()).toThrow(IllegalStateError)
  expect(() => db()).toThrow('db.handler(fn)')
  expect(() => db.handler('x' as never)).toThrow(InvalidOptionError)
  expect(() => db.action(undefined as never)).toThrow(InvalidOptionError)
})

describe('sharedEngine', () => {
  // Fields of a class are given back to the guard of leaks only if it knows them.
  const options = (more: object = {}) => ({ url: fixture.db.url, name: 'shared', ...more })

  test('gives the same engine to every run of the module, also with a function among its options', async () => {
    const password = (): string => 'secret'
    const engine = sharedEngine(options({ password }))
    expect(sharedEngine(options({ password: (): string => 'secret' }))).toBe(engine)
    const kept = JSON.stringify(
      [
        ...((globalThis as never as Record<symbol, Map<string, object>>)[
          Symbol.for('lifeguard.sharedEngines')
        ]?.values() ?? []),
      ].map((one) => ({ ...one, engine: undefined })),
    )
    expect(kept).not.toContain('secret')
    await engine.dispose()
    const next = sharedEngine(options({ password }))
    expect(next).not.toBe(engine)
    await next.dispose()
  })

  test('disposes the engine whose options have changed', async () => {
    const first = sharedEngine(options({ connectArgs: { serverSettings: { application_name: 'reloaded' } } }))
    await first.check()
    expect(await backendsOf(fixture.db, 'reloaded')).toHaveLength(1)
    const second = sharedEngine(options({ poolSize: 2 }))
    expect(second).not.toBe(first)
    await first.dispose()
    expect(await backendsOf(fixture.db, 'reloaded')).toEqual([])
    expect((await second.check()).ok).toBe(true)
    await second.dispose()
  })

  test('engines of different names live side by side', async () => {
    const [first, second] = [sharedEngine(options()), sharedEngine(options({ name: 'other' }))]
    expect(first).not.toBe(second)
    await Promise.all([first.dispose(), second.dispose()])
  })

  test('a suspended process keeps no connection', async () => {
    const engine = sharedEngine(options({ ...suspendedProcess, name: 'suspended' }))
    expect((await engine.check()).ok).toBe(true)
    await waitUntil(() => engine.stats().size === 0)
    await engine.dispose()
  })

  test('attach gets what attachDatabasePool of @vercel/functions takes, once', async () => {
    const attached: { idle: number; releases: number }[] = []
    const attach = (pool: object): void => {
      // As @vercel/functions 3.9 tells a pool of pg.
      const { on, options: given } = pool as {
        on(event: string, listener: () => void): void
        options: { idleTimeoutMillis: number }
      }
      if (!('on' in pool) || !('idleTimeoutMillis' in given))
        throw new Error('Unsupported database pool type')
      const entry = { idle: given.idleTimeoutMillis, releases: 0 }
      attached.push(entry)
      on('release', () => (entry.releases += 1))
    }
    const engine = sharedEngine(options({ name: 'vercel' }), { attach })
    expect(sharedEngine(options({ name: 'vercel' }), { attach })).toBe(engine)
    await engine.check()
    expect(attached).toEqual([{ idle: 5000, releases: 1 }])
    await engine.dispose()
  })

  test('entities that a reload has declared again work on the engine that was kept', async () => {
    await fixture.db.query('truncate notes')
    const { createSessionFactory, declarativeBase, text } = await import('../../src/index.js')
    // A module that declares its base and its entities is run twice.
    const run = () => {
      class Note extends declarativeBase().entity('notes', { text: text().primaryKey() }) {}
      const engine = sharedEngine(options({ name: 'entities' }))
      return { Note, engine, factory: createSessionFactory({ bind: engine }) }
    }
    const [first, second] = [run(), run()]
    expect(second.engine).toBe(first.engine)
    await first.factory.withSession((session) => session.add(new first.Note({ text: 'a' })))
    await second.factory.withSession(async (session) => {
      expect((await session.getOne(second.Note, 'a')).text).toBe('a')
      session.add(new second.Note({ text: 'b' }))
    })
    expect(await stored()).toEqual(['a', 'b'])
    await first.engine.dispose()
  })
})
