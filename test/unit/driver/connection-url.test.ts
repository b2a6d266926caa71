import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parseConnectionUrl } from '../../../src/driver/connection-url.js'
import { InvalidOptionError } from '../../../src/errors.js'

describe('a url', () => {
  test.each([
    ['postgres://', {}],
    ['postgresql://db', { host: 'db' }],
    ['postgres://db:5433/songs', { host: 'db', port: '5433', dbname: 'songs' }],
    ['postgres://me:pw@db/songs', { user: 'me', password: 'pw', host: 'db', dbname: 'songs' }],
    ['postgres://me@/songs', { user: 'me', dbname: 'songs' }],
    ['postgres:///songs', { dbname: 'songs' }],
    ['postgres://:5433', { port: '5433' }],
    ['postgres://me:@db:/', { user: 'me', host: 'db' }],
    ['postgres://[::1]:5433/songs', { host: '::1', port: '5433', dbname: 'songs' }],
    ['postgres://me:p%40ss%2Fw%25rd@db', { user: 'me', password: 'p@ss/w%rd', host: 'db' }],
    ['postgres://me:p@ss#word:x@db', { user: 'me', password: 'p@ss#word:x', host: 'db' }],
    [
      'postgres://me%40corp:pw@db/my%20songs',
      { user: 'me@corp', password: 'pw', host: 'db', dbname: 'my songs' },
    ],
    ['postgres://%2Frun%2Fpostgresql/songs', { host: '/run/postgresql', dbname: 'songs' }],
    ['postgres://me@/songs?host=/run/postgresql', { user: 'me', dbname: 'songs', host: '/run/postgresql' }],
    [
      'postgres://db/songs?host=other&port=1&user=u&password=p&dbname=d',
      {
        host: 'other',
        port: '1',
        user: 'u',
        password: 'p',
        dbname: 'd',
      },
    ],
    [
      'postgres://db?sslmode=verify-full&sslrootcert=/ca.pem',
      {
        host: 'db',
        sslmode: 'verify-full',
        sslrootcert: '/ca.pem',
      },
    ],
    [
      'postgres://db?options=-c%20statement_timeout%3D5s&application_name=songs',
      {
        host: 'db',
        options: '-c statement_timeout=5s',
        application_name: 'songs',
      },
    ],
    ['postgres://db?ssl=true', { host: 'db', sslmode: 'require' }],
    ['postgres://db?sslmode=verify-full&ssl=true', { host: 'db', sslmode: 'verify-full' }],
    ['postgres://db?uselibpqcompat=true&&connect_timeout=10', { host: 'db', connect_timeout: '10' }],
  ])('%s', (url, settings) => {
    expect(parseConnectionUrl(url)).toEqual(settings)
  })
})

describe('a url that cannot be read is refused with a reason', () => {
  test.each([
    ['', 'is empty'],
    ['db.example/songs', 'must start with postgres:// or postgresql://'],
    ['mysql://db', 'not with mysql://'],
    ['postgresql+asyncpg://db', 'not with postgresql+asyncpg://'],
    ['postgres://a,b:x/songs', 'unreadable host or port'],
    ['postgres://me:pw@a:1,[::1/songs', 'unreadable host or port'],
    ['postgres://db:port/songs', 'host or port'],
    ['postgres://db/songs?sslmod=require', "'sslmod'. Did you mean 'sslmode'?"],
    ['postgres://db/songs?work_mem=4MB', "'work_mem'. Settings of the server belong into connectArgs.server"],
    ['postgres://db/songs?pgbouncer=true', 'set the option statementCacheSize: 0'],
    ['postgres://db/songs?schema=crm', "connectArgs: { serverSettings: { search_path: '...' } }"],
    ['postgres://db/songs?connection_limit=5', 'poolSize and maxOverflow'],
    ['postgres://db/songs?ssl=no', 'sslmode='],
    ['postgres://db/songs?=require', "a '=' in its parameters without a name before it: write 'name=value'"],
    ['postgres://db/songs?sslmode', "the parameter 'sslmode' without a value: write 'sslmode=...'"],
    ['postgres://db/songs?sslmod', "'sslmod'. Did you mean 'sslmode'?"],
    ['postgres://db/songs?ssl-mode=require', 'a parameter whose name cannot be read'],
    ['postgres://db/songs?ssl%mode=require', 'a parameter whose name cannot be read'],
    ['postgres://db/songs? sslmode=require', 'a parameter whose name cannot be read'],
    ['postgres://me:100%@db', '%25'],
  ])('%s', (url, reason) => {
    expect(() => parseConnectionUrl(url)).toThrow(InvalidOptionError)
    expect(() => parseConnectionUrl(url)).toThrow(reason)
  })

  test.each([
    'mysql://me:s3cret@db',
    'me:s3cret@db/songs',
    'postgres//me:s3cret@db/songs',
    'postgres://me:s3cret@db:port/songs',
    'postgres://me:s3cret%@db/songs',
    'postgres://me:s3cret@a,b:x/songs',
    'postgres://me:s3cret@db/songs?nothing=1',
    'postgres://me:12/s3cret@db/songs',
    'postgres://me:12?s3cret@db/songs',
    'postgres://me:x/s3cret@db/songs',
    'postgres://me:x?s3cret@db/songs',
    'postgres://db/songs?=s3cret',
    'postgres://db/songs?password=x&%s3cret',
  ])('that does not show the password of %s', (url) => {
    const error = thrownBy(() => parseConnectionUrl(url))
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(inspect(error, { showHidden: true }).split('\n    at ')[0]).not.toContain('s3cret')
    expect(JSON.stringify(error)).not.toContain('s3cret')
  })
})

test('names of parameters are decoded, as libpq decodes them', () => {
  expect(parseConnectionUrl('postgres://db/songs?%73slmode=require&application%5fname=a=b&&')).toEqual({
    host: 'db',
    dbname: 'songs',
    sslmode: 'require',
    application_name: 'a=b',
  })
})

function thrownBy(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    return error
  }
  throw new Error('Nothing was thrown')
}
