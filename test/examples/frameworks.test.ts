/** The examples of each framework, as processes of their own. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { post } from '../integration/http-servers.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { runExample } from './processes.js'

let db: TestDatabase
beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

test.each(['express', 'fastify', 'hono', 'koa', 'nestjs'])(
  '%s stores, lists, refuses, and tells its health',
  async (name) => {
    const environment = { DATABASE_URL: db.url, PORT: '0', TSX_TSCONFIG_PATH: 'tsconfig.test.json' }
    await using service = runExample(`frameworks/${name}.ts`, environment)
    const [, url = ''] = await service.says(/listens on (\S+)/)
    const text = `from-${name}`
    expect((await post(`${url}/notes/${encodeURIComponent(text)}`)).status).toBe(201)
    expect((await post(`${url}/notes/${encodeURIComponent(text)}`)).status).toBe(409)
    expect((await post(`${url}/notes`, { method: 'GET' })).text).toContain(text)
    expect((await post(`${url}/health`, { method: 'GET' })).status).toBe(200)
  },
)
