/**
 * Every connection parameter and variable of libpq (PostgreSQL 18). Each is applied, or accepted if its value describes what Lifeguard
 * does anyway, or refused by name. None is ignored.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
 * @see https://www.postgresql.org/docs/current/libpq-envars.html
 */
import { existsSync } from 'node:fs'
import { InvalidOptionError } from '../errors.js'
import type { Setting } from './tls.js'

/** Parameters that are applied, as libpq writes them, with their variables. */
const APPLIED = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  dbname: 'PGDATABASE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslnegotiation: 'PGSSLNEGOTIATION',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  channel_binding: 'PGCHANNELBINDING',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  load_balance_hosts: 'PGLOADBALANCEHOSTS',
  application_name: 'PGAPPNAME',
  fallback_application_name: undefined,
  options: 'PGOPTIONS',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  keepalives: undefined,
  keepalives_idle: undefined,
} as const

/** Variables that libpq sends as settings of the server. */
const SERVER_SETTINGS = { datestyle: 'PGDATESTYLE', timezone: 'PGTZ', geqo: 'PGGEQO' } as const

/** A parameter that Lifeguard does not support. */
interface Unsupported {
  readonly variable?: string
  /** Values that describe what Lifeguard does anyway. */
  readonly accepts?: RegExp
  /** The value is the name of a file that is not read. */
  readonly isFile?: true
  readonly remedy: string
}

const OFF = /^(?:0|off|false|no)$/i
const DEFAULT_OF_SYSTEM = /^0$/
const NO_KERBEROS = 'GSSAPI is not supported: use a password or a client certificate'
const NO_OAUTH = 'OAuth is not supported: give a function as the option password'
const NO_SERVICE = 'service files are not read: give a url, or PGHOST, PGUSER, ...'
const BY_SYSTEM = 'the operating system decides about it: leave it out'

type UnsupportedName =
  | 'service'
  | 'servicefile'
  | 'passfile'
  | 'require_auth'
  | 'requirepeer'
  | 'requiressl'
  | 'sslcompression'
  | 'sslcertmode'
  | 'sslcrl'
  | 'sslcrldir'
  | 'sslpassword'
  | 'sslsni'
  | 'sslkeylogfile'
  | 'min_protocol_version'
  | 'max_protocol_version'
  | 'gssencmode'
  | 'gssdelegation'
  | 'gsslib'
  | 'krbsrvname'
  | 'oauth_issuer'
  | 'oauth_client_id'
  | 'oauth_client_secret'
  | 'oauth_scope'
  | 'scram_client_key'
  | 'scram_server_key'
  | 'replication'
  | 'client_encoding'
  | 'keepalives_interval'
  | 'keepalives_count'
  | 'tcp_user_timeout'

const UNSUPPORTED: Readonly<Record<UnsupportedName, Unsupported>> = {
  service: { variable: 'PGSERVICE', remedy: NO_SERVICE },
  // Without a service nothing is read from this file.
  servicefile: { variable: 'PGSERVICEFILE', accepts: /^/, isFile: true, remedy: NO_SERVICE },
  passfile: {
    variable: 'PGPASSFILE',
    isFile: true,
    remedy: 'password files are not read: give a password, or a function that reads it',
  },
  require_auth: {
    variable: 'PGREQUIREAUTH',
    remedy:
      'it is not checked how the server authenticates; channel_binding=require with sslmode=verify-full protects the password',
  },
  requirepeer: { variable: 'PGREQUIREPEER', remedy: 'the owner of a socket is not checked' },
  requiressl: {
    variable: 'PGREQUIRESSL',
    accepts: DEFAULT_OF_SYSTEM,
    remedy: 'write sslmode=require (PGSSLMODE)',
  },
  sslcompression: {
    variable: 'PGSSLCOMPRESSION',
    accepts: DEFAULT_OF_SYSTEM,
    remedy: 'TLS does not compress',
  },
  sslcertmode: {
    variable: 'PGSSLCERTMODE',
    accepts: /^allow$/,
    remedy: 'a certificate is sent if sslcert is given and the server asks for it',
  },
  sslcrl: { variable: 'PGSSLCRL', remedy: 'give the list as connectArgs.ssl.crl' },
  sslcrldir: { variable: 'PGSSLCRLDIR', remedy: 'give the lists as connectArgs.ssl.crl' },
  sslpassword: { remedy: 'give it as connectArgs.ssl.passphrase' },
  sslsni: { variable: 'PGSSLSNI', accepts: /^1$/, remedy: 'the name of the host is always sent' },
  sslkeylogfile: { remedy: 'use node --tls-keylog=FILE' },
  min_protocol_version: {
    variable: 'PGMINPROTOCOLVERSION',
    accepts: /^3\.0$/,
    remedy: 'version 3.0 of the protocol is spoken',
  },
  max_protocol_version: {
    variable: 'PGMAXPROTOCOLVERSION',
    accepts: /^(?:3\.\d|latest)$/,
    remedy: 'version 3.0 of the protocol is spoken',
  },
  gssencmode: { variable: 'PGGSSENCMODE', accepts: /^(?:disable|prefer)$/, remedy: NO_KERBEROS },
  gssdelegation: { variable: 'PGGSSDELEGATION', accepts: DEFAULT_OF_SYSTEM, remedy: NO_KERBEROS },
  gsslib: { variable: 'PGGSSLIB', remedy: NO_KERBEROS },
  krbsrvname: { variable: 'PGKRBSRVNAME', accepts: /^postgres$/, remedy: NO_KERBEROS },
  oauth_issuer: { remedy: NO_OAUTH },
  oauth_client_id: { remedy: NO_OAUTH },
  oauth_client_secret: { remedy: NO_OAUTH },
  oauth_scope: { remedy: NO_OAUTH },
  scram_client_key: { remedy: 'give the password' },
  scram_server_key: { remedy: 'give the password' },
  replication: { accepts: OFF, remedy: 'replication needs a client of its own' },
  client_encoding: {
    variable: 'PGCLIENTENCODING',
    accepts: /^(?:utf-?8|unicode)$/i,
    remedy: 'texts are always sent and read as UTF8',
  },
  keepalives_interval: { accepts: DEFAULT_OF_SYSTEM, remedy: BY_SYSTEM },
  keepalives_count: { accepts: DEFAULT_OF_SYSTEM, remedy: BY_SYSTEM },
  tcp_user_timeout: { accepts: DEFAULT_OF_SYSTEM, remedy: BY_SYSTEM },
}

/** Names of the settings, as libpq writes them. */
export type SettingName = keyof typeof APPLIED | keyof typeof SERVER_SETTINGS | UnsupportedName

/** The settings of the environment, the url and the options. */
export type Settings = Partial<Record<SettingName, Setting>>

/** What a url may have as parameters. */
export const URL_PARAMETERS: readonly SettingName[] = [
  ...(Object.keys(APPLIED) as (keyof typeof APPLIED)[]),
  ...(Object.keys(UNSUPPORTED) as UnsupportedName[]),
]

const unsupported = Object.entries<Unsupported>(UNSUPPORTED) as [UnsupportedName, Unsupported][]

type Variable = readonly [variable: string, name: SettingName]

/** The variables that are applied, and the settings that they set. */
export const VARIABLES: readonly Variable[] = [
  ...Object.entries({ ...APPLIED, ...SERVER_SETTINGS }),
  ...unsupported.map(([name, { variable }]) => [name, variable] as const),
].flatMap(([name, variable]) => (variable === undefined ? [] : [[variable, name as SettingName] as const]))

/** A whole number as libpq reads it: decimal digits, white space around them; NaN for anything else, such as `0x10`. */
export function decimalOf(text: string): number {
  return /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : NaN
}

/** @throws InvalidOptionError for the first setting that would be passed over, and for a file that is not there. */
export function refuseUnsupported(settings: Settings, hasPassword: boolean): void {
  for (const [name, { accepts, remedy, isFile }] of unsupported) {
    const setting = settings[name]
    if (setting === undefined) continue
    const { origin, value } = setting
    // As with libpq, the file counts only where no password is given.
    const isAccepted = accepts?.test(value) === true || (name === 'passfile' && hasPassword)
    if (!isAccepted) throw new InvalidOptionError(origin, `${origin} is not supported: ${remedy}`)
    if (isFile === true && !existsSync(value)) {
      throw new InvalidOptionError(
        origin,
        `${origin} names a file that does not exist; leave it out: ${remedy}`,
      )
    }
  }
}

/** The server settings that variables set. @throws InvalidOptionError for dates that could not be read. */
export function serverSettingsOf(settings: Settings): Readonly<Record<string, string>> {
  const { datestyle, timezone, geqo } = settings
  if (datestyle !== undefined && !/^iso\b/i.test(datestyle.value)) {
    const message = `${datestyle.origin} must begin with ISO: dates are read in that form`
    throw new InvalidOptionError(datestyle.origin, message)
  }
  const given = { datestyle, timezone, geqo }
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, setting]) =>
      setting === undefined ? [] : [[name, setting.value]],
    ),
  )
}
