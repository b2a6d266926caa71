/** The options of an engine: the pool's, the connection's, those of its transactions, and a few of its own. */
import type { TypeParsers } from '../driver/driver.js'
import { type ConnectOptions, resolveConnectOptions } from '../driver/connect-options.js'
import { InvalidOptionError } from '../errors.js'
import {
  checkBoolean,
  checkInteger,
  checkMillis,
  checkObject,
  checkString,
  refuseUnknownKeys,
} from '../internal/validate.js'
import type { PoolOptions, ResolvedPoolOptions } from '../pool/options.js'
import { POOL_OPTION_NAMES, resolvePoolOptions } from '../pool/resolve-options.js'
import type { Echo } from './echo.js'
import {
  checkTransactionOptions,
  TRANSACTION_OPTION_NAMES,
  type TransactionOptions,
} from '../pipeline/transaction-options.js'

/**
 * What `createEngine` takes. Where to connect comes from `url`, or from `host`, `port`, `user`, `password` and
 * `database`, or from the PG* environment; see `docs/connecting.md`. The pool's options are explained in
 * `docs/pool.md`.
 */
export interface EngineOptions extends ConnectOptions, PoolOptions, TransactionOptions {
  /** Name in errors, events and metrics. Default: the target, `user@host:port/database`. */
  readonly name?: string | undefined
  /** Print statements: `true`, `'debug'` (their rows as well), or a logger of pino's shape. Default false. */
  readonly echo?: Echo | undefined
  /** Keep values of parameters and keys out of echo and errors, also those that PostgreSQL quotes. Default false. */
  readonly hideParameters?: boolean | undefined
  /**
   * Maximum number of prepared statements per connection; the least recently used one is dropped first. A text is prepared from
   * its second use on. Default 256, but 0 behind a recognised pooler; 0 = none (see docs/deployment.md).
   */
  readonly statementCacheSize?: number | undefined
  /**
   * Maximum number of characters in the texts of prepared statements per connection, at least 0. Default 1048576. A text longer
   * than a 64th of it is never prepared, because PostgreSQL needs some 25 times its length in memory.
   */
  readonly statementCacheMaxBytes?: number | undefined
  /**
   * Maximum age of a prepared statement; an older one is prepared again in the batch of its next use. This limits how long a
   * migration by another process goes unnoticed (see docs/prepared-statements.md). Default 60000; at least 1; -1 = no limit.
   */
  readonly statementCacheMaxAgeMillis?: number | undefined
  /**
   * True: reads of sessions in autocommit mode that wait for a connection are sent together with the read that gets one. Only
   * plain reads share a connection (see docs/pipelining.md). Default false.
   */
  readonly pipelining?: boolean | undefined
  /** How results are parsed: an object like `pg.types`. Default: `pg.types`. */
  readonly types?: TypeParsers | undefined
}

/** All options, complete and checked. */
export interface ResolvedEngineOptions {
  readonly name: string | undefined
  readonly echo: Echo
  readonly hideParameters: boolean
  readonly pipelining: boolean
  readonly statementCacheSize: number | undefined
  readonly statementCacheMaxBytes: number | undefined
  readonly statementCacheMaxAgeMillis: number | undefined
  readonly types: TypeParsers | undefined
  readonly connect: ConnectOptions
  readonly pool: ResolvedPoolOptions
  /** Options of every transaction, unless a factory, session or block gives others. */
  readonly transaction: TransactionOptions
}

const CONNECT_OPTION_NAMES = [
  'url',
  'host',
  'port',
  'hosts',
  'hostTimeoutMillis',
  'user',
  'password',
  'database',
  'connectArgs',
] as const satisfies readonly (keyof ConnectOptions)[]

/** What node-postgres and SQLAlchemy call it, where the nearest name would mislead. */
const NAMES_ELSEWHERE = {
  pipeline: 'pipelining',
  connectionString: 'url',
  connectionUrl: 'url',
  uri: 'url',
  username: 'user',
  hostname: 'host',
  schema: 'connectArgs.serverSettings.search_path',
  logging: 'echo',
  max: 'poolSize and maxOverflow',
  min: 'minIdle',
  connectionTimeoutMillis: 'poolTimeoutMillis',
  ssl: 'connectArgs.sslmode, or connectArgs.ssl',
  application_name: 'connectArgs.serverSettings.application_name',
  statement_timeout: 'statementTimeoutMillis',
  lock_timeout: 'lockTimeoutMillis',
  pool_timeout: 'poolTimeoutMillis',
  pool_recycle: 'poolRecycleMillis',
} as const

const OWN_OPTION_NAMES = [
  'name',
  'echo',
  'hideParameters',
  'pipelining',
  'statementCacheSize',
  'statementCacheMaxBytes',
  'statementCacheMaxAgeMillis',
  'types',
] as const

const AT_LEAST_0 = { min: 0 } as const
const GREATEST_AGE = { min: 1, also: [-1] } as const

/** @throws InvalidOptionError naming the option, and the nearest known one for an unknown key. */
export function resolveEngineOptions(input: EngineOptions): ResolvedEngineOptions {
  if (typeof input === 'string')
    throw new InvalidOptionError('url', 'createEngine takes an object: createEngine({ url })')
  checkObject('engine options', input)
  const known = [
    ...CONNECT_OPTION_NAMES,
    ...POOL_OPTION_NAMES,
    ...TRANSACTION_OPTION_NAMES,
    ...OWN_OPTION_NAMES,
  ]
  refuseUnknownKeys('createEngine', input, known, NAMES_ELSEWHERE)
  const transaction = pick(input, TRANSACTION_OPTION_NAMES)
  checkTransactionOptions(transaction)
  const connect = pick(input, CONNECT_OPTION_NAMES)
  // A url may say it, too: `?connect_timeout=10`.
  const { connectTimeoutMillis } = resolveConnectOptions(connect)
  const fromUrl = connectTimeoutMillis === undefined ? {} : { connectTimeoutMillis }
  return {
    name: input.name === undefined ? undefined : checkString('name', input.name),
    echo: checkEcho(input.echo ?? false),
    hideParameters: checkBoolean('hideParameters', input.hideParameters ?? false),
    pipelining: checkBoolean('pipelining', input.pipelining ?? false),
    ...checkStatementCache(input),
    types: checkTypes(input.types),
    connect,
    pool: resolvePoolOptions({ ...fromUrl, ...pick(input, POOL_OPTION_NAMES) }),
    transaction,
  }
}

function checkStatementCache({
  statementCacheSize: size,
  statementCacheMaxBytes: maxBytes,
  statementCacheMaxAgeMillis: maxAgeMillis,
}: EngineOptions): Pick<
  ResolvedEngineOptions,
  'statementCacheSize' | 'statementCacheMaxBytes' | 'statementCacheMaxAgeMillis'
> {
  return {
    statementCacheSize:
      size === undefined ? undefined : checkInteger<never>('statementCacheSize', size, AT_LEAST_0),
    statementCacheMaxBytes:
      maxBytes === undefined
        ? undefined
        : checkInteger<never>('statementCacheMaxBytes', maxBytes, AT_LEAST_0),
    statementCacheMaxAgeMillis:
      maxAgeMillis === undefined
        ? undefined
        : checkMillis('statementCacheMaxAgeMillis', maxAgeMillis, GREATEST_AGE),
  }
}

function pick<Options extends object, Name extends keyof Options>(
  options: Options,
  names: readonly Name[],
): Pick<Options, Name> {
  const picked: Partial<Options> = {}
  for (const name of names) if (options[name] !== undefined) picked[name] = options[name]
  return picked as Pick<Options, Name>
}

/** @throws InvalidOptionError */
export function checkEcho(echo: unknown): Echo {
  if (typeof echo === 'boolean' || echo === 'debug') return echo
  if (typeof echo === 'object' && echo !== null) {
    const missing = ['info', 'debug', 'error'].find(
      (name) => typeof (echo as Record<string, unknown>)[name] !== 'function',
    )
    if (missing === undefined) return echo as Echo
    throw new InvalidOptionError('echo', `echo: the logger has no method '${missing}'`)
  }
  throw new InvalidOptionError('echo', `echo must be true, false, 'debug' or a logger, not ${typeof echo}`)
}

function checkTypes(types: unknown): TypeParsers | undefined {
  if (types === undefined || isTypeParsers(types)) return types
  throw new InvalidOptionError('types', 'types must have a method getTypeParser(oid, format), like pg.types')
}

function isTypeParsers(types: unknown): types is TypeParsers {
  return typeof (types as Partial<TypeParsers> | null)?.getTypeParser === 'function'
}
