/** Answers of Express (and of anything on Node's HTTP server) that end in unusual ways, while their end is held back for COMMIT. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type OutgoingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express, { type Express, type Request, type Response } from 'express'
import { expect, test } from 'vitest'
import {
  AbortedError,
  IllegalStateError,
  InvalidOptionError,
  SessionClosedError,
  type Session,
} from '../../src/index.js'
import { requestSessions, type ExpressOptions, type ExpressSessions } from '../../src/integrations/express.js'
import { useNotes } from './http-notes.js'
import { Stage } from './http-routes.js'
import { expressApp, listen, post } from './http-servers.js'
import { errorOf } from './session-support.js'

const { fixture, services, stored } = useNotes(
  'create table late (text text, unique (text) deferrable initially deferred)',
)

const INSERT = 'insert into notes (text) values ($1)'
const LATE = 'insert into late (text) values ($1), ($1)'

async function start(
  routes: (app: Express, db: ExpressSessions<Session>) => void,
  options: ExpressOptions<Request> = {},
): Promise<string> {
  await fixture.db.query('truncate notes, late')
  const factory = fixture.factory()
  const app = express()
  const db = requestSessions(factory, { onError: () => undefined, ...options })
  app.use((_req, res, next) => {
    res.setHeader('x-before', 'kept')
    next()
  })
  app.use(db.middleware)
  routes(app, db)
  app.use(db.errorHandler)
  const service = await listen(createServer(app), factory)
  services.push(service)
  return service.url
}

test('the first answer ends the transaction and counts; a statement after it is refused', async () => {
  await fixture.db.query('truncate notes')
  const factory = fixture.factory()
  const stage = new Stage()
  const service = await expressApp.start(factory, stage)
  services.push(service)
  const reply = await post(`${service.url}/answersFirst?text=a`)
  expect([reply.status, reply.text]).toEqual([200, '{"first":true}'])
  expect(await stored()).toEqual(['a'])
  stage.open('answersFirst')
  await stage.arrived('answersFirst ended')
  expect(stage.errors[0]).toBeInstanceOf(SessionClosedError)
  expect(stage.errors[0]).toHaveProperty(
    'message',
    'This request was answered, and its session ended with it: is an await missing before the answer? ' +
      'For work that goes on after the answer, use withSession(fn)',
  )
})

test('two answers in one tick: the first one is sent as it was', async () => {
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(INSERT, ['a'])
      res.status(201).set('x-first', '1').json({ first: true })
      res.status(500).set('x-second', '2').json({ second: 'longer than the first' })
    })
  })
  const reply = await post(url)
  expect([reply.status, reply.text, reply.headers['x-first'], reply.headers['x-second']]).toEqual([
    201,
    '{"first":true}',
    '1',
    undefined,
  ])
  expect(await stored()).toEqual(['a'])
})

test('a refused COMMIT takes the headers of the handler back, and leaves those from before', async () => {
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(LATE, ['a'])
      res.status(201).set('x-song', 'a').cookie('song', 'a').json({ stored: true })
    })
  })
  const { status, headers } = await post(url)
  expect([status, headers['x-song'], headers['set-cookie'], headers['x-before']]).toEqual([
    409,
    undefined,
    undefined,
    'kept',
  ])
})

test('HEAD and 304 are successes', async () => {
  const url = await start((app, db) => {
    app.get('/', async (req, res) => {
      await db(req).execute('insert into notes (text) values (gen_random_uuid()::text)')
      res.set('etag', '"1"').send('body')
    })
  })
  expect((await post(url, { method: 'HEAD' })).status).toBe(200)
  expect((await post(url, { method: 'GET', headers: { 'if-none-match': '"1"' } })).status).toBe(304)
  expect(await stored()).toHaveLength(2)
})

test('a file is sent, and what was stored before it is stored', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-http-'))
  writeFileSync(join(folder, 'song.txt'), 'la la la')
  const url = await start((app, db) => {
    app.get('/', async (req, res) => {
      await db(req).execute(INSERT, ['a'])
      res.sendFile('song.txt', { root: folder })
    })
  })
  const reply = await post(url, { method: 'GET' })
  rmSync(folder, { recursive: true })
  expect([reply.status, reply.text, reply.complete]).toEqual([200, 'la la la', true])
  expect(await stored()).toEqual(['a'])
})

test('rows are streamed from the session of the request, which ends with the answer', async () => {
  const url = await start((app, db) => {
    app.get('/', async (req, res) => {
      for await (const { n } of db(req).stream<{ n: number }>('select n from generate_series(1, 1200) n'))
        res.write(`${n}\n`)
      res.end()
    })
  })
  const reply = await post(url, { method: 'GET' })
  expect([reply.text.split('\n').length, reply.complete]).toEqual([1201, true])
})

test('a streamed answer whose COMMIT is refused never looks complete', async () => {
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(LATE, ['a'])
      res.write('part')
      res.end('the rest')
    })
  })
  const reply = await post(url).catch((error: unknown) => error)
  expect(reply instanceof Error || !(reply as { complete: boolean }).complete).toBe(true)
})

test('a file whose COMMIT is refused is not sent: its length would tell the client that it is complete', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-http-'))
  writeFileSync(join(folder, 'song.txt'), 'la la la')
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(LATE, ['a'])
      res.sendFile('song.txt', { root: folder })
    })
  })
  const reply = await post(url)
  rmSync(folder, { recursive: true })
  expect([reply.status, reply.headers['content-type']]).toEqual([409, 'application/json; charset=utf-8'])
  expect(JSON.parse(reply.text)).toMatchObject({ code: 'UNIQUE_VIOLATION' })
})

test('an answer in parts, whose length the client knows, is complete only after COMMIT', async () => {
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(String(req.query['sql']), ['ä'])
      res.setHeader('content-length', '7')
      for (const part of ['lä', ' la', '!']) res.write(part)
      res.end()
    })
  })
  const refused = await post(`${url}/?sql=${encodeURIComponent(LATE)}`).catch((error: unknown) => error)
  expect(refused instanceof Error || !(refused as { complete: boolean }).complete).toBe(true)
  const reply = await post(`${url}/?sql=${encodeURIComponent(INSERT)}`)
  expect([reply.status, reply.text, reply.complete]).toEqual([200, 'lä la!', true])
})

test.each<[string, (res: Response) => void]>([
  [
    'more than was declared',
    (res) => {
      for (const part of ['la!', ' more']) res.write(part)
      res.end(' la')
    },
  ],
  ['with a callback that ends the response', (res) => void res.write('la!', () => res.end())],
  [
    'nothing, and the head is flushed',
    (res) => {
      res.set('content-length', '0').flushHeaders()
      res.end()
    },
  ],
])('a body of known length does not leave before COMMIT: %s', async (_, answer) => {
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(LATE, ['a'])
      res.set('content-length', '3')
      answer(res)
    })
  })
  expect((await post(url)).status).toBe(409)
  expect(await stored()).toEqual([])
})

test.each([
  ['an object', { 'Content-Length': 3 }],
  ['a list', ['set-cookie', 'a=1', 'content-length', '3']],
])('a length that writeHead declares counts, too: %s', async (_, headers) => {
  await fixture.db.query('truncate notes, late')
  const factory = fixture.factory()
  const db = requestSessions(factory, { onError: () => undefined })
  const server = createServer((req, res) =>
    db.middleware(req, res, (error) => {
      if (error !== undefined) return void res.writeHead(409).end()
      void db(req)
        .execute(req.method === 'POST' ? LATE : INSERT, ['a'])
        .then(() => res.writeHead(200, headers as OutgoingHttpHeaders).write('la!', () => res.end()))
    }),
  )
  const service = await listen(server, factory)
  services.push(service)
  expect((await post(service.url)).status).toBe(409)
  expect(await (await fetch(service.url)).text()).toBe('la!')
  expect(await stored()).toEqual(['a'])
})

test('writeHead is held back as well, so that a refused COMMIT is an error for the client', async () => {
  const url = await start((app, db) => {
    app.post('/', async (req, res) => {
      await db(req).execute(String(req.query['sql']), ['a'])
      res.writeHead(201, { 'x-song': 'a' }).end('stored')
    })
  })
  const refused = await post(`${url}/?sql=${encodeURIComponent(LATE)}`)
  expect([refused.status, refused.headers['x-song']]).toEqual([409, undefined])
  const reply = await post(`${url}/?sql=${encodeURIComponent(INSERT)}`)
  expect([reply.status, reply.headers['x-song'], reply.text]).toEqual([201, 'a', 'stored'])
})

test('an error that the handler passes on rolls back, also if its status would be stored', async () => {
  const url = await start(
    (app, db) => {
      app.post('/', async (req, _res, next) => {
        await db(req).execute(INSERT, ['a'])
        next(Object.assign(new Error('teapot'), { status: 418 }))
      })
    },
    { rollbackOnStatus: () => false },
  )
  expect((await post(url)).status).toBe(418)
  expect(await stored()).toEqual([])
})

test('options of the session may depend on the request', async () => {
  const url = await start(
    (app, db) => {
      app.all('/', async (req, res) => {
        await db(req).execute(INSERT, ['a'])
        res.end()
      })
    },
    { session: (req) => ({ readOnly: req.method === 'GET' }) },
  )
  expect((await post(url, { method: 'GET' })).status).toBe(500)
  expect((await post(url)).status).toBe(200)
  expect(await stored()).toEqual(['a'])
})

test('two engines in one application commit each their own', async () => {
  const other = fixture.factory({ name: 'other' })
  const second = requestSessions(other)
  const url = await start((app, db) => {
    app.use(second.middleware)
    app.post('/', async (req, res) => {
      await db(req).execute(INSERT, ['a'])
      await second(req).execute(INSERT, ['b'])
      res.status(201).end()
    })
  })
  expect((await post(url)).status).toBe(201)
  expect(await stored()).toEqual(['a', 'b'])
})

test('registered twice, the middleware opens one session', async () => {
  const url = await start((app, db) => {
    app.use(db.middleware)
    app.post('/', async (req, res) => {
      await db(req).execute(INSERT, ['a'])
      res.status(201).end()
    })
  })
  expect((await post(url)).status).toBe(201)
  expect(await stored()).toEqual(['a'])
})

test('an error that is not told to a caller becomes a warning', async () => {
  const warnings: Error[] = []
  const listener = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listener)
  const url = await start(
    (app, db) => {
      app.post('/', async (req, res) => {
        await db(req).execute('select * from nowhere')
        res.end()
      })
    },
    { onError: undefined },
  )
  expect((await post(url)).status).toBe(500)
  process.off('warning', listener)
  expect(warnings.map((warning) => (warning as { code?: string }).code)).toContain('LIFEGUARD_REQUEST')
})

test('mistakes are told when the application starts, or by the first use', async () => {
  const factory = fixture.factory()
  expect(() => requestSessions(factory.bind as never)).toThrow(InvalidOptionError)
  expect(() => requestSessions(undefined as never)).toThrow('takes a session factory')
  expect(() => requestSessions(factory, { rollback: 1 } as never)).toThrow("no option 'rollback'")
  expect(() => requestSessions(factory, { session: { readonly: true } as never })).toThrow("'readOnly'")
  expect(() => requestSessions(factory, { rollbackOnStatus: 500 as never })).toThrow('must be a function')
  const db = requestSessions(factory)
  expect(() => db({})).toThrow('app.use(db.middleware)')
  expect(() => db()).toThrow(IllegalStateError)
  // Given to app.use() by itself, it is asked for a session of the request.
  expect(() => (db as (...all: unknown[]) => unknown)({}, {}, () => undefined)).toThrow(
    'app.use(db.middleware)',
  )
  const failure = await errorOf(
    factory.withSession(() => new Promise(() => undefined), { signal: AbortSignal.abort() }),
  )
  expect(failure).toBeInstanceOf(AbortedError)
})
