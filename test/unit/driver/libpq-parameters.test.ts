/** Each parameter and variable of libpq is applied, accepted where it means what is done anyway, or refused by its name. */
import { describe, expect, test } from 'vitest'
import { resolveConnectOptions, type ConnectTarget } from '../../../src/driver/connect-options.js'
import { InvalidOptionError } from '../../../src/errors.js'
import { hostOf } from './only-host.js'

const EXISTING_FILE = import.meta.filename

function resolve(options: object, environment: Record<string, string> = {}): ConnectTarget {
  return resolveConnectOptions(options, environment)
}

function refusalOf(work: () => unknown): InvalidOptionError {
  try {
    work()
  } catch (error) {
    if (error instanceof InvalidOptionError) return error
    throw error
  }
  throw new Error('It was taken')
}

// The lists of PostgreSQL 18's manual, "Parameter Key Words" and "Environment Variables".
const PARAMETERS =
  'host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout client_encoding options ' +
  'application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count ' +
  'tcp_user_timeout replication gssencmode sslmode requiressl sslnegotiation sslcompression sslcert sslkey sslkeylogfile ' +
  'sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version ' +
  'ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname gsslib gssdelegation scram_client_key ' +
  'scram_server_key service servicefile target_session_attrs load_balance_hosts oauth_issuer oauth_client_id oauth_client_secret ' +
  'oauth_scope'
const VARIABLES =
  'PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE PGREQUIREAUTH PGCHANNELBINDING PGSERVICE ' +
  'PGOPTIONS PGAPPNAME PGSSLMODE PGREQUIRESSL PGSSLNEGOTIATION PGSSLCOMPRESSION PGSSLCERT PGSSLKEY ' +
  'PGSSLCERTMODE PGSSLROOTCERT PGSSLCRL PGSSLCRLDIR PGSSLSNI PGREQUIREPEER PGSSLMINPROTOCOLVERSION ' +
  'PGSSLMAXPROTOCOLVERSION PGMINPROTOCOLVERSION PGMAXPROTOCOLVERSION PGGSSENCMODE PGKRBSRVNAME PGGSSLIB ' +
  'PGGSSDELEGATION PGCONNECT_TIMEOUT PGCLIENTENCODING PGTARGETSESSIONATTRS PGLOADBALANCEHOSTS PGDATESTYLE PGTZ PGGEQO'

/** A value that means something else than what is done by default. */
const UNUSUAL: Readonly<Record<string, string>> = {
  hostaddr: '203.0.113.1',
  PGHOSTADDR: '203.0.113.1',
  port: '1234',
  PGPORT: '1234',
  connect_timeout: '7',
  PGCONNECT_TIMEOUT: '7',
  sslmode: 'require',
  PGSSLMODE: 'require',
  sslnegotiation: 'direct',
  PGSSLNEGOTIATION: 'direct',
  channel_binding: 'require',
  PGCHANNELBINDING: 'require',
  keepalives: '0',
  keepalives_idle: '7',
  ssl_min_protocol_version: 'TLSv1.3',
  PGSSLMINPROTOCOLVERSION: 'TLSv1.3',
  ssl_max_protocol_version: 'TLSv1.2',
  PGSSLMAXPROTOCOLVERSION: 'TLSv1.2',
  PGDATESTYLE: 'ISO, DMY',
  // Without a service there is nothing to read.
  servicefile: '',
}

/** All that a target says, and what its functions give. */
async function shown(target: ConnectTarget): Promise<string> {
  const { tls: settings } = hostOf(target)
  const tls = await settings.load().catch((error: unknown) => String(error))
  return JSON.stringify([target, await target.password(hostOf(target)), tls])
}

describe.each(PARAMETERS.split(' '))('%s in a url', (name) => {
  test('is applied, or refused by its name', async () => {
    const value = UNUSUAL[name] ?? 'unusual'
    if (value === '') return
    const rest = name === 'sslnegotiation' ? 'sslmode=require&' : ''
    try {
      const target = resolve({ url: `postgres://u@h/d?${rest}${name}=${encodeURIComponent(value)}` })
      expect(await shown(target)).not.toBe(await shown(resolve({ url: `postgres://u@h/d?${rest}` })))
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidOptionError)
      expect((error as Error).message).toContain(name)
    }
  })
})

describe.each(VARIABLES.split(' '))('%s', (name) => {
  test('is applied, or refused by its name', async () => {
    const rest: Record<string, string> = name === 'PGSSLNEGOTIATION' ? { PGSSLMODE: 'require' } : {}
    try {
      const target = resolve({}, { ...rest, [name]: UNUSUAL[name] ?? 'unusual' })
      expect(await shown(target)).not.toBe(await shown(resolve({}, rest)))
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidOptionError)
      expect((error as InvalidOptionError).message).toContain(
        name === 'PGSSLCERT' || name === 'PGSSLKEY' ? 'ssl' : name,
      )
    }
  })
})

test.each([
  [
    'hostaddr',
    { url: 'postgres://db.example/x?hostaddr=10.0.0.1' },
    {},
    { hosts: [{ host: 'db.example', address: '10.0.0.1' }] },
  ],
  ['PGHOSTADDR alone', {}, { PGHOSTADDR: '::1' }, { hosts: [{ host: '::1', address: '::1' }] }],
  [
    'PGHOSTADDR counts before a socket',
    { host: '/run' },
    { PGHOSTADDR: '10.0.0.1' },
    { hosts: [{ socketPath: undefined }] },
  ],
  ['keepalives', { url: 'postgres:///?keepalives=0' }, {}, { keepAlive: false }],
  ['keepalives_idle', { url: 'postgres:///?keepalives_idle=7' }, {}, { keepAliveInitialDelayMillis: 7000 }],
  [
    'options before it',
    { url: 'postgres:///?keepalives=0', connectArgs: { keepAlive: true } },
    {},
    { keepAlive: true },
  ],
])('%s is applied', (_what, options, environment, expected) => {
  expect(resolve(options, environment)).toMatchObject(expected)
})

test('settings of the server come from variables, and connectArgs.serverSettings before them', () => {
  const environment = { PGTZ: 'UTC', PGGEQO: 'off', PGDATESTYLE: 'ISO, DMY', PGAPPNAME: 'app' }
  expect(resolve({}, environment).startup).toMatchObject({
    timezone: 'UTC',
    geqo: 'off',
    datestyle: 'ISO, DMY',
    application_name: 'app',
  })
  const connectArgs = { serverSettings: { timezone: 'Europe/Berlin' } }
  expect(resolve({ connectArgs }, environment).startup).toMatchObject({ timezone: 'Europe/Berlin' })
  expect(resolve({ url: 'postgres:///?fallback_application_name=f' }).startup).toMatchObject({
    application_name: 'f',
  })
  expect(resolve({ url: 'postgres:///?fallback_application_name=f' }, environment).startup).toMatchObject({
    application_name: 'app',
  })
})

test('versions of TLS are those of Node', async () => {
  const url = 'postgres://h/d?sslmode=require&ssl_min_protocol_version=tlsv1.3'
  expect(await resolve({ url }).hosts[0]?.tls.load()).toMatchObject({ minVersion: 'TLSv1.3' })
  expect(refusalOf(() => resolve({}, { PGSSLMINPROTOCOLVERSION: 'SSLv3' })).option).toBe(
    'PGSSLMINPROTOCOLVERSION',
  )
  const swapped = { PGSSLMINPROTOCOLVERSION: 'TLSv1.3', PGSSLMAXPROTOCOLVERSION: 'TLSv1.2' }
  expect(refusalOf(() => resolve({}, swapped)).option).toBe('PGSSLMINPROTOCOLVERSION')
})

test.each([
  ['PGTARGETSESSIONATTRS', 'any'],
  ['PGLOADBALANCEHOSTS', 'disable'],
  ['PGGSSENCMODE', 'prefer'],
  ['PGGSSENCMODE', 'disable'],
  ['PGSSLSNI', '1'],
  ['PGSSLCOMPRESSION', '0'],
  ['PGCLIENTENCODING', 'utf-8'],
  ['PGCLIENTENCODING', 'UTF8'],
  ['PGMINPROTOCOLVERSION', '3.0'],
  ['PGMAXPROTOCOLVERSION', 'latest'],
  ['PGKRBSRVNAME', 'postgres'],
  ['PGSERVICEFILE', EXISTING_FILE],
  ['PGREQUIREAUTH', ''],
])('%s=%s means what is done anyway', (name, value) => {
  expect(resolve({}, { [name]: value })).toEqual({
    ...resolve({}),
    password: expect.anything() as unknown,
    hosts: [{ ...hostOf(resolve({})), tls: expect.anything() as unknown }],
  })
})

test('PGPASSFILE is refused only where no password is given', () => {
  const environment = { PGPASSFILE: EXISTING_FILE }
  expect(refusalOf(() => resolve({}, environment)).option).toBe('PGPASSFILE')
  expect(resolve({ password: 'x' }, environment)).toBeDefined()
  expect(resolve({ password: () => 'x' }, environment)).toBeDefined()
  expect(resolve({ url: 'postgres://u:p@h' }, environment)).toBeDefined()
})

test('a file that is not there is refused by name, although it would not be read', () => {
  const missing = '/home/me/no-such-file'
  for (const name of ['PGSERVICEFILE', 'PGPASSFILE']) {
    expect(refusalOf(() => resolve({ password: 'x' }, { [name]: missing }))).toMatchObject({
      option: name,
      message: expect.stringMatching(`^${name} names a file that does not exist`) as unknown,
    })
  }
  for (const name of ['servicefile', 'passfile']) {
    const url = `postgres://u:p@h?${name}=${missing}`
    expect(refusalOf(() => resolve({ url })).option).toBe(`${name} in url`)
    expect(resolve({ url: `postgres://u:p@h?${name}=${EXISTING_FILE}` })).toBeDefined()
  }
})

test('what the url says counts before the variable, also where the variable would be refused', () => {
  const environment = { PGSSLSNI: '0' }
  expect(resolve({ url: 'postgres://h/d?sslsni=1' }, environment)).toBeDefined()
  const refusal = refusalOf(() => resolve({ url: 'postgres://h/d' }, environment))
  expect(refusal).toMatchObject({
    option: 'PGSSLSNI',
    message: 'PGSSLSNI is not supported: the name of the host is always sent',
  })
  expect(refusalOf(() => resolve({ url: 'postgres://h/d?require_auth=md5' })).message).toMatch(
    /^require_auth in url is not supported: /,
  )
})

describe('white space', () => {
  test.each([
    'postgres://me@h:1/d\n',
    ' \tpostgres://me@h:1/d',
    '\r\npostgres://me@h:1/d?application_name=x \r\n',
  ])('around a url is cut off: %j', (url) => {
    expect(resolve({ url }).name).toBe('me@h:1/d')
    expect(resolve({ url }).startup['application_name']).toBe(url.includes('=x') ? 'x' : undefined)
  })

  test.each(['postgres://me@h\n:1/d', 'postgres:// h/d', 'postgres://me:my password@h/d'])(
    'inside of its host, user or password is refused: %j',
    (url) => {
      const refusal = refusalOf(() => resolve({ url }))
      expect(refusal.message).toContain('white space')
      expect(refusal.message).not.toContain('my password')
    },
  )
})

test('a target knows whether anything was said about it', () => {
  expect(resolve({}).isDefault).toBe(true)
  expect(resolve({ url: undefined, host: undefined, connectArgs: { sslmode: 'disable' } }).isDefault).toBe(
    true,
  )
  expect(resolve({ url: 'postgres://?sslmode=disable' }).isDefault).toBe(true)
  for (const options of [
    { host: 'h' },
    { password: () => 'x' },
    { url: 'postgres://h' },
    { database: 'd' },
  ]) {
    expect(resolve(options).isDefault).toBe(false)
  }
  for (const name of ['PGHOST', 'PGUSER', 'PGDATABASE', 'PGPORT'])
    expect(resolve({}, { [name]: '1' }).isDefault).toBe(false)
})
