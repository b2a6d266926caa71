/**
 * Resolves options, url and environment to one frozen description of where and how to connect.
 *
 * 1. Precedence: an explicit option, then `url`, then the environment, then the default.
 * 2. The description can be printed: passwords and keys are behind functions.
 * 3. Everything that can be checked without a server is checked here. An error has the name of the option, parameter or variable that
 *    the caller used.
 */
import { userInfo } from 'node:os'

import { InvalidOptionError } from '../errors.js'
import { checkInteger, checkMillis, checkOneOf, checkString } from '../internal/validate.js'
import {
  type ConnectArgs,
  type OpenStream,
  TEXT_ARGS,
  TLS_ARGS,
  checkArgs,
  refuseZeroByte,
} from './connect-args.js'
import { parseConnectionUrl } from './connection-url.js'
import { type HostList, type HostOption, resolveHosts } from './hosts.js'
import {
  type SettingName,
  type Settings,
  VARIABLES,
  decimalOf,
  refuseUnsupported,
  serverSettingsOf,
} from './libpq-parameters.js'
import { type Setting, type TlsSettings, resolveTls, tlsFromOptions } from './tls.js'

/** The server that a password is for. */
export interface PasswordRequest {
  /** Name or address of the server, or the directory of its Unix socket. */
  readonly host: string
  readonly port: number
}

/** A password, or a function that is called with the server before each new connection. */
export type Password = string | ((server: PasswordRequest) => string | Promise<string>)

/** Address, user and connection settings. Every field may be left out; `docs/connecting.md` lists what applies then. */
export interface ConnectOptions {
  /** `postgres://user:password@host:port/database?sslmode=verify-full`, as libpq reads it; also `...@a,b:5433/database`. */
  readonly url?: string | undefined
  /**
   * Name or address of the server, or the directory of its Unix socket; several hosts are separated by commas. Default `localhost`.
   */
  readonly host?: string | undefined
  /** Default 5432. */
  readonly port?: number | undefined
  /**
   * Several servers, instead of `host` and `port`. Each new connection goes to the first one that accepts it and matches
   * `connectArgs.target_session_attrs`. See `docs/more-than-one-server.md`.
   */
  readonly hosts?: readonly HostOption[] | undefined
  /**
   * With several hosts: time limit for each of them, within `connectTimeoutMillis`; then the next host is tried. Default 3000.
   * With one host only `connectTimeoutMillis` applies.
   */
  readonly hostTimeoutMillis?: number | undefined
  /** Default: the user of the operating system. */
  readonly user?: string | undefined
  /**
   * The password, or a function that is called before each new connection, for rotated passwords and tokens.
   * `connectTimeoutMillis` includes its time. If it throws, the connect fails at once.
   */
  readonly password?: Password | undefined
  /** Default: same name as the user. */
  readonly database?: string | undefined
  readonly connectArgs?: ConnectArgs | undefined
}

/** The resolved description. Frozen; holds no secret that could be printed. */
export interface ConnectTarget extends HostList {
  /** `user@host:port/database`; several hosts with commas between. */
  readonly name: string
  readonly user: string
  readonly database: string
  readonly hostTimeoutMillis: number
  /** The password for the next connection; undefined if none is known. Rejects with what the user's function throws. */
  readonly password: (server: PasswordRequest) => Promise<string | undefined>
  /** Opens the connection in place of a socket. */
  readonly stream: OpenStream | undefined
  /** Parameters of the startup message, in order. */
  readonly startup: Readonly<Record<string, string>>
  readonly channelBinding: 'disable' | 'prefer' | 'require'
  readonly keepAlive: boolean
  readonly keepAliveInitialDelayMillis: number
  /** The value of `connect_timeout` or PGCONNECT_TIMEOUT, which applies if no option is given. */
  readonly connectTimeoutMillis: number | undefined
  /** True: neither the server nor the user was configured, so both are defaults. */
  readonly isDefault: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

const WHERE = ['host', 'hostaddr', 'port', 'user', 'password', 'dbname'] as const
/** Options and settings that `hosts` replaces. */
const SINGLE_HOST = ['host', 'port'] as const
const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'] as const
export const DEFAULT_HOST_TIMEOUT_MILLIS = 3_000
const DEFAULT_KEEP_ALIVE_DELAY_MILLIS = 60_000
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1

/** @throws InvalidOptionError that names the option, the part of the url or the variable. */
export function resolveConnectOptions(
  options: ConnectOptions,
  environment: Environment = process.env,
): ConnectTarget {
  const args = checkArgs(options.connectArgs)
  const settings: Settings = {
    ...fromEnvironment(environment),
    ...fromUrl(options.url),
    ...fromOptions(options, args),
  }
  refuseUnsupported(settings, settings.password !== undefined || options.password !== undefined)
  const rival =
    options.hosts === undefined ? undefined : SINGLE_HOST.find((name) => options[name] !== undefined)
  if (rival !== undefined) throw new InvalidOptionError('hosts', `hosts and ${rival} exclude each other`)
  const list = resolveHosts(settings, options.hosts, tlsFor(settings, args))
  const user = settings.user?.value ?? systemUser()
  const database = settings.dbname?.value ?? user
  return Object.freeze({
    ...list,
    name: `${user}@${list.hosts.map(({ name }) => name).join(',')}/${database}`,
    user,
    database,
    hostTimeoutMillis:
      options.hostTimeoutMillis === undefined
        ? DEFAULT_HOST_TIMEOUT_MILLIS
        : checkMillis('hostTimeoutMillis', options.hostTimeoutMillis, { min: 1 }),
    password: passwordFrom(options.password, settings.password),
    stream: args.stream,
    startup: startupParameters(user, database, settings, args),
    channelBinding: channelBindingOf(settings.channel_binding),
    keepAlive: args.keepAlive ?? settings.keepalives?.value !== '0',
    keepAliveInitialDelayMillis:
      args.keepAliveInitialDelayMillis ?? keepAliveDelayOf(settings.keepalives_idle),
    connectTimeoutMillis: timeoutOf(settings.connect_timeout),
    isDefault:
      options.password === undefined &&
      options.hosts === undefined &&
      !WHERE.some((part) => settings[part] !== undefined),
  })
}

function fromEnvironment(environment: Environment): Settings {
  const settings: Settings = {}
  for (const [variable, name] of VARIABLES) {
    const value = environment[variable]
    // libpq: empty means not set.
    if (value !== undefined && value !== '') settings[name] = setting(value, variable)
  }
  return settings
}

function fromUrl(url: string | undefined): Settings {
  if (url === undefined) return {}
  if (typeof url !== 'string') throw new InvalidOptionError('url', 'url must be a string')
  const entries = Object.entries(parseConnectionUrl(url))
  return Object.fromEntries(entries.map(([name, value]) => [name, setting(value, `${name} in url`)]))
}

function fromOptions({ host, port, user, password, database }: ConnectOptions, args: ConnectArgs): Settings {
  const settings: Settings = {}
  const add = (name: SettingName, value: string | undefined, option: string): void => {
    if (value !== undefined) settings[name] = setting(checkString(option, value), option)
  }
  add('host', host, 'host')
  add('user', user, 'user')
  add('dbname', database, 'database')
  for (const name of [...TLS_ARGS, ...TEXT_ARGS]) add(name, args[name], `connectArgs.${name}`)
  if (port !== undefined) {
    settings.port = setting(String(checkInteger('port', port, { min: 1, max: 65_535 })), 'port')
  }
  if (password !== undefined && typeof password !== 'function') {
    if (typeof password !== 'string') {
      throw new InvalidOptionError('password', 'password must be a string or a function')
    }
    // `process.env.PASSWORD ?? ''` is empty without a password.
    if (password !== '') settings.password = setting(password, 'password')
  }
  return settings
}

function setting(value: string, origin: string): Setting {
  refuseZeroByte(origin, value)
  return { value, origin }
}

function startupParameters(
  user: string,
  database: string,
  settings: Settings,
  { serverSettings }: ConnectArgs,
): ConnectTarget['startup'] {
  const { options, application_name: given, fallback_application_name: fallback } = settings
  const startup: Record<string, string> = { user, database, ...serverSettingsOf(settings) }
  const applicationName = given ?? fallback
  if (options !== undefined) startup['options'] = options.value
  if (applicationName !== undefined) startup['application_name'] = applicationName.value
  return Object.freeze(Object.assign(startup, serverSettings))
}

function timeoutOf(timeout: Setting | undefined): number | undefined {
  if (timeout === undefined) return undefined
  const seconds = secondsOf(timeout)
  // libpq: zero or less means no limit; here it is a timer of 24 days.
  return seconds > 0 ? seconds * 1000 : LONGEST_TIMER_MILLIS
}

/** @throws InvalidOptionError unless it is a whole number. */
function secondsOf({ origin, value }: Setting): number {
  const seconds = decimalOf(value)
  if (Number.isSafeInteger(seconds)) return seconds
  throw new InvalidOptionError(
    origin,
    `${origin} must be a whole number of seconds, not ${JSON.stringify(value)}`,
  )
}

function keepAliveDelayOf(idle: Setting | undefined): number {
  if (idle === undefined) return DEFAULT_KEEP_ALIVE_DELAY_MILLIS
  // libpq: zero is what the operating system does, and so it is here.
  return checkInteger(idle.origin, secondsOf(idle), { min: 0, max: LONGEST_TIMER_MILLIS / 1000 }) * 1000
}

function channelBindingOf(binding: Setting | undefined): ConnectTarget['channelBinding'] {
  if (binding === undefined) return 'disable'
  return checkOneOf(binding.origin, binding.value, CHANNEL_BINDINGS)
}

/** @throws InvalidOptionError if TLS is demanded of a stream that the caller opens. */
function tlsFor(settings: Settings, args: ConnectArgs): TlsSettings {
  const tls = tlsFrom(settings, args)
  if (args.stream === undefined) return tls
  if (tls.use !== 'always') return tlsFromOptions(false)
  throw new InvalidOptionError(
    'connectArgs.stream',
    'connectArgs.stream has to encrypt the connection itself: leave ssl and sslmode out, or set sslmode to disable',
  )
}

function tlsFrom(settings: Settings, { ssl }: ConnectArgs): TlsSettings {
  if (ssl !== undefined) return tlsFromOptions(ssl)
  const { sslmode, sslrootcert, sslcert, sslkey, sslnegotiation } = settings
  const { ssl_min_protocol_version: minVersion, ssl_max_protocol_version: maxVersion } = settings
  return resolveTls({ sslmode, sslrootcert, sslcert, sslkey, sslnegotiation, minVersion, maxVersion })
}

function passwordFrom(given: Password | undefined, found: Setting | undefined): ConnectTarget['password'] {
  if (typeof given !== 'function') return () => Promise.resolve(found?.value)
  return async ({ host, port }) => {
    const password: unknown = await given({ host, port })
    if (typeof password === 'string') return password
    throw new TypeError(`The password function returned ${password === null ? 'null' : typeof password}`)
  }
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch (cause) {
    // A container may run under a number that has no name.
    const message = 'user is missing, and the operating system has no name for this account'
    throw new InvalidOptionError('user', message, { cause })
  }
}
