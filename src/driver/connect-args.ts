/** `connectArgs`: how to talk to the server, and the checks that need no server. */
import type { Duplex } from 'node:stream'
import type { ConnectionOptions as TlsOptions } from 'node:tls'

import { InvalidOptionError } from '../errors.js'
import {
  checkBoolean,
  checkFunction,
  checkMillis,
  checkObject,
  refuseUnknownKeys,
} from '../internal/validate.js'
import type { SslMode, TlsInput } from './tls.js'

export const TARGET_SESSION_ATTRS = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const

/** The required role of the server, as in libpq's `target_session_attrs`. */
export type TargetSessionAttrs = (typeof TARGET_SESSION_ATTRS)[number]

/** See {@link ConnectArgs.stream}. */
export type OpenStream = (server: {
  readonly host: string
  readonly port: number
}) => Duplex | Promise<Duplex>

/** Settings of connections: TLS, server settings, keep-alive. Names that libpq also has are spelt as in libpq. */
export interface ConnectArgs {
  /**
   * Server settings by name: `application_name`, `statement_timeout`, `search_path`, ... They are sent in the startup message, so
   * they cost no round trip, and RESET restores them.
   */
  readonly serverSettings?: Readonly<Record<string, string>> | undefined
  /**
   * Default `prefer`: encrypt if the server can. `require` encrypts always, `verify-ca` also checks the authority of the
   * server's certificate, `verify-full` also that the certificate is for this host. Ignored over a Unix socket.
   */
  readonly sslmode?: SslMode | undefined
  /** Certificate authority (CA) of the server's certificate: file, PEM text, or `system` for Node's default authorities. */
  readonly sslrootcert?: string | undefined
  /** The client's own certificate: file or PEM text. Needs `sslkey`. */
  readonly sslcert?: string | undefined
  /** Private key of `sslcert`: file or PEM text. */
  readonly sslkey?: string | undefined
  /** `direct` (PostgreSQL 17 or newer) saves a round trip per connect. Default `postgres`. */
  readonly sslnegotiation?: 'postgres' | 'direct' | undefined
  /** `require` accepts only a server that proves, on this TLS connection, that it knows the password. */
  readonly channel_binding?: 'disable' | 'prefer' | 'require' | undefined
  /**
   * The required role of the server, queried once for each new connection: `primary`, `standby`, `prefer-standby` (a standby if
   * one answers), `read-write` (no standby, and `default_transaction_read_only` is off), `read-only`. Default `any`: no query.
   */
  readonly target_session_attrs?: TargetSessionAttrs | undefined
  /** `random`: each new connection tries the hosts in random order. Default `disable`: in the order given. */
  readonly load_balance_hosts?: 'disable' | 'random' | undefined
  /** Replaces all `ssl...` settings: true (verified by Node's default authorities), false, or options of `tls.connect`. */
  readonly ssl?: boolean | TlsOptions | undefined
  /** TCP keep-alive, which detects a lost peer. Default true. */
  readonly keepAlive?: boolean | undefined
  /** Idle time before the first keep-alive probe; 0 = the operating system's. Default 60000. */
  readonly keepAliveInitialDelayMillis?: number | undefined
  /**
   * Opens a stream in place of the socket, for a tunnel or an in-process database. Called for each connection and each cancel
   * request. It must encrypt the connection itself, so `ssl` and an `sslmode` that always encrypts are refused with it.
   */
  readonly stream?: OpenStream | undefined
}

/** What `ssl` replaces. */
export const TLS_ARGS: readonly Exclude<keyof TlsInput, 'minVersion' | 'maxVersion'>[] = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
]

/** Other texts that are spelt as libpq spells them. */
export const TEXT_ARGS = ['channel_binding', 'target_session_attrs', 'load_balance_hosts'] as const

const CONNECT_ARGS: readonly (keyof ConnectArgs)[] = [
  ...TLS_ARGS,
  ...TEXT_ARGS,
  'serverSettings',
  'ssl',
  'keepAlive',
  'keepAliveInitialDelayMillis',
  'stream',
]

/** What the startup message says by itself, or what must stay as this library reads it. */
const RESERVED_SETTINGS = new Set(['user', 'database', 'replication', 'client_encoding'])

/** Settings that other clients take as options. */
const ELSEWHERE = {
  applicationName: 'serverSettings.application_name',
  application_name: 'serverSettings.application_name',
  searchPath: 'serverSettings.search_path',
  search_path: 'serverSettings.search_path',
  timezone: 'serverSettings.timezone',
}

/** @throws InvalidOptionError for unknown names and wrong types. Strings are checked later, with those of the url. */
export function checkArgs(args: ConnectArgs | undefined): ConnectArgs {
  if (args === undefined) return {}
  checkObject('connectArgs', args)
  refuseUnknownKeys('connectArgs', args, CONNECT_ARGS, ELSEWHERE)
  const { ssl, keepAlive, keepAliveInitialDelayMillis, serverSettings } = args
  if (ssl !== undefined && typeof ssl !== 'boolean') checkObject('connectArgs.ssl', ssl)
  if (keepAlive !== undefined) checkBoolean('connectArgs.keepAlive', keepAlive)
  if (keepAliveInitialDelayMillis !== undefined) {
    checkMillis('connectArgs.keepAliveInitialDelayMillis', keepAliveInitialDelayMillis, { min: 0 })
  }
  if (args.stream !== undefined) checkFunction('connectArgs.stream', args.stream)
  if (serverSettings !== undefined) checkServerSettings(serverSettings)
  const rival = ssl === undefined ? undefined : TLS_ARGS.find((name) => args[name] !== undefined)
  if (rival !== undefined) {
    throw new InvalidOptionError(
      'connectArgs.ssl',
      `connectArgs.ssl and connectArgs.${rival} exclude each other`,
    )
  }
  return args
}

function checkServerSettings(settings: Readonly<Record<string, string>>): void {
  const origin = 'connectArgs.serverSettings'
  checkObject(origin, settings)
  for (const [name, value] of Object.entries<unknown>(settings)) {
    const option = `${origin}.${name}`
    if (!/^[a-z_][\w.$]*$/i.test(name)) {
      throw new InvalidOptionError(option, `${origin}: '${name}' is no name of a setting`)
    }
    if (RESERVED_SETTINGS.has(name.toLowerCase())) {
      throw new InvalidOptionError(option, `${option} cannot be set: it belongs to the connection itself`)
    }
    if (typeof value !== 'string') {
      throw new InvalidOptionError(option, `${option} must be a string, not a ${typeof value}`)
    }
    refuseZeroByte(option, value)
  }
}

/** A zero byte would end the text early in the startup message, and begin another parameter. */
export function refuseZeroByte(option: string, value: string): void {
  if (value.includes('\0')) throw new InvalidOptionError(option, `${option} contains a zero byte`)
}
