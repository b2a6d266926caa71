import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { guardLeaks } from '../helpers/leak-guard.js'
import { type LocalServer, startServer } from '../helpers/local-server.js'
import { startProxy } from '../helpers/proxy.js'
import { type Certificates, createCertificates } from '../helpers/tls.js'
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

const warn = vi.spyOn(process, 'emitWarning')
let certificates: Certificates
let foreign: Certificates
/** With TLS. Its databases say who may come how. */
let server: LocalServer
/** Without TLS. */
let plain: LocalServer

beforeAll(async () => {
  certificates = createCertificates()
  foreign = createCertificates()
  const tls = { ...certificates.server, authority: certificates.authority }
  const hba = [
    'local all all trust',
    'hostssl by_certificate all all cert',
    'hostnossl only_plain all all scram-sha-256',
    'hostssl only_tls all all scram-sha-256',
    'host postgres all all scram-sha-256',
  ]
  ;[server, plain] = await Promise.all([startServer({ tls, hba }), startServer()])
  const { socketDirectory: host, port, user } = server
  const superuser = driverFor({ host, port, user, database: 'postgres' })
  for (const name of ['by_certificate', 'only_plain', 'only_tls']) {
    await withConnection(superuser, (connection) => connection.script(`create database ${name}`))
  }
})
afterAll(async () => {
  await Promise.all([server.dispose(), plain.dispose()])
  certificates[Symbol.dispose]()
  foreign[Symbol.dispose]()
})

const ENCRYPTED = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
/** Leads to 127.0.0.1, and no certificate is for it. */
const OTHER_NAME = '127.1'

type Args = Parameters<typeof driverFor>[0]['connectArgs']

function to(database: string, connectArgs: Args, host = 'localhost'): Parameters<typeof driverFor>[0] {
  const { port, user, password } = server
  return { host, port, user, password, database, connectArgs }
}

describe('a server with TLS', () => {
  test.each<[string, () => Args, string, boolean]>([
    ['nothing', () => undefined, OTHER_NAME, true],
    ['disable', () => ({ sslmode: 'disable' }), OTHER_NAME, false],
    ['prefer', () => ({ sslmode: 'prefer' }), OTHER_NAME, true],
    ['require', () => ({ sslmode: 'require' }), OTHER_NAME, true],
    [
      'require and an authority',
      () => ({ sslmode: 'require', sslrootcert: certificates.authority }),
      OTHER_NAME,
      true,
    ],
    ['verify-ca', () => ({ sslmode: 'verify-ca', sslrootcert: certificates.authority }), OTHER_NAME, true],
    [
      'verify-full',
      () => ({ sslmode: 'verify-full', sslrootcert: certificates.authority }),
      'localhost',
      true,
    ],
    [
      'verify-full, an address',
      () => ({ sslmode: 'verify-full', sslrootcert: certificates.authority }),
      '127.0.0.1',
      true,
    ],
    [
      'PEM text',
      () => ({ sslmode: 'verify-full', sslrootcert: readFileSync(certificates.authority, 'utf8') }),
      'localhost',
      true,
    ],
    ['ssl: { ca }', () => ({ ssl: { ca: readFileSync(certificates.authority) } }), 'localhost', true],
    ['ssl: { rejectUnauthorized: false }', () => ({ ssl: { rejectUnauthorized: false } }), OTHER_NAME, true],
    ['ssl: false', () => ({ ssl: false }), OTHER_NAME, false],
  ])('lets in with %s', async (_, args, host, encrypted) => {
    expect(await selectOnce(to('postgres', args(), host), ENCRYPTED)).toEqual([{ ssl: encrypted }])
  })

  test.each<[string, () => Args, string, string]>([
    [
      'verify-full and the wrong name',
      () => ({ sslmode: 'verify-full', sslrootcert: certificates.authority }),
      OTHER_NAME,
      'ALTNAME',
    ],
    [
      'verify-full and nothing else',
      () => ({ sslmode: 'verify-full' }),
      'localhost',
      'SELF_SIGNED|UNABLE_TO',
    ],
    ['sslrootcert=system', () => ({ sslrootcert: 'system' }), 'localhost', 'SELF_SIGNED|UNABLE_TO'],
    [
      'verify-ca and another authority',
      () => ({ sslmode: 'verify-ca', sslrootcert: foreign.authority }),
      'localhost',
      'SELF_SIGNED|UNABLE_TO|ERR_SSL',
    ],
    [
      'require and another authority',
      () => ({ sslmode: 'require', sslrootcert: foreign.authority }),
      'localhost',
      'SELF_SIGNED|UNABLE_TO|ERR_SSL',
    ],
    ['ssl: true', () => ({ ssl: true }), 'localhost', 'SELF_SIGNED|UNABLE_TO'],
    [
      'ssl: {} and the wrong name',
      () => ({ ssl: { ca: readFileSync(certificates.authority) } }),
      OTHER_NAME,
      'ALTNAME',
    ],
  ])('is not believed with %s, which is fatal', async (_, args, host, code) => {
    const error = await failureOf(to('postgres', args(), host))
    expect(error).toMatchObject({ fatal: true, cause: { code: expect.stringMatching(code) as unknown } })
    expect(error.message).toMatch(/sslrootcert|sslmode/)
  })

  test('is told no name if it has none: an address is not one, and Node warns of it once', () => {
    expect(warn).not.toHaveBeenCalled()
  })

  test("is reached as the options say, whatever node-postgres's own variables say", async () => {
    vi.stubEnv('PGSSLMODE', 'require')
    expect(await selectOnce(to('postgres', { sslmode: 'disable' }), ENCRYPTED)).toEqual([{ ssl: false }])
    vi.stubEnv('PGSSLNEGOTIATION', 'direct')
    expect(await selectOnce(to('postgres', { ssl: { rejectUnauthorized: false } }), ENCRYPTED)).toEqual([
      { ssl: true },
    ])
    vi.unstubAllEnvs()
  })

  test('may be set up in the url', async () => {
    const url = server.url.replace('127.0.0.1', 'localhost')
    const full = `${url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(certificates.authority)}`
    expect(await selectOnce({ url: full }, ENCRYPTED)).toEqual([{ ssl: true }])
  })

  test('is believed by a file that is read for each connection, so a renewed authority is seen', async () => {
    const file = join(certificates.authority, '..', 'renewed.crt')
    copyFileSync(foreign.authority, file)
    const driver = driverFor(to('postgres', { sslmode: 'verify-full', sslrootcert: file }))
    await expect(driver.connect({ timeoutMillis: 10_000 })).rejects.toMatchObject({ fatal: true })
    copyFileSync(certificates.authority, file)
    expect(await withConnection(driver, (connection) => select(connection, ENCRYPTED))).toEqual([
      { ssl: true },
    ])
  })

  test('may insist on TLS: prefer and require get in, disable does not', async () => {
    expect(await selectOnce(to('only_tls', undefined), ENCRYPTED)).toEqual([{ ssl: true }])
    const error = await failureOf(to('only_tls', { sslmode: 'disable' }))
    expect(error).toMatchObject({ fatal: true, sqlState: '28000' })
    expect(error.message).toContain('pg_hba.conf decides')
  })

  test('may have rules against TLS: prefer falls back, require does not', async () => {
    expect(await selectOnce(to('only_plain', undefined), ENCRYPTED)).toEqual([{ ssl: false }])
    expect(await failureOf(to('only_plain', { sslmode: 'require' }))).toMatchObject({
      fatal: true,
      sqlState: '28000',
    })
  })

  test('is asked for the password once, also where prefer tries twice', async () => {
    let asked = 0
    const password = (): string => {
      asked += 1
      return server.password
    }
    await selectOnce({ ...to('only_plain', undefined), password }, ENCRYPTED)
    expect(asked).toBe(1)
  })

  test('that refuses both ways is quoted about the first', async () => {
    const error = await failureOf(to('by_certificate', undefined))
    expect(error).toMatchObject({ fatal: true, sqlState: '28000' })
    expect(error.message).not.toContain('no encryption')
  })

  test('cancels over TLS', async () => {
    using proxy = await startProxy(server.url)
    const driver = driverFor({ ...to('only_tls', { sslmode: 'require' }), port: proxy.port })
    await withConnection(driver, async (connection) => {
      const outcome = expect(select(connection, 'select pg_sleep(60)')).rejects.toMatchObject({
        code: '57014',
      })
      const text =
        "select 1 from pg_stat_activity where query like '%pg_sleep%' and state = 'active' and pid = "
      await waitUntil(
        async () => (await selectOnce(to('postgres', undefined), text + connection.processId)).length > 0,
      )
      await connection.cancel(5000)
      await outcome
    })
    expect(proxy.connections.map((connection) => connection.names('client')[0])).toEqual([
      'SSLRequest',
      'SSLRequest',
    ])
  })

  test('takes TLS from the first byte, if it is new enough', async () => {
    const [row] = await selectOnce<{ version: number }>(
      to('postgres', undefined),
      "select current_setting('server_version_num')::int as version",
    )
    const args = {
      sslmode: 'verify-full',
      sslrootcert: certificates.authority,
      sslnegotiation: 'direct',
    } as const
    if ((row?.version ?? 0) < 170_000) {
      expect(await failureOf(to('postgres', args))).toBeInstanceOf(Error)
    } else {
      expect(await selectOnce(to('postgres', args), ENCRYPTED)).toEqual([{ ssl: true }])
    }
  })
})

describe('a server without TLS', () => {
  test('lets in with prefer, and not with require, which is fatal', async () => {
    expect(await selectOnce({ url: plain.url }, ENCRYPTED)).toEqual([{ ssl: false }])
    const error = await failureOf({ url: `${plain.url}?sslmode=require` })
    expect(error).toMatchObject({ fatal: true })
    expect(error.message).toContain(
      'The server does not support TLS. Set ssl = on at the server, or sslmode=disable here.',
    )
  })
})

describe('a client certificate', () => {
  const whole = (own: Certificates): Args => ({
    sslmode: 'verify-full',
    sslrootcert: certificates.authority,
    sslcert: own.client.certificate,
    sslkey: own.client.key,
  })

  test('lets in without a password', async () => {
    const options = { ...to('by_certificate', whole(certificates)), password: undefined }
    expect(await selectOnce(options, 'select current_user::text as me')).toEqual([{ me: server.user }])
  })

  test('that is missing or signed by another authority is refused, which is fatal', async () => {
    const missing = await failureOf(to('by_certificate', { sslmode: 'require' }))
    expect(missing).toMatchObject({ fatal: true })
    const wrong = await failureOf(to('by_certificate', whole(foreign)))
    expect(wrong).toMatchObject({ fatal: true })
  })

  test('whose file cannot be read is named', async () => {
    const error = await failureOf(
      to('postgres', { sslmode: 'require', sslcert: '/no/such.crt', sslkey: '/no/such.key' }),
    )
    expect(error).toMatchObject({ fatal: true, cause: { cause: { code: 'ENOENT' } } })
    expect(error.message).toContain('connectArgs.sslcert cannot be read: /no/such.crt')
  })

  test("has a key that is not printed, with the driver or with the connection's", async () => {
    const key = readFileSync(certificates.client.key, 'utf8')
    const secret = key.split('\n')[1] ?? 'no key'
    const driver = driverFor(to('by_certificate', { ...whole(certificates), sslkey: key }))
    const seen = await withConnection(driver, (connection) =>
      Promise.resolve(everythingOf([driver, connection])),
    )
    expect(seen).not.toContain(secret)
  })
})

describe('channel binding', () => {
  test('is done over TLS if it is asked for', async () => {
    for (const mode of ['prefer', 'require'] as const) {
      const args = { sslmode: 'require', channel_binding: mode } as const
      expect(await selectOnce(to('postgres', args), ENCRYPTED)).toEqual([{ ssl: true }])
    }
  })

  test('that is required fails where there is no TLS, and where no password is asked for', async () => {
    const unencrypted = await failureOf({ url: plain.url, connectArgs: { channel_binding: 'require' } })
    expect(unencrypted).toMatchObject({ fatal: true })
    expect(unencrypted.message).toContain('channel_binding=require, and the connection is not encrypted')

    const { socketDirectory: host, port, user } = server
    const trusted = await failureOf({
      host,
      port,
      user,
      database: 'postgres',
      connectArgs: { channel_binding: 'require' },
    })
    expect(trusted).toMatchObject({ fatal: true })
  })
})
