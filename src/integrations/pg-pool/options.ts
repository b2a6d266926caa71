/** The options of `pg.Pool`, and how they become options of an engine. */
import type { ConnectArgs } from '../../driver/connect-args.js'
import type { ConnectPlace, ServerAddress, TypeParsers } from '../../driver/driver.js'
import type { EngineOptions } from '../../engine/options.js'
import { Engine, InvalidOptionError } from '../../index.js'
import type { PoolClient, PoolSettings } from './types.js'

/** Options of `pg.Pool` that are supported here. */
export interface PoolConfig {
  readonly connectionString?: string | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly user?: string | undefined
  readonly password?: string | (() => string | Promise<string>) | undefined
  readonly database?: string | undefined
  /** `false`: never encrypted. Default, other than in pg: encrypted if the server can. */
  readonly ssl?: ConnectArgs['ssl']
  readonly sslnegotiation?: 'postgres' | 'direct' | undefined
  readonly enableChannelBinding?: boolean | undefined
  readonly keepAlive?: boolean | undefined
  readonly keepAliveInitialDelayMillis?: number | undefined
  readonly application_name?: string | undefined
  readonly fallback_application_name?: string | undefined
  readonly statement_timeout?: number | false | undefined
  readonly lock_timeout?: number | undefined
  readonly idle_in_transaction_session_timeout?: number | undefined
  /** Command-line options for the server. */
  readonly options?: string | undefined
  /** A query that takes longer rejects, and is cancelled on the server. */
  readonly query_timeout?: number | undefined
  readonly types?: TypeParsers | undefined
  readonly client_encoding?: string | undefined
  readonly pipeline?: boolean | undefined
  /** Values come in PostgreSQL's binary form, if pg can read it: each query then runs as pg's own. Default false. */
  readonly binary?: boolean | undefined
  /** Maximum number of connections. Default 10. */
  readonly max?: number | undefined
  /** pg-pool's older name of `max`. */
  readonly poolSize?: number | undefined
  /** The idle timeout spares as many connections. Default 0. */
  readonly min?: number | undefined
  /** Close a connection after this idle time, in milliseconds. Default 10000; 0 or null = never. */
  readonly idleTimeoutMillis?: number | null | undefined
  /** Wait for a connection at most this long. Default, other than in pg: 30000; 0 = no limit, as in pg. */
  readonly connectionTimeoutMillis?: number | undefined
  /** Maximum age of a connection, in seconds. Default, other than in pg: 1800; 0 = no limit. */
  readonly maxLifetimeSeconds?: number | undefined
  /** Close a connection after this number of checkouts. Default Infinity. */
  readonly maxUses?: number | undefined
  /** True: the process may end while connections are idle. Default false: not before they are closed. */
  readonly allowExitOnIdle?: boolean | undefined
  /** Runs on each new connection before its first caller gets it; rejects that caller's `connect()` if it throws. */
  readonly onConnect?: ((client: PoolClient) => unknown) | undefined
  /** As `onConnect`, in pg-pool's older form. */
  readonly verify?: ((client: PoolClient, done: (error?: Error) => void) => void) | undefined
  readonly log?: ((...messages: unknown[]) => void) | undefined
  /** Only pg's own `Client` is accepted. */
  readonly Client?: unknown
  /** Only the global `Promise` is accepted. */
  readonly Promise?: unknown
}

/** The options that the pool itself uses. */
export interface FaceOptions {
  readonly settings: PoolSettings
  readonly queryTimeoutMillis: number | undefined
  readonly pipeline: boolean
  readonly binary: boolean
  readonly onConnect: PoolConfig['onConnect']
  readonly verify: PoolConfig['verify']
  readonly log: (...messages: unknown[]) => void
}

const NAMES = [
  ...['connectionString', 'host', 'port', 'user', 'password', 'database', 'ssl', 'sslnegotiation'],
  ...['enableChannelBinding', 'keepAlive', 'keepAliveInitialDelayMillis', 'application_name'],
  ...['fallback_application_name', 'statement_timeout', 'lock_timeout'],
  ...['idle_in_transaction_session_timeout', 'options', 'query_timeout', 'types', 'client_encoding'],
  ...['pipeline', 'binary', 'max', 'poolSize', 'min', 'idleTimeoutMillis', 'connectionTimeoutMillis'],
  ...['maxLifetimeSeconds', 'maxUses', 'allowExitOnIdle', 'onConnect', 'verify', 'log', 'Client', 'Promise'],
]

/** What the engine's options are called in pg. */
const NAMES_IN_PG: Readonly<Record<string, string>> = {
  url: 'connectionString',
  maxOverflow: 'max',
  minIdle: 'min',
  poolTimeoutMillis: 'connectionTimeoutMillis',
  connectTimeoutMillis: 'connectionTimeoutMillis',
  poolRecycleMillis: 'maxLifetimeSeconds',
  reapIntervalMillis: 'idleTimeoutMillis',
  poolIdleTimeout: 'idleTimeoutMillis',
}

/** Options in the terms of pg, so that an error names none of the engine. */
const NUMBERS = [
  ...(['max', 'poolSize', 'min', 'idleTimeoutMillis', 'connectionTimeoutMillis'] as const),
  ...(['maxLifetimeSeconds', 'maxUses'] as const),
]

const MOST = 10
const IDLE_MILLIS = 10_000
const SECOND = 1000

/** The engine's options. @throws InvalidOptionError for options that `pg.Pool` does not have, or that are not supported here. */
export function engineOptionsOf(config: PoolConfig): EngineOptions {
  refuseUnknown(config)
  const { max, poolSize, min, idleTimeoutMillis = IDLE_MILLIS, connectionTimeoutMillis: wait } = config
  const recycleMillis = millisOf(config.maxLifetimeSeconds)
  const idleMillis = idleTimeoutMillis === null || idleTimeoutMillis === 0 ? -1 : idleTimeoutMillis
  const isReached = recycleMillis === undefined || recycleMillis === -1 || idleMillis < recycleMillis
  const most = max || poolSize || MOST
  return {
    ...targetOf(config),
    connectArgs: connectArgsOf(config),
    types: config.types,
    poolSize: most,
    maxOverflow: 0,
    // As in pg: as many at a time as callers ask for.
    maxConnecting: most,
    minIdle: min,
    // As in pg: as many idle connections are spared, and none is opened for it.
    ...(min === undefined || min === 0 ? {} : { openMinIdle: false }),
    idleTimeoutMillis: isReached ? idleMillis : -1,
    poolRecycleMillis: recycleMillis,
    ...(wait === undefined ? {} : { poolTimeoutMillis: wait === 0 ? null : wait }),
    ...(wait === undefined || wait === 0 ? {} : { connectTimeoutMillis: wait }),
    // As in pg: a waiting caller gets an error at once if the server cannot be reached.
    connectRetry: 'fail',
  }
}

/** The options that the pool itself uses, from the options of pg. */
export function faceOptionsOf(config: PoolConfig): FaceOptions {
  const { password, ...shown } = config
  const settings: PoolSettings = {
    ...(shown as object),
    max: config.max || config.poolSize || MOST,
    min: config.min ?? 0,
    maxUses: config.maxUses ?? Infinity,
    allowExitOnIdle: config.allowExitOnIdle ?? false,
    maxLifetimeSeconds: config.maxLifetimeSeconds ?? 0,
    idleTimeoutMillis: config.idleTimeoutMillis === undefined ? IDLE_MILLIS : config.idleTimeoutMillis,
    connectionTimeoutMillis: config.connectionTimeoutMillis ?? 0,
  }
  if (password !== undefined) hide(settings, password)
  return {
    settings,
    queryTimeoutMillis: config.query_timeout,
    pipeline: config.pipeline === true,
    binary: config.binary === true,
    onConnect: config.onConnect,
    verify: config.verify,
    log: config.log ?? (() => undefined),
  }
}

/** What libraries read of the options of a pool, for a pool on an engine. */
export function faceOptionsFor(engine: Engine): FaceOptions {
  const { options, place } = engine.internals()
  const { connect, pool } = options
  const { poolSize, maxOverflow, minIdle, idleTimeoutMillis, poolRecycleMillis, poolTimeoutMillis } = pool
  const settings: PoolSettings = {
    max: poolSize === 0 || maxOverflow === -1 ? Infinity : poolSize + maxOverflow,
    min: minIdle,
    maxUses: Infinity,
    allowExitOnIdle: true,
    maxLifetimeSeconds: poolRecycleMillis === -1 ? 0 : poolRecycleMillis / SECOND,
    idleTimeoutMillis: idleTimeoutMillis === -1 ? 0 : idleTimeoutMillis,
    connectionTimeoutMillis: poolTimeoutMillis ?? 0,
    ...(place && addressOf(place)),
  }
  // A library that opens a client of its own (Kysely, to cancel) needs them; no log shows them.
  const password = connect.password ?? (place && (() => place.password(place.servers[0] as ServerAddress)))
  if (password !== undefined) hide(settings, password)
  if (connect.url !== undefined) hide(settings, connect.url, 'connectionString')
  const log = (): void => undefined
  return {
    settings,
    queryTimeoutMillis: undefined,
    pipeline: false,
    binary: false,
    onConnect: undefined,
    verify: undefined,
    log,
  }
}

/**
 * Where a library connects with a client of its own. If there are several servers, the library cannot know which of them a connection of
 * the pool leads to, so it gets a host name that no server has: a cancel on the wrong server would hit another service.
 */
function addressOf({ servers, user, database, isEncrypted }: ConnectPlace): Partial<PoolSettings> {
  return {
    host: servers.map(({ host }) => host).join(),
    ...(servers.length === 1 && { port: servers[0]?.port }),
    user,
    database,
    // Checks the certificate; without it pg would not encrypt.
    ...(isEncrypted && { ssl: true }),
  }
}

function hide(settings: PoolSettings, value: unknown, name = 'password'): void {
  Object.defineProperty(settings, name, { value, configurable: true, writable: true, enumerable: false })
}

function targetOf(config: PoolConfig): EngineOptions {
  const { connectionString: url, host, port, user, password, database } = config
  // As in pg: what the string says counts, and not what stands beside it.
  return url === undefined ? { host, port, user, password, database } : { url, password }
}

function connectArgsOf(config: PoolConfig): ConnectArgs {
  const { ssl, sslnegotiation, keepAlive, keepAliveInitialDelayMillis, enableChannelBinding } = config
  const serverSettings: Record<string, string> = {}
  const set = (name: string, value: string | number | false | undefined): void => {
    if (value !== undefined && value !== false) serverSettings[name] = String(value)
  }
  set('application_name', config.application_name ?? config.fallback_application_name)
  set('statement_timeout', config.statement_timeout)
  set('lock_timeout', config.lock_timeout)
  set('idle_in_transaction_session_timeout', config.idle_in_transaction_session_timeout)
  set('options', config.options)
  return {
    serverSettings,
    ...(ssl === undefined ? { sslnegotiation } : { ssl }),
    channel_binding: enableChannelBinding === true ? 'prefer' : undefined,
    keepAlive,
    keepAliveInitialDelayMillis,
  }
}

function millisOf(seconds: number | undefined): number | undefined {
  if (seconds === undefined) return undefined
  return seconds === 0 ? -1 : seconds * SECOND
}

function refuseUnknown(config: PoolConfig): void {
  if (typeof config !== 'object' || (config as unknown) === null || config instanceof URL) {
    throw new InvalidOptionError('options', `Pool takes an object: new Pool({ connectionString })`)
  }
  for (const name of Object.keys(config)) {
    if (NAMES.includes(name) || (config as Record<string, unknown>)[name] === undefined) continue
    const here = NAMES_IN_PG[name]
    const hint =
      here === undefined
        ? `for options of the engine, use poolFrom(createEngine({ ... }))`
        : `pg calls it ${here}`
    throw new InvalidOptionError(name, `Pool has no option '${name}'; ${hint}`)
  }
  for (const name of NUMBERS) {
    const value: unknown = config[name] ?? 0
    if (typeof value === 'number' && value >= 0) continue
    const shown = typeof value === 'string' ? `'${value}'` : String(value)
    throw new InvalidOptionError(name, `${name} is a number of at least 0, not ${shown}`)
  }
  const { min = 0, max = config.poolSize } = config
  if (min > (max || MOST))
    throw new InvalidOptionError('min', `min ${String(min)} is more than max ${String(max || MOST)}`)
  const refuse = (name: string, isTaken: boolean, why: string): void => {
    if (!isTaken) throw new InvalidOptionError(name, `${name}: ${why}`)
  }
  const { Client, client_encoding: encoding } = config
  const isPgs = Client === undefined || Client === Engine.nodePostgres.Client
  refuse('Client', isPgs, 'clients are made by the engine; only pg.Client itself may stand here')
  refuse('Promise', config.Promise === undefined || config.Promise === Promise, 'only the global Promise')
  refuse('client_encoding', encoding === undefined || /^utf-?8$/i.test(encoding), 'only UTF8 can be read')
}
