import { userInfo } from 'node:os'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { resolveConnectOptions } from '../../../src/driver/connect-options.js'
import { resolveEngineOptions } from '../../../src/engine/options.js'
import { InvalidOptionError } from '../../../src/errors.js'

const URL = 'postgres://url-user:url-password@url-host:1111/url-database'
const ENVIRONMENT = {
  PGHOST: 'env-host',
  PGPORT: '2222',
  PGUSER: 'env-user',
  PGPASSWORD: 'env-password',
  PGDATABASE: 'env-database',
}

const SERVER = { host: 'db', port: 5432 }

/** Options as JavaScript may give them. */
function resolve(
  options: object,
  environment: Record<string, string> = {},
): ReturnType<typeof resolveConnectOptions> {
  return resolveConnectOptions(options, environment)
}

describe('where it connects', () => {
  test('is localhost, the user of the operating system and the database of that name, if nothing says otherwise', () => {
    const user = userInfo().username
    expect(resolve({})).toMatchObject({
      name: `${user}@localhost:5432/${user}`,
      connectTimeoutMillis: undefined,
    })
  })

  test('is what the environment says before the defaults, the url before the environment, options before all', async () => {
    const all = { host: 'host', port: 3333, user: 'user', password: 'password', database: 'database' }
    expect(resolve({}, ENVIRONMENT).name).toBe('env-user@env-host:2222/env-database')
    expect(resolve({ url: URL }, ENVIRONMENT).name).toBe('url-user@url-host:1111/url-database')
    expect(resolve({ url: URL, ...all }, ENVIRONMENT).name).toBe('user@host:3333/database')

    expect(await resolve({}, ENVIRONMENT).password(SERVER)).toBe('env-password')
    expect(await resolve({ url: URL }, ENVIRONMENT).password(SERVER)).toBe('url-password')
    expect(await resolve({ url: URL, ...all }, ENVIRONMENT).password(SERVER)).toBe('password')
  })

  test('is decided part by part: what one source leaves open, the next fills', () => {
    const { name } = resolve(
      { url: 'postgres://url-host', database: 'database' },
      { PGPORT: '2222', PGUSER: 'me' },
    )
    expect(name).toBe('me@url-host:2222/database')
  })

  test('takes undefined for not given, and an empty variable or password too', async () => {
    const { name, password } = resolve(
      { url: undefined, host: undefined, port: undefined, password: '', connectArgs: undefined },
      { PGHOST: '', PGUSER: 'me', PGPASSWORD: 'env-password' },
    )
    expect(name).toBe('me@localhost:5432/me')
    expect(await password(SERVER)).toBe('env-password')
  })

  test('may be an IPv6 address or the folder of a Unix socket', () => {
    expect(resolve({ host: '::1', user: 'me' }).name).toBe('me@[::1]:5432/me')
    const unix = resolve({ host: '/run/postgresql', port: 5433, user: 'me' })
    expect(unix).toMatchObject({
      name: 'me@/run/postgresql:5433/me',
      hosts: [{ socketPath: '/run/postgresql/.s.PGSQL.5433' }],
    })
  })

  test('comes with the time limit of the url or the environment; zero is none', () => {
    expect(resolve({ url: 'postgres://db?connect_timeout=3' }).connectTimeoutMillis).toBe(3000)
    expect(resolve({}, { PGCONNECT_TIMEOUT: '0' }).connectTimeoutMillis).toBe(2 ** 31 - 1)
  })

  test('within the time limit of the url, unless the option says otherwise', () => {
    const url = 'postgres://db?connect_timeout=3'
    expect(resolveEngineOptions({ url }).pool.connectTimeoutMillis).toBe(3000)
    expect(resolveEngineOptions({ url, connectTimeoutMillis: 500 }).pool.connectTimeoutMillis).toBe(500)
    expect(resolveEngineOptions({}).pool.connectTimeoutMillis).toBe(10_000)
  })

  test('cannot be changed afterwards', () => {
    const target = resolve({ connectArgs: { serverSettings: { work_mem: '1MB' } } })
    expect([target, target.startup, target.hosts[0], target.hosts[0]?.tls].every(Object.isFrozen)).toBe(true)
  })
})

describe('the password', () => {
  test('is asked for again for each connection, if it is a function', async () => {
    let count = 0
    const { password } = resolve({ url: URL, password: () => Promise.resolve(`token ${++count}`) })
    expect(await password(SERVER)).toBe('token 1')
    expect(await password(SERVER)).toBe('token 2')
  })

  test('must be a string; what else a function returns is not shown', async () => {
    const { password } = resolve({ password: () => ['s3cret'] })
    await expect(password(SERVER)).rejects.toThrow('The password function returned object')
  })

  test('is nowhere in the printed description, nor is a private key', () => {
    const key = '-----BEGIN PRIVATE KEY-----\ns3cret'
    const targets = [
      resolve({ url: 'postgres://me:s3cret@db' }),
      resolve({ password: 's3cret' }),
      resolve({ password: () => 's3cret' }),
      resolve({}, { PGPASSWORD: 's3cret' }),
      resolve({ connectArgs: { sslcert: '-----BEGIN CERTIFICATE-----', sslkey: key } }),
      resolve({ connectArgs: { ssl: { key, passphrase: 's3cret' } } }),
    ]
    for (const target of targets) {
      expect(inspect(target, { showHidden: true, depth: 9 })).not.toContain('s3cret')
      expect(JSON.stringify(target)).not.toContain('s3cret')
    }
  })
})

describe('the settings of the session', () => {
  test('follow user and database in the startup message, in their order', () => {
    const { startup } = resolve({
      url: 'postgres://me@db/songs?options=-c%20geqo%3Doff',
      connectArgs: {
        serverSettings: { statement_timeout: '5s', application_name: 'songs', 'my.setting': "it's" },
      },
    })
    expect(Object.entries(startup)).toEqual([
      ['user', 'me'],
      ['database', 'songs'],
      ['options', '-c geqo=off'],
      ['statement_timeout', '5s'],
      ['application_name', 'songs'],
      ['my.setting', "it's"],
    ])
  })

  test('name the application as serverSettings, the url or PGAPPNAME say, in this order', () => {
    const url = 'postgres://db?application_name=from-url'
    const environment = { PGAPPNAME: 'from-env' }
    const connectArgs = { serverSettings: { application_name: 'from-settings' } }
    expect(resolve({}, environment).startup['application_name']).toBe('from-env')
    expect(resolve({ url }, environment).startup['application_name']).toBe('from-url')
    expect(resolve({ url, connectArgs }, environment).startup['application_name']).toBe('from-settings')
  })
})

describe('TLS', () => {
  const file = '/ca.pem'

  test.each([
    [{}, 'try'],
    [{ sslmode: 'disable' }, 'never'],
    [{ sslmode: 'prefer' }, 'try'],
    [{ sslmode: 'require' }, 'always'],
    [{ sslmode: 'verify-ca', sslrootcert: file }, 'always'],
    [{ sslmode: 'verify-full' }, 'always'],
    [{ sslrootcert: 'system' }, 'always'],
    [{ ssl: true }, 'always'],
    [{ ssl: { ca: 'x' } }, 'always'],
    [{ ssl: false }, 'never'],
  ])('of %j is used: %s', (connectArgs, use) => {
    expect(resolve({ connectArgs }).hosts[0]?.tls.use).toBe(use)
  })

  const ca = '-----BEGIN CERTIFICATE-----\nthe authority'
  const unverified = { rejectUnauthorized: false }
  const chain = { rejectUnauthorized: true, checkServerIdentity: expect.any(Function) as unknown }
  const full = { rejectUnauthorized: true }

  test.each([
    [{ sslmode: 'prefer' }, unverified],
    [
      { sslmode: 'prefer', sslrootcert: ca },
      { ...unverified, ca },
    ],
    [{ sslmode: 'require' }, unverified],
    [
      { sslmode: 'require', sslrootcert: ca },
      { ...chain, ca },
    ],
    [
      { sslmode: 'verify-ca', sslrootcert: ca },
      { ...chain, ca },
    ],
    [{ sslmode: 'verify-full' }, full],
    [
      { sslmode: 'verify-full', sslrootcert: ca },
      { ...full, ca },
    ],
    [{ sslrootcert: 'system' }, full],
    [{ ssl: true }, {}],
    [{ ssl: { servername: 'db' } }, { servername: 'db' }],
  ])('of %j verifies accordingly', async (connectArgs, options) => {
    expect(await resolve({ connectArgs }).hosts[0]?.tls.load()).toEqual(options)
  })

  test('is chosen by connectArgs before the url before the environment, and by ssl before all', () => {
    const url = 'postgres://db?sslmode=require'
    const environment = { PGSSLMODE: 'prefer' }
    expect(resolve({}, environment).hosts[0]?.tls.use).toBe('try')
    expect(resolve({ url }, environment).hosts[0]?.tls.use).toBe('always')
    expect(resolve({ url, connectArgs: { sslmode: 'disable' } }, environment).hosts[0]?.tls.use).toBe('never')
    expect(resolve({ url, connectArgs: { ssl: false } }, environment).hosts[0]?.tls.use).toBe('never')
  })

  test('is not for Unix sockets', () => {
    expect(resolve({ host: '/run', connectArgs: { sslmode: 'verify-full' } }).hosts[0]?.tls.use).toBe('never')
  })
})

describe('what cannot work is refused, by the name the caller gave it', () => {
  test.each<[object, string, string]>([
    [{ url: 5 }, 'url', 'string'],
    [{ url: 'db' }, 'url', 'postgres://'],
    [{ host: '' }, 'host', 'not empty'],
    [
      { host: 'a,b', connectArgs: { target_session_attrs: 'master' } },
      'connectArgs.target_session_attrs',
      'primary',
    ],
    [{ host: 'a\0b' }, 'host', 'zero byte'],
    [{ port: '5432' }, 'port', 'whole number from 1 to 65535'],
    [{ port: 0 }, 'port', 'from 1'],
    [{ url: 'postgres://db:70000' }, 'port in url', '65535'],
    [{ user: 7 }, 'user', 'string'],
    [{ user: 'me\0application_name\0x' }, 'user', 'zero byte'],
    [{ database: '' }, 'database', 'not empty'],
    [{ password: 5 }, 'password', 'string or a function'],
    [{ connectArgs: 'x' }, 'connectArgs', 'object'],
    [{ connectArgs: { sslMode: 'require' } }, 'sslMode', "did you mean 'sslmode'?"],
    [{ connectArgs: { serverSettings: 'x' } }, 'connectArgs.serverSettings', 'object'],
    [{ connectArgs: { serverSettings: { work_mem: 1 } } }, 'connectArgs.serverSettings.work_mem', 'string'],
    [
      { connectArgs: { serverSettings: { 'a b': '' } } },
      'connectArgs.serverSettings.a b',
      'no name of a setting',
    ],
    [
      { connectArgs: { serverSettings: { User: 'x' } } },
      'connectArgs.serverSettings.User',
      'belongs to the connection',
    ],
    [{ connectArgs: { serverSettings: { x: 'a\0b' } } }, 'connectArgs.serverSettings.x', 'zero byte'],
    [{ connectArgs: { ssl: 'yes' } }, 'connectArgs.ssl', 'object'],
    [{ connectArgs: { ssl: true, sslmode: 'require' } }, 'connectArgs.ssl', 'exclude each other'],
    [{ connectArgs: { keepAlive: 1 } }, 'connectArgs.keepAlive', 'true or false'],
    [
      { connectArgs: { keepAliveInitialDelayMillis: -1 } },
      'connectArgs.keepAliveInitialDelayMillis',
      'at least 0',
    ],
    [{ connectArgs: { sslmode: 'required' } }, 'connectArgs.sslmode', 'none of disable, prefer, require'],
    [{ connectArgs: { sslmode: 'allow' } }, 'connectArgs.sslmode', 'write prefer, or require'],
    [{ url: 'postgres://db?sslmode=no-verify' }, 'sslmode in url', 'is called require'],
    [{ connectArgs: { sslmode: 'verify-ca' } }, 'connectArgs.sslmode', 'needs sslrootcert'],
    [{ connectArgs: { sslmode: 'require', sslrootcert: 'system' } }, 'connectArgs.sslmode', 'verify-full'],
    [{ connectArgs: { sslcert: 'a.pem' } }, 'connectArgs.sslcert', 'belong together'],
    [{ connectArgs: { sslkey: 'a.pem' } }, 'connectArgs.sslkey', 'belong together'],
    [{ connectArgs: { sslnegotiation: 'quick' } }, 'connectArgs.sslnegotiation', "'postgres' or 'direct'"],
    [
      { connectArgs: { sslnegotiation: 'direct' } },
      'connectArgs.sslnegotiation',
      'sslmode=require or stricter',
    ],
    [{ connectArgs: { channel_binding: 'maybe' } }, 'connectArgs.channel_binding', 'require'],
    [
      { url: 'postgres://db?connect_timeout=soon' },
      'connect_timeout in url',
      'a whole number of seconds, not "soon"',
    ],
  ])('%j', (options, option, reason) => {
    expect(() => resolve(options)).toThrow(InvalidOptionError)
    expect(() => resolve(options)).toThrow(expect.objectContaining({ option }) as Error)
    expect(() => resolve(options)).toThrow(reason)
  })

  test.each([
    ['PGPORT', 'five'],
    ['PGSSLMODE', 'yes'],
    ['PGCONNECT_TIMEOUT', 'soon'],
    ['PGPORT', '1,2'],
  ])('%s=%s', (variable, value) => {
    expect(() => resolve({}, { [variable]: value })).toThrow(
      expect.objectContaining({ option: variable }) as Error,
    )
  })
})
