import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ConnectError } from '../../src/errors.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { query } from '../helpers/databases.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { type LocalServer, startServer } from '../helpers/local-server.js'
import { findPgBouncer, startPgBouncer } from '../helpers/pgbouncer.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import {
  driverFor,
  everythingOf,
  failureOf,
  select,
  selectOnce,
  withConnection,
} from './connecting-support.js'

guardLeaks()

let db: TestDatabase
let server: LocalServer
beforeAll(async () => {
  db = await database()
  server = await startServer({
    hba: [
      'local all all trust',
      'host all cleartext all password',
      'host all hashed all md5',
      'host all trusted all trust',
      'host all all all scram-sha-256',
    ],
  })
})
afterAll(async () => {
  await server.dispose()
  await db.drop()
})

/** Runs a script on the test's own server. */
function asSuperuser(text: string): Promise<void> {
  return withConnection(driverFor({ url: server.url }), (connection) => connection.script(text))
}

describe('a connection', () => {
  test('is ready: it runs statements, and knows its number, its backend and its server', async () => {
    const driver = driverFor({ url: db.url })
    const [first, second] = await Promise.all([
      driver.connect({ timeoutMillis: 10_000 }),
      driver.connect({ timeoutMillis: 10_000 }),
    ])
    expect([first.id, second.id].sort()).toEqual([1, 2])
    expect(first.transactionStatus).toBe('idle')
    expect(first.parameter('server_version')).toMatch(/^\d+/)
    expect(await select(first, 'select pg_backend_pid() as pid, current_database() as db')).toEqual([
      { pid: first.processId, db: db.name },
    ])
    await Promise.all([first.close(5000), second.close(5000)])
  })

  test('is known to the server by the settings it came with, which RESET comes back to', async () => {
    const serverSettings = {
      application_name: 'songs-api',
      statement_timeout: '7s',
      'songs.tenant': "o'hara, 7",
    }
    await withConnection(driverFor({ url: db.url, connectArgs: { serverSettings } }), async (connection) => {
      const [row] = await db.query('select application_name from pg_stat_activity where pid = $1', [
        connection.processId,
      ])
      expect(row).toEqual({ application_name: 'songs-api' })
      await connection.script("set statement_timeout = '1s'; reset all")
      const text =
        "select current_setting('statement_timeout') as timeout, current_setting('songs.tenant') as tenant"
      expect(await select(connection, text)).toEqual([{ timeout: '7s', tenant: "o'hara, 7" }])
    })
  })

  test("takes the url's options, too", async () => {
    const url = `${server.url}?options=-c%20work_mem%3D3MB&application_name=from-url`
    expect(
      await selectOnce(
        { url },
        "select current_setting('work_mem') as mem, current_setting('application_name') as name",
      ),
    ).toEqual([{ mem: '3MB', name: 'from-url' }])
  })

  test('is made from single options as well', async () => {
    const { host, port, user, password } = server
    const rows = await selectOnce(
      { host, port, user, password, database: 'postgres' },
      'select current_user::text as me',
    )
    expect(rows).toEqual([{ me: user }])
  })

  test('is made by the methods that pg.Client has at that moment, so that instrumentation sees it', async () => {
    const connect = vi.spyOn(pg.Client.prototype, 'connect')
    await selectOnce({ url: db.url }, 'select 1')
    expect(connect).toHaveBeenCalledOnce()
    connect.mockRestore()
  })

  test('goes over a Unix socket, from options and from urls, without TLS whatever sslmode says', async () => {
    const { socketDirectory, port, user } = server
    const text = 'select inet_client_addr() as address, current_database() as db'
    const folder = encodeURIComponent(socketDirectory)
    const expected = [{ address: null, db: 'postgres' }]
    const connectArgs = { sslmode: 'verify-full' } as const
    expect(
      await selectOnce({ host: socketDirectory, port, user, database: 'postgres', connectArgs }, text),
    ).toEqual(expected)
    expect(await selectOnce({ url: `postgres://${user}@${folder}:${port}/postgres` }, text)).toEqual(expected)
    expect(
      await selectOnce({ url: `postgres://${user}@/postgres?host=${folder}&port=${port}` }, text),
    ).toEqual(expected)
  })

  test.skipIf(findPgBouncer() === undefined)('goes through PgBouncer, with its name', async () => {
    await using bouncer = await startPgBouncer(server.url)
    const options = { url: bouncer.url, connectArgs: { serverSettings: { application_name: 'songs-api' } } }
    expect(await selectOnce(options, "select current_setting('application_name') as name")).toEqual([
      { name: 'songs-api' },
    ])

    const error = await failureOf({ url: bouncer.url, connectArgs: { serverSettings: { search_path: 'x' } } })
    expect(error).toMatchObject({ fatal: true })
    expect(error.message).toContain('ignore_startup_parameters')
  })
})

describe('the password', () => {
  test.each(['cleartext', 'hashed', 'scrammed'])('may be %s, and is right or wrong', async (user) => {
    await asSuperuser(
      `set password_encryption = '${user === 'hashed' ? 'md5' : 'scram-sha-256'}'; create role ${user} login password 'pässwörd'`,
    )
    const { host, port } = server
    const options = { host, port, user, database: 'postgres' }
    expect(await selectOnce({ ...options, password: 'pässwörd' }, 'select current_user::text as me')).toEqual(
      [{ me: user }],
    )

    const error = await failureOf({ ...options, password: 'wrong-s3cret' })
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({ fatal: true, sqlState: '28P01' })
    expect(error.message).toBe(
      `Cannot connect to ${user}@127.0.0.1:${port}/postgres: password authentication failed for user "${user}" (28P01). ` +
        'Check the user name and the password.',
    )
    expect(everythingOf(error)).not.toContain('wrong-s3cret')
  })

  test('is asked for each connection, so a rotated one is used at once and open connections stay', async () => {
    await asSuperuser("create role rotating login password 'first'")
    const { host, port } = server
    let current = 'first'
    const password = vi.fn(() => Promise.resolve(current))
    const driver = driverFor({ host, port, user: 'rotating', database: 'postgres', password })

    await withConnection(driver, async (old) => {
      await asSuperuser("alter role rotating password 'second'")
      await expect(driver.connect({ timeoutMillis: 10_000 })).rejects.toMatchObject({ sqlState: '28P01' })
      current = 'second'
      await withConnection(driver, (connection) => select(connection, 'select 1'))
      expect(await select(old, 'select 1 as one')).toEqual([{ one: 1 }])
    })
    expect(password).toHaveBeenCalledTimes(3)
  })

  test('may come from a function that is not async', async () => {
    const { host, port, user, password } = server
    expect(
      await selectOnce(
        { host, port, user, password: () => password, database: 'postgres' },
        'select 1 as one',
      ),
    ).toEqual([{ one: 1 }])
  })

  test.each<[string, () => string | Promise<string>]>([
    [
      'throws',
      () => {
        throw new Error('vault is sealed')
      },
    ],
    ['rejects', () => Promise.reject(new Error('vault is sealed'))],
    ['returns no string', () => undefined as unknown as string],
  ])('whose function %s fails the connect at once, before a socket is opened', async (_, password) => {
    using proxy = await startProxy(server.url)
    const { host, user } = server
    const error = await failureOf({ host, port: proxy.port, user, password, database: 'postgres' })
    expect(error).toMatchObject({ fatal: true, cause: expect.any(Error) as unknown })
    expect(error.message).toContain('the password function failed')
    expect(proxy.connections).toEqual([])
  })

  test('that is missing is named as what is missing', async () => {
    const { host, port, user } = server
    const error = await failureOf({ host, port, user, database: 'postgres' })
    expect(error).toMatchObject({ fatal: true })
    expect(error.message).toContain(
      'the server asks for a password, and none is configured. Set the option password',
    )
  })

  test('is not needed where the server trusts', async () => {
    await asSuperuser('create role trusted login')
    const { host, port } = server
    expect(
      await selectOnce({ host, port, user: 'trusted', database: 'postgres' }, 'select 1 as one'),
    ).toEqual([{ one: 1 }])
  })

  test('is nowhere in a driver, a connection, or what is thrown', async () => {
    const driver = driverFor({ url: server.url })
    const wrong = server.url.replace(server.password, 'wrong-s3cret')
    const seen = await withConnection(driver, (connection) =>
      Promise.resolve(everythingOf([driver, connection])),
    )
    expect(seen).toContain(`lifeguard@127.0.0.1:${server.port}/postgres`)
    expect(seen).not.toContain(server.password)
    expect(everythingOf([driverFor({ url: wrong }), await failureOf({ url: wrong })])).not.toContain('s3cret')
  })
})

describe('a connect that fails says what, where and what to do, and whether waiting helps', () => {
  test('the host is unknown', async () => {
    const error = await failureOf({ host: 'nowhere.invalid', user: 'me', password: 's3cret' })
    // Without a network the name service says that it does not know rather than no.
    expect(error.message).toMatch(
      /^Cannot connect to me@nowhere\.invalid:5432\/me: the (host is unknown|name service)/,
    )
    expect(error).toMatchObject({ fatal: error.message.includes('ENOTFOUND') })
  })

  test('the server is down', async () => {
    const down = await startServer()
    await down.stop()
    const error = await failureOf({ url: down.url })
    expect(error).toMatchObject({ fatal: false, sqlState: undefined, cause: { code: 'ECONNREFUSED' } })
    expect(error.message).toBe(
      `Cannot connect to lifeguard@127.0.0.1:${down.port}/postgres: nothing listens there (ECONNREFUSED). ` +
        'Is PostgreSQL running, and are host and port right?',
    )
    await down.dispose()
  })

  test('the server is down at every address of its name', async () => {
    const down = await startServer()
    await down.stop()
    const error = await failureOf({ host: 'localhost', port: down.port, user: 'me' })
    expect(error).toMatchObject({ fatal: false })
    expect(error.message).toContain('nothing listens there (ECONNREFUSED)')
    await down.dispose()
  })

  test('there is no such Unix socket', async () => {
    const error = await failureOf({ host: join(tmpdir(), 'no such folder'), user: 'me' })
    expect(error).toMatchObject({ fatal: false })
    expect(error.message).toContain('there is no such socket (ENOENT)')
  })

  test('the database does not exist', async () => {
    const error = await failureOf({ url: server.url, database: 'nothing' })
    expect(error).toMatchObject({ fatal: true, sqlState: '3D000' })
    expect(error.message).toContain(
      'database "nothing" does not exist (3D000). Create the database, or correct its name.',
    )
  })

  test('the role may not connect to the database', async () => {
    await asSuperuser('create database closed')
    await asSuperuser(
      "create role stranger login password 'pw'; revoke connect on database closed from public",
    )
    const error = await failureOf({ url: server.url, user: 'stranger', password: 'pw', database: 'closed' })
    expect(error).toMatchObject({ fatal: true, sqlState: '42501' })
  })

  test('there are too many connections', async () => {
    await asSuperuser("create role crowded login password 'pw' connection limit 0")
    const error = await failureOf({ url: server.url, user: 'crowded', password: 'pw' })
    expect(error).toMatchObject({ fatal: false, sqlState: '53300' })
  })

  test('the server does not know a setting, or its value', async () => {
    const unknown = await failureOf({
      url: server.url,
      connectArgs: { serverSettings: { statement_timeuot: '5s' } },
    })
    expect(unknown).toMatchObject({ fatal: true, sqlState: '42704' })
    expect(unknown.message).toContain('"statement_timeuot" (42704). Look at connectArgs.serverSettings.')
    const wrong = await failureOf({
      url: server.url,
      connectArgs: { serverSettings: { statement_timeout: 'soon' } },
    })
    expect(wrong).toMatchObject({ fatal: true, sqlState: '22023' })
  })

  test('the server hangs up', async () => {
    using proxy = await startProxy(server.url)
    proxy.cutNew()
    const error = await failureOf({ url: proxy.url })
    expect(error).toMatchObject({ fatal: false })
    expect(error.message).toMatch(/the server closed the connection/)
  })
})

describe('cancelling', () => {
  const sleep = 'select pg_sleep(60)'

  async function untilRunning(url: string, processId: number): Promise<void> {
    const text = 'select 1 from pg_stat_activity where pid = $1 and query = $2 and state = $3'
    await waitUntil(async () => (await query(url, text, [processId, sleep, 'active'])).length > 0)
  }

  test('ends the statement that is running, and the connection stays usable', async () => {
    await withConnection(driverFor({ url: db.url }), async (connection) => {
      const outcome = expect(select(connection, sleep)).rejects.toMatchObject({ code: '57014' })
      await untilRunning(db.url, connection.processId)
      await connection.cancel(5000)
      await outcome
      expect(await select(connection, 'select 1 as one')).toEqual([{ one: 1 }])
    })
  })

  test('asks the server that the connection went to, also over a Unix socket', async () => {
    const { socketDirectory: host, port, user } = server
    await withConnection(driverFor({ host, port, user, database: 'postgres' }), async (connection) => {
      const outcome = expect(select(connection, sleep)).rejects.toMatchObject({ code: '57014' })
      await untilRunning(server.url, connection.processId)
      await connection.cancel(5000)
      await outcome
    })
  })

  test('resolves when the server cannot be reached, or says nothing', async () => {
    using proxy = await startProxy(db.url)
    await withConnection(driverFor({ url: proxy.url }), async (connection) => {
      proxy.refuse()
      await connection.cancel(5000)
      await proxy.accept()
      proxy.blackHole()
      await connection.cancel(50)
      proxy.pass()
    })
  })
})
