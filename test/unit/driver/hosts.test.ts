/** Lists of hosts, as libpq reads them. */
import { describe, expect, test } from 'vitest'
import { type ConnectTarget, resolveConnectOptions } from '../../../src/driver/connect-options.js'
import { InvalidOptionError } from '../../../src/errors.js'

function resolve(options: object, environment: Record<string, string> = {}): ConnectTarget {
  return resolveConnectOptions({ user: 'me', ...options }, environment)
}

function namesOf(target: ConnectTarget): string[] {
  return target.hosts.map(({ name }) => name)
}

describe('hosts', () => {
  test.each<[string, object, Record<string, string>, string[]]>([
    ['a url', { url: 'postgres://a,b:5433,c/d' }, {}, ['a:5432', 'b:5433', 'c:5432']],
    [
      'a url with an IPv6 address',
      { url: 'postgres://[::1]:1,[fe80::2]/d' },
      {},
      ['[::1]:1', '[fe80::2]:5432'],
    ],
    ['a url with a password', { url: 'postgres://u:p%40@a:1,b:2/d' }, {}, ['a:1', 'b:2']],
    ['parameters of a url', { url: 'postgres:///d?host=a,b&port=1,2' }, {}, ['a:1', 'b:2']],
    ['one port for all', { url: 'postgres:///d?host=a,b&port=6' }, {}, ['a:6', 'b:6']],
    [
      'an empty item, which is the default',
      { url: 'postgres:///d?host=a,&port=,7' },
      {},
      ['a:5432', 'localhost:7'],
    ],
    ['the option host', { host: 'a, b', port: 6 }, {}, ['a:6', 'b:6']],
    ['the option hosts', { hosts: [{ host: 'a' }, { host: 'b', port: 7 }] }, {}, ['a:5432', 'b:7']],
    [
      'the option hosts before url and variables',
      { hosts: [{ host: 'a' }], url: 'postgres://b,c:1/d' },
      { PGPORT: '9' },
      ['a:5432'],
    ],
    ['variables', {}, { PGHOST: 'a,b', PGPORT: '1,2' }, ['a:1', 'b:2']],
    [
      'the host of a url, and the port of a variable',
      { url: 'postgres://a,b/d' },
      { PGPORT: '9' },
      ['a:9', 'b:9'],
    ],
    [
      'IPv6 addresses',
      { hosts: [{ host: '::1' }, { host: 'fe80::1%eth0', port: 6 }] },
      {},
      ['[::1]:5432', '[fe80::1%eth0]:6'],
    ],
    ['IPv6 addresses of variables', {}, { PGHOST: '::1,fe80::2', PGPORT: '1,2' }, ['[::1]:1', '[fe80::2]:2']],
    [
      'IPv6 addresses in brackets, with and without a port',
      { url: 'postgres://me@[::1],[::1]:5433/d' },
      {},
      ['[::1]:5432', '[::1]:5433'],
    ],
    [
      'ports with white space and a sign, as strtol reads them',
      { host: 'a,b' },
      { PGPORT: ' 7,+8 ' },
      ['a:7', 'b:8'],
    ],
    ['sockets and servers', { host: '/run/a,b' }, {}, ['/run/a:5432', 'b:5432']],
  ])('from %s', (_from, options, environment, names) => {
    expect(namesOf(resolve(options, environment))).toEqual(names)
  })

  test('have an address each', () => {
    const { hosts } = resolve({ url: 'postgres:///d?host=a,b&hostaddr=10.0.0.1,' })
    expect(hosts).toMatchObject([
      { host: 'a', address: '10.0.0.1' },
      { host: 'b', address: undefined },
    ])
  })

  test('are all in the name of the target', () => {
    expect(resolve({ url: 'postgres://a,b:2/d' }).name).toBe('me@a:5432,b:2/d')
  })

  test('over sockets are not encrypted, others are', () => {
    const connectArgs = { sslmode: 'verify-full' }
    const { hosts } = resolve({ host: '/run/a,b', connectArgs })
    expect(hosts.map(({ tls }) => tls.use)).toEqual(['never', 'always'])
  })

  test('are told to the password function', async () => {
    const { hosts, password } = resolve({
      url: 'postgres://a,b:2/d',
      password: ({ host, port }: { host: string; port: number }) => `${host}-${port}`,
    })
    expect(await Promise.all(hosts.map((host) => password(host)))).toEqual(['a-5432', 'b-2'])
  })
})

describe('which host is meant', () => {
  test.each([
    ['postgres://a/d?target_session_attrs=read-write&load_balance_hosts=random', {}],
    ['postgres://a/d', { PGTARGETSESSIONATTRS: 'read-write', PGLOADBALANCEHOSTS: 'random' }],
  ])('is said by %s %j', (url, environment) => {
    expect(resolve({ url }, environment)).toMatchObject({ session: 'read-write', shuffled: true })
  })

  test('is any, in the order given, if nothing else is said', () => {
    expect(resolve({})).toMatchObject({ session: 'any', shuffled: false, hostTimeoutMillis: 3000 })
  })

  test('is said by options before the url', () => {
    const connectArgs = { target_session_attrs: 'standby', load_balance_hosts: 'disable' }
    const url = 'postgres://a/d?target_session_attrs=primary&load_balance_hosts=random'
    expect(resolve({ url, connectArgs, hostTimeoutMillis: 7 })).toMatchObject({
      session: 'standby',
      shuffled: false,
      hostTimeoutMillis: 7,
    })
  })
})

describe('refused by its name:', () => {
  test.each<[object, Record<string, string>, string, string]>([
    [{ hosts: [] }, {}, 'hosts', 'must be a list'],
    [{ hosts: 'a,b' }, {}, 'hosts', 'must be a list'],
    [{ hosts: ['a'] }, {}, 'hosts[0]', 'object'],
    [{ hosts: Object.assign(new Array(2), { 1: { host: 'a' } }) }, {}, 'hosts[0]', 'object'],
    [{ hosts: new Array(2) }, {}, 'hosts[0]', 'object'],
    [{ hosts: [{ host: '[::1]' }] }, {}, 'hosts[0].host', "without brackets, such as '::1'"],
    [{ hosts: [{ host: '[::1]:5433' }] }, {}, 'hosts[0].host', 'a port is given as port'],
    [{ hosts: [{ host: 'db:5433' }] }, {}, 'hosts[0].host', 'a port is given as port'],
    [{ hosts: [{ host: ' a' }] }, {}, 'hosts[0].host', 'must be a name'],
    [{ hosts: [{ host: '  ' }] }, {}, 'hosts[0].host', 'must be a name'],
    [{ hosts: [{ host: 'a', port: null as never }] }, {}, 'hosts[0].port', 'a whole number from 1'],
    [{ host: 'a b' }, {}, 'host', 'must be a name'],
    [{ host: '[::1]' }, {}, 'host', 'without brackets'],
    [{ host: 'a,db:5433' }, {}, 'host', 'a port is given as port'],
    [{}, { PGHOST: '[::1]:5433' }, 'PGHOST', 'without brackets'],
    [{ url: 'postgres:///d?host=[::1]' }, {}, 'host in url', 'without brackets'],
    [{ url: 'postgres://[]/d' }, {}, 'url', 'no address in the brackets'],
    [{ url: 'postgres://[::1/d' }, {}, 'url', 'unreadable host or port'],
    [{ url: 'postgres://::1/d' }, {}, 'url', 'unreadable host or port'],
    ...['0x10', '1e3', '5432.0', '5 432', '0b1', '-1', '0', '٣'].map(
      (port): [object, Record<string, string>, string, string] => [
        {},
        { PGPORT: port },
        'PGPORT',
        'PGPORT must be',
      ],
    ),
    [{ url: 'postgres://a/d?port=0x10' }, {}, 'port in url', 'must be'],
    [{}, { PGCONNECT_TIMEOUT: '0x10' }, 'PGCONNECT_TIMEOUT', 'a whole number of seconds'],
    [{ hosts: [{ host: 'a' }, { host: '' }] }, {}, 'hosts[1].host', 'empty'],
    [{ hosts: [{ host: 'a,b' }] }, {}, 'hosts[0]', 'one server'],
    [{ hosts: [{ host: 'a\0b' }] }, {}, 'hosts[0].host', 'zero byte'],
    [{ hosts: [{ host: 'a', prot: 1 }] }, {}, 'prot', "did you mean 'port'"],
    [{ hosts: [{ host: 'a', port: 70_000 }] }, {}, 'hosts[0].port', '65535'],
    [{ hosts: [{ host: 'a' }], host: 'b' }, {}, 'hosts', 'exclude each other'],
    [{ hosts: [{ host: 'a' }], port: 1 }, {}, 'hosts', 'exclude each other'],
    [{ url: 'postgres:///d?host=a,b,c&port=1,2' }, {}, 'port in url', '2 ports for 3 hosts'],
    [{ url: 'postgres://a/d' }, { PGPORT: '1,2' }, 'PGPORT', '2 ports for 1 host'],
    [{ host: 'a' }, { PGHOSTADDR: '10.0.0.1,10.0.0.2' }, 'PGHOSTADDR', '2 addresses for 1 host'],
    [{ url: 'postgres:///d?host=a,b&hostaddr=10.0.0.1,c' }, {}, 'hostaddr in url', 'IP address'],
    [{ hostTimeoutMillis: 0 }, {}, 'hostTimeoutMillis', 'at least 1'],
    [{ connectArgs: { load_balance_hosts: 'yes' } }, {}, 'connectArgs.load_balance_hosts', 'random'],
    [{}, { PGTARGETSESSIONATTRS: 'master' }, 'PGTARGETSESSIONATTRS', 'primary'],
  ])('%j %j', (options, environment, option, message) => {
    const failure = ((): unknown => {
      try {
        return resolve(options, environment)
      } catch (error) {
        return error
      }
    })()
    expect(failure).toBeInstanceOf(InvalidOptionError)
    expect((failure as InvalidOptionError).option).toBe(option)
    expect((failure as InvalidOptionError).message).toContain(message)
  })
})

test('a revoked Proxy is no list of hosts', () => {
  const { proxy, revoke } = Proxy.revocable<unknown[]>([], {})
  revoke()
  expect(() => resolve({ hosts: proxy })).toThrow('hosts must be a list')
})
