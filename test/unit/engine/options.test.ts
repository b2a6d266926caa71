/** Which part of an engine each of its options goes to, and what is refused. */
import { expect, test } from 'vitest'
import { resolveEngineOptions } from '../../../src/engine/options.js'
import { InvalidOptionError } from '../../../src/errors.js'
import { checkSessionOptions, SESSION_OPTION_NAMES } from '../../../src/session/session-options.js'

const logger = { info: () => undefined, debug: () => undefined, error: () => undefined }
const types = { getTypeParser: () => String }

test('each option goes to its part, and to no other', () => {
  const options = resolveEngineOptions({
    url: 'postgres://me@there:1/db',
    connectArgs: { sslmode: 'disable' },
    poolSize: 3,
    maxOverflow: 1,
    isolationLevel: 'SERIALIZABLE',
    settings: { 'app.tenant': '7' },
    name: 'main',
    echo: 'debug',
    hideParameters: true,
    statementCacheSize: 0,
    statementCacheMaxBytes: 5,
    statementCacheMaxAgeMillis: -1,
    types,
  })
  expect(options).toMatchObject({
    connect: { url: 'postgres://me@there:1/db', connectArgs: { sslmode: 'disable' } },
    transaction: { isolationLevel: 'SERIALIZABLE', settings: { 'app.tenant': '7' } },
    pool: { poolSize: 3, maxOverflow: 1, minIdle: 0 },
    name: 'main',
    echo: 'debug',
    hideParameters: true,
    statementCacheSize: 0,
    statementCacheMaxBytes: 5,
    statementCacheMaxAgeMillis: -1,
    types,
  })
  expect(Object.keys(options.connect)).toEqual(['url', 'connectArgs'])
  expect(Object.keys(options.transaction)).toEqual(['isolationLevel', 'settings'])
  expect(Object.keys(options.pool)).not.toContain('url')
})

test('what is left out, or undefined, has its default', () => {
  for (const input of [{}, { name: undefined, echo: undefined, poolSize: undefined, readOnly: undefined }]) {
    expect(resolveEngineOptions(input)).toMatchObject({
      name: undefined,
      echo: false,
      hideParameters: false,
      statementCacheSize: undefined,
      types: undefined,
      connect: {},
      transaction: {},
      pool: { poolSize: 5 },
    })
  }
})

test.each<[url: string, connectTimeoutMillis: number | undefined, resolved: number]>([
  ['postgres://there/db', undefined, 10_000],
  ['postgres://there/db?connect_timeout=3', undefined, 3_000],
  ['postgres://there/db?connect_timeout=3', 500, 500],
])('%s with connectTimeoutMillis %s: %i', (url, connectTimeoutMillis, resolved) => {
  expect(resolveEngineOptions({ url, connectTimeoutMillis }).pool.connectTimeoutMillis).toBe(resolved)
})

test.each([true, false, 'debug', logger])('echo may be %s', (echo) => {
  expect(resolveEngineOptions({ echo: echo as never }).echo).toBe(echo)
})

test.each<[input: unknown, message: string]>([
  ['postgres://there', 'createEngine({ url })'],
  [null, 'engine options'],
  [{ connectionString: 'x' }, 'url'],
  [{ max: 5 }, 'poolSize and maxOverflow'],
  [{ statement_timeout: 5 }, 'statementTimeoutMillis'],
  [{ ssl: true }, 'connectArgs.sslmode'],
  [{ pollSize: 5 }, "did you mean 'poolSize'"],
  [{ autoflush: false }, 'autoflush'],
  [{ name: 5 }, 'name'],
  [{ echo: 'verbose' }, 'echo'],
  [{ echo: { info: () => undefined } }, 'debug'],
  [{ hideParameters: 1 }, 'hideParameters'],
  [{ statementCacheSize: -1 }, 'statementCacheSize'],
  [{ statementCacheMaxBytes: 0.5 }, 'statementCacheMaxBytes'],
  [{ statementCacheMaxAgeMillis: 0 }, 'statementCacheMaxAgeMillis'],
  [{ types: {} }, 'getTypeParser'],
  [{ isolationLevel: 'SNAPSHOT' }, 'isolationLevel'],
  [{ poolSize: -1 }, 'poolSize'],
])('%j is refused', (input, message) => {
  expect(() => resolveEngineOptions(input as never)).toThrow(InvalidOptionError)
  expect(() => resolveEngineOptions(input as never)).toThrow(message)
})

test.each<[input: object, refused: string | undefined]>([
  [{}, undefined],
  [{ expireOnCommit: true, autoflush: false, detectSharing: true, info: { a: 1 } }, undefined],
  [{ expireOnCommit: undefined, info: undefined }, undefined],
  [{ expireOnCommit: 1 }, 'expireOnCommit'],
  [{ autoflush: 'no' }, 'autoflush'],
  [{ detectSharing: null }, 'detectSharing'],
  [{ info: 'x' }, 'info'],
  [{ info: [] }, 'info'],
])('of a session, %j: %s is refused', (input, refused) => {
  const check = (): void => checkSessionOptions(input)
  if (refused === undefined) return check()
  expect(check).toThrow(InvalidOptionError)
  expect(check).toThrow(refused)
})

test('no option of a session is named twice', () => {
  expect(new Set(SESSION_OPTION_NAMES).size).toBe(SESSION_OPTION_NAMES.length)
})
