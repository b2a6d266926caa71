/**
 * Where and how to connect: options, url and environment become one frozen description.
 *
 * 1. Precedence: an explicit option, then `url`, then the environment, then the default.
 * 2. The description can be printed: passwords and keys are behind functions.
 * 3. Everything that can be wrong without asking the server is refused here, by the name the caller gave it.
 */
import { isIP } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'

import { InvalidOptionError } from '../errors.js'
import { checkInteger, checkOneOf, checkString } from '../internal/validate.js'
import { type ConnectArgs, TLS_ARGS, checkArgs, refuseZeroByte } from './connect-args.js'
import { parseConnectionUrl } from './connection-url.js'
import {
  type SettingName,
  type Settings,
  VARIABLES,
  refuseUnsupported,
  serverSettingsOf,
} from './libpq-parameters.js'
import { type Setting, type TlsSettings, resolveTls, tlsFromOptions } from './tls.js'

/** A password, or a function that is asked for it before each new connection. */
export type Password = string | (() => string | Promise<string>)

/** Which server, as whom, and how. Every field may be left out; see `docs/connecting.md` for what counts then. */
export interface ConnectOptions {
  /** `postgres://user:password@host:port/database?sslmode=verify-full`, as libpq reads it. */
  readonly url?: string | undefined
  /** Name or address of the server, or the folder of its Unix socket. Default `localhost`. */
  readonly host?: string | undefined
  /** Default 5432. */
  readonly port?: number | undefined
  /** Default: the user of the operating system. */
  readonly user?: string | undefined
  /**
   * A function is asked before each new connection, so a rotated password or a token that expires is never stale.
   * `connectTimeoutMillis` covers it. What it throws fails the connect at once.
   */
  readonly password?: Password | undefined
  /** Default: same name as the user. */
  readonly database?: string | undefined
  readonly connectArgs?: ConnectArgs | undefined
}

/** The resolved description. Frozen; holds no secret that could be printed. */
export interface ConnectTarget {
  /** `user@host:port/database`. */
  readonly name: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  /** Where to go instead of looking the host up (`hostaddr`); certificates are for the host. */
  readonly address: string | undefined
  /** The socket itself, if `host` is a folder. */
  readonly socketPath: string | undefined
  /** The password for the next connection; undefined if none is known. Rejects with what the user's function throws. */
  readonly password: () => Promise<string | undefined>
  /** Parameters of the startup message, in order. */
  readonly startup: Readonly<Record<string, string>>
  /** As with libpq, never over a Unix socket. */
  readonly tls: TlsSettings
  readonly channelBinding: 'disable' | 'prefer' | 'require'
  readonly keepAlive: boolean
  readonly keepAliveInitialDelayMillis: number
  /** What `connect_timeout` or PGCONNECT_TIMEOUT says, for where no option says otherwise. */
  readonly connectTimeoutMillis: number | undefined
  /** Nothing was said about the server, nor about the user: all of it is default. */
  readonly isDefault: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

const WHERE = ['host', 'hostaddr', 'port', 'user', 'password', 'dbname'] as const
const PORTS = { min: 1, max: 65_535 }
const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'] as const
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
  const address = addressOf(settings.hostaddr)
  const host = settings.host === undefined && address !== undefined ? address : hostOf(settings.host)
  const port = portOf(settings.port)
  const user = settings.user?.value ?? systemUser()
  const database = settings.dbname?.value ?? user
  const socketPath =
    host.startsWith('/') && address === undefined ? join(host, `.s.PGSQL.${port}`) : undefined
  const tls = tlsFrom(settings, args)
  return Object.freeze({
    name: `${user}@${host.includes(':') ? `[${host}]` : host}:${port}/${database}`,
    host,
    port,
    user,
    database,
    address,
    socketPath,
    password: passwordFrom(options.password, settings.password),
    startup: startupParameters(user, database, settings, args),
    tls: socketPath === undefined ? tls : tlsFromOptions(false),
    channelBinding: channelBindingOf(settings.channel_binding),
    keepAlive: args.keepAlive ?? settings.keepalives?.value !== '0',
    keepAliveInitialDelayMillis:
      args.keepAliveInitialDelayMillis ?? keepAliveDelayOf(settings.keepalives_idle),
    connectTimeoutMillis: timeoutOf(settings.connect_timeout),
    isDefault: options.password === undefined && !WHERE.some((part) => settings[part] !== undefined),
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
  for (const name of [...TLS_ARGS, 'channel_binding'] as const) add(name, args[name], `connectArgs.${name}`)
  if (port !== undefined) {
    settings.port = setting(String(checkInteger('port', port, PORTS)), 'port')
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

function hostOf(host: Setting | undefined): string {
  if (host === undefined) return 'localhost'
  if (host.value.includes(',')) {
    throw new InvalidOptionError(host.origin, `${host.origin} names several hosts; give one`)
  }
  return host.value
}

function addressOf(address: Setting | undefined): string | undefined {
  if (address === undefined) return undefined
  if (isIP(address.value) !== 0) return address.value
  const problem = address.value.includes(',') ? 'names several addresses; give one' : 'must be an IP address'
  throw new InvalidOptionError(address.origin, `${address.origin} ${problem}`)
}

function portOf(port: Setting | undefined): number {
  return port === undefined ? 5432 : checkInteger(port.origin, Number(port.value), PORTS)
}

function timeoutOf(timeout: Setting | undefined): number | undefined {
  if (timeout === undefined) return undefined
  const seconds = secondsOf(timeout)
  // libpq: zero and below wait for ever. So does a timer of 24 days.
  return seconds > 0 ? seconds * 1000 : LONGEST_TIMER_MILLIS
}

/** @throws InvalidOptionError for what is no whole number. */
function secondsOf({ origin, value }: Setting): number {
  const seconds = Number(value)
  if (Number.isSafeInteger(seconds) && value.trim() !== '') return seconds
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

function tlsFrom(settings: Settings, { ssl }: ConnectArgs): TlsSettings {
  if (ssl !== undefined) return tlsFromOptions(ssl)
  const { sslmode, sslrootcert, sslcert, sslkey, sslnegotiation } = settings
  const { ssl_min_protocol_version: minVersion, ssl_max_protocol_version: maxVersion } = settings
  return resolveTls({ sslmode, sslrootcert, sslcert, sslkey, sslnegotiation, minVersion, maxVersion })
}

function passwordFrom(given: Password | undefined, found: Setting | undefined): ConnectTarget['password'] {
  if (typeof given !== 'function') return () => Promise.resolve(found?.value)
  return async () => {
    const password: unknown = await given()
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
