/** One session that serves two requests at once: the second is told before it commits the half-done work of the first. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { createServer, get, type Server } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Session } from '../../src/session/session.js'
import { waitUntil } from '../helpers/wait-until.js'
import { gate, useDatabase, type Gate } from './session-support.js'

const fixture = useDatabase('create table marks (mark text)')
const servers: Server[] = []
const warnings: { code?: string; message: string }[] = []
const listener = (warning: Error): void => void warnings.push(warning)

beforeEach(async () => {
  await fixture.db.query('truncate marks')
  warnings.length = 0
  process.on('warning', listener)
})

afterEach(() => {
  process.off('warning', listener)
  for (const server of servers.splice(0)) server.close()
})

const add = (session: Session, mark: string) => session.execute('insert into marks values ($1)', [mark])

async function marks(): Promise<string[]> {
  const rows = await fixture.db.query<{ mark: string }>('select mark from marks order by mark')
  return rows.map(({ mark }) => mark)
}

/** A server that answers with what its handler gives, or with the code of its error. Gives what asks it. */
async function serve(handler: (path: string) => Promise<string>): Promise<(path: string) => Promise<string>> {
  const server = createServer((request, response) => {
    void handler(request.url ?? '')
      .catch((error: unknown) => `${(error as { code?: string }).code ?? ''} ${(error as Error).message}`)
      .then((text) => response.end(text))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return (path) =>
    new Promise((resolve, reject) => {
      get({ port, path, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve(text))
      }).on('error', reject)
    })
}

/** Two requests: the first begins and waits for the gate, the second adds and commits. */
async function twoRequests(session: Session): Promise<{ first: string; second: string }> {
  const begun = gate()
  const mayEnd: Gate = gate()
  const ask = await serve(async (path) => {
    await add(session, path)
    if (path === '/first') {
      begun.open()
      await mayEnd.opened
      await session.rollback()
      return 'rolled back'
    }
    await session.commit()
    return 'committed'
  })
  const first = ask('/first')
  await begun.opened
  const second = await ask('/second')
  mayEnd.open()
  return { first: await first, second }
}

test('the second of two HTTP requests is refused, and what the first does is its own', async () => {
  await using session = fixture.factory()()
  const { first, second } = await twoRequests(session)
  expect(first).toBe('rolled back')
  expect(second).toContain('ILLEGAL_STATE A session is used by two requests at once')
  expect(second).toContain('session-sharing.test.ts')
  expect(second).toContain('withSession(fn)')
  expect(await marks()).toEqual([])
})

test.each(['option', 'production'])(
  'it may be allowed, and is not looked for in production (%s)',
  async (by) => {
    const { NODE_ENV } = process.env
    if (by === 'production') process.env['NODE_ENV'] = 'production'
    try {
      await using session = fixture.factory({}, by === 'option' ? { detectSharing: false } : {})()
      expect(await twoRequests(session)).toMatchObject({ second: 'committed' })
      expect(await marks()).toEqual(['/first', '/second'])
    } finally {
      process.env['NODE_ENV'] = NODE_ENV
    }
  },
)

test('requests one after the other may share a session and a transaction, as in a test that rolls back', async () => {
  await using session = fixture.factory()()
  const ask = await serve(async (path) => {
    await Promise.all([add(session, path), add(session, path)])
    return 'done'
  })
  expect([await ask('/a'), await ask('/b')]).toEqual(['done', 'done'])
  expect(await session.scalar('select count(*)::int from marks')).toBe(4)
  await session.rollback()
  expect(warnings).toEqual([])
})

test.runIf(Number(process.versions.node.split('.')[0]) < 24)(
  'code in another AsyncLocalStorage that ends the work is warned of, once',
  async () => {
    const requests = new AsyncLocalStorage<string>()
    await using session = fixture.factory()()
    for (const mark of ['one', 'two']) {
      await requests.run('a', () => add(session, mark))
      await requests.run('b', () => session.commit())
    }
    await waitUntil(() => warnings.length > 0)
    expect(warnings).toMatchObject([{ code: 'LIFEGUARD_SHARED_SESSION' }])
  },
)

test('helpers, Promise.all and nested storages within one flow are no reason to warn', async () => {
  const requests = new AsyncLocalStorage<string>()
  const spans = new AsyncLocalStorage<object>()
  await using session = fixture.factory()()
  const helper = (mark: string) => spans.run({ mark }, () => add(session, mark))
  await requests.run('a', async () => {
    await Promise.all([helper('one'), helper('two')])
    await spans.run({}, () => session.commit())
  })
  await add(session, 'outside')
  await requests.run('b', () => session.commit())
  await requests.run('c', () => add(session, 'later'))
  await session.rollback()
  await new Promise((resolve) => setImmediate(resolve))
  expect(warnings).toEqual([])
  expect(await marks()).toEqual(['one', 'outside', 'two'])
})

test('events of a stream that write, and its end or a timer that commits, are one unit of work', async () => {
  await using session = fixture.factory()()
  const server = createTcpServer((socket) => {
    socket.write('one')
    socket.once('data', () => socket.end('two'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const socket = connect({ port, host: '127.0.0.1' })
  const written: Promise<unknown>[] = []
  socket.setEncoding('utf8').on('data', (mark: string) => {
    written.push(add(session, mark))
    socket.write('next')
  })
  await once(socket, 'end')
  server.close()
  await Promise.all(written)
  await new Promise<void>((resolve, reject) => {
    setTimeout(() => void session.commit().then(resolve, reject), 1)
  })
  expect(await marks()).toEqual(['one', 'two'])
  expect(warnings).toEqual([])
})
