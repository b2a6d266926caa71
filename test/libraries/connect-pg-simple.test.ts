/** connect-pg-simple: sessions of express-session over HTTP. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import connectPgSimple from 'connect-pg-simple'
import express from 'express'
import session from 'express-session'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { expect, test } from 'vitest'
import { checkLibrary } from './checks.js'

const PgStore = connectPgSimple(session)

interface Service {
  /** A request of a browser with this cookie. */
  request(
    path: string,
    cookie?: string,
  ): Promise<{ status: number; body: string; cookie: string | undefined }>
  readonly store: InstanceType<typeof PgStore>
  close(): Promise<void>
}

/** A service that counts the requests of each session. */
async function serve(pool: Pool, errors: string[] = []): Promise<Service> {
  const store = new PgStore({
    pool,
    createTableIfMissing: true,
    pruneSessionInterval: false,
    errorLog: (...words) => errors.push(words.join(' ')),
  })
  const app = express()
  app.use(session({ store, secret: 'keyboard cat', resave: false, saveUninitialized: false }))
  app.get('/count', (request, response) => {
    const kept = request.session as { count?: number }
    kept.count = (kept.count ?? 0) + 1
    response.send(String(kept.count))
  })
  app.get('/look', (_request, response) => void response.send('looked'))
  app.get('/logout', (request, response, next) => {
    request.session.destroy((error: unknown) => (error ? next(error) : response.send('bye')))
  })
  app.use((error: Error, _request: unknown, response: express.Response, _next: unknown) => {
    response.status(503).send(error.message)
  })
  const server = app.listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    store,
    async request(path, cookie) {
      const headers = { connection: 'close', ...(cookie === undefined ? {} : { cookie }) }
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
      const given = response.headers.get('set-cookie')?.split(';')[0]
      return { status: response.status, body: await response.text(), cookie: given ?? cookie }
    },
    async close() {
      void store.close()
      server.close()
      await once(server, 'close')
    },
  }
}

const fixture = checkLibrary('connect-pg-simple', {
  open: async (pool) => {
    const { request, close, store } = await serve(pool)
    const { cookie } = await request('/count')
    const asked = async (path: string): Promise<void> => {
      const { status, body } = await request(path, cookie)
      if (status !== 200) throw new Error(body)
    }
    return {
      table: 'session',
      job: () => asked('/count'),
      failures: {
        'a session that cannot be stored': () =>
          new Promise((resolve, reject) => {
            const broken = { cookie: { expires: 'no date' } } as never
            store.set('x', broken, (error?: Error) => (error ? reject(error) : resolve(undefined)))
          }),
      },
      close,
    }
  },
})

test('connect-pg-simple makes its table, stores, touches, prunes and destroys sessions', async () => {
  const service = await serve(poolFrom(fixture.engine()))
  const { cookie } = await service.request('/count')
  expect((await service.request('/count', cookie)).body).toBe('2')
  // Another process of the service sees the session.
  const other = await serve(poolFrom(fixture.engine()))
  expect((await other.request('/count', cookie)).body).toBe('3')

  const sid = decodeURIComponent(cookie ?? '').replace(/^.*=s:(.*)\..*$/, '$1')
  const left = async (): Promise<unknown> =>
    (
      await fixture.db.query(
        "select expire > now() + interval '1 minute' as left from session where sid = $1",
        [sid],
      )
    )[0]?.['left']
  await fixture.db.query("update session set expire = now() + interval '5 seconds' where sid = $1", [sid])
  expect(await left()).toBe(false)
  await service.request('/look', cookie)
  expect(await left()).toBe(true)

  await fixture.db.query("insert into session values ('old', '{}', now() - interval '1 day')")
  await new Promise((resolve) => service.store.pruneSessions(resolve))
  expect(await fixture.db.query("select from session where sid = 'old'")).toEqual([])

  expect((await service.request('/logout', cookie)).body).toBe('bye')
  expect((await service.request('/count', cookie)).body).toBe('1')
  await Promise.all([service.close(), other.close()])
})
