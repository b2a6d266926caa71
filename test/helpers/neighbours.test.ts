import { readFileSync } from 'node:fs'
import pg from 'pg'
import { expect, test } from 'vitest'
import { database } from './database.js'
import { query } from './databases.js'
import { startServer } from './local-server.js'
import { findPgBouncer, startPgBouncer } from './pgbouncer.js'
import { createCertificates } from './tls.js'

test.skipIf(findPgBouncer() === undefined)(
  'PgBouncer shares few server connections in transaction mode',
  async () => {
    const db = await database()
    {
      await using bouncer = await startPgBouncer(db.url, { poolSize: 1 })
      const pids = await Promise.all(
        Array.from({ length: 5 }, () =>
          query<{ pid: number }>(bouncer.url, 'SELECT pg_backend_pid() AS pid'),
        ),
      )
      expect(new Set(pids.flat().map(({ pid }) => pid)).size).toBe(1)
    }
    await db.drop()
  },
)

test('a server with TLS proves its identity and accepts a client certificate', async () => {
  using certificates = createCertificates()
  await using server = await startServer({
    tls: { ...certificates.server, authority: certificates.authority },
    hba: ['hostssl all all 127.0.0.1/32 cert'],
  })
  const ca = readFileSync(certificates.authority)
  const own = {
    cert: readFileSync(certificates.client.certificate),
    key: readFileSync(certificates.client.key),
  }
  const where = { host: server.host, port: server.port, user: server.user, database: 'postgres' }

  const client = new pg.Client({ ...where, ssl: { ca, ...own } })
  await client.connect()
  expect((await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).rows).toEqual([
    { ssl: true },
  ])
  await client.end()

  await expect(new pg.Client({ ...where, ssl: own }).connect()).rejects.toMatchObject({
    code: /SELF_SIGNED|UNABLE_TO/,
  })
  await expect(new pg.Client({ ...where, ssl: { ca } }).connect()).rejects.toMatchObject({ code: '28000' })
})
