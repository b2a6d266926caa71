/**
 * The servers that an engine may connect to: parses lists of hosts as libpq does, and determines the order in which they are tried.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
 */
import { isIP } from 'node:net'
import { join } from 'node:path'

import { InvalidOptionError } from '../errors.js'
import { isArray } from '../internal/revoked.js'
import {
  checkInteger,
  checkObject,
  checkOneOf,
  checkString,
  refuseUnknownKeys,
} from '../internal/validate.js'
import { refuseZeroByte, TARGET_SESSION_ATTRS, type TargetSessionAttrs } from './connect-args.js'
import { decimalOf, type Settings } from './libpq-parameters.js'
import { type Setting, type TlsSettings, tlsFromOptions } from './tls.js'

/** One server of the option `hosts`. */
export interface HostOption {
  /** Name or address of the server, or the directory of its Unix socket. */
  readonly host: string
  /** Default 5432. */
  readonly port?: number | undefined
}

/** One server, resolved. Frozen. */
export interface HostTarget {
  /** `host:port`; an IPv6 address in brackets. */
  readonly name: string
  readonly host: string
  readonly port: number
  /** Where to go instead of looking the host up (`hostaddr`); certificates are for the host. */
  readonly address: string | undefined
  /** The path of the socket itself, if `host` is a directory. */
  readonly socketPath: string | undefined
  /** How to encrypt the way there; as with libpq, never over a Unix socket. */
  readonly tls: TlsSettings
}

/** The servers, and which of them is wanted. */
export interface HostList {
  /** At least one. */
  readonly hosts: readonly HostTarget[]
  readonly session: TargetSessionAttrs
  /** True: each connection tries them in an order of its own. */
  readonly shuffled: boolean
}

const BALANCES = ['disable', 'random'] as const
const DEFAULT_HOST = 'localhost'
const DEFAULT_PORT = 5432
const PORTS = { min: 1, max: 65_535 }

/**
 * @param given The option `hosts`, which counts instead of every host, address and port of `settings`.
 * @throws InvalidOptionError that names the option, the part of the url or the variable.
 */
export function resolveHosts(
  settings: Settings,
  given: readonly HostOption[] | undefined,
  tls: TlsSettings,
): HostList {
  const { target_session_attrs: session, load_balance_hosts: balance } = settings
  return {
    hosts: given === undefined ? hostsOf(settings, tls) : hostsGiven(given, tls),
    session: session === undefined ? 'any' : checkOneOf(session.origin, session.value, TARGET_SESSION_ATTRS),
    shuffled: balance !== undefined && checkOneOf(balance.origin, balance.value, BALANCES) === 'random',
  }
}

function hostsGiven(given: unknown, tls: TlsSettings): readonly HostTarget[] {
  if (!isArray(given) || given.length === 0)
    throw new InvalidOptionError(
      'hosts',
      "hosts must be a list: [{ host: 'db-1' }, { host: 'db-2', port: 5433 }]",
    )
  // Array.from also finds the holes of a sparse list.
  return Array.from(given, (one, at) => {
    const option = `hosts[${at}]`
    checkObject(option, one)
    refuseUnknownKeys(option, one, ['host', 'port'])
    const { host, port } = one as Partial<HostOption>
    const name = checkString(`${option}.host`, host)
    refuseZeroByte(`${option}.host`, name)
    if (name === '' || name.includes(','))
      throw new InvalidOptionError(option, `${option}.host must name one server`)
    refuseNotation(`${option}.host`, name)
    return hostTarget({
      host: name,
      port: port === undefined ? DEFAULT_PORT : checkInteger(`${option}.port`, port, PORTS),
      tls,
    })
  })
}

/** Lists of libpq: `a,b` as hosts, `1.2.3.4,` as addresses, `5432,5433` as ports; one port is for all. */
function hostsOf({ host, hostaddr, port }: Settings, tls: TlsSettings): readonly HostTarget[] {
  const names = itemsOf(host)
  const addresses = itemsOf(hostaddr)
  const ports = itemsOf(port)
  if (names.length > 0 && addresses.length > 0 && names.length !== addresses.length)
    throw countMismatch(hostaddr, addresses.length, 'addresses', names.length)
  const count = Math.max(names.length, addresses.length, 1)
  if (ports.length > 1 && ports.length !== count) throw countMismatch(port, ports.length, 'ports', count)
  return Array.from({ length: count }, (_, at) => {
    const address = addressOf(addresses[at], hostaddr)
    const name = names[at] || address || DEFAULT_HOST
    refuseNotation(host?.origin ?? '', name)
    return hostTarget({
      host: name,
      port: portOf(ports.length > 1 ? ports[at] : ports[0], port),
      address,
      tls,
    })
  })
}

function itemsOf(setting: Setting | undefined): readonly string[] {
  return setting === undefined ? [] : setting.value.split(',').map((item) => item.trim())
}

function countMismatch(
  list: Setting | undefined,
  found: number,
  what: string,
  wanted: number,
): InvalidOptionError {
  const origin = String(list?.origin)
  return new InvalidOptionError(
    origin,
    `${origin} lists ${found} ${what} for ${wanted} host${wanted === 1 ? '' : 's'}`,
  )
}

function addressOf(address: string | undefined, { origin }: Setting = NOWHERE): string | undefined {
  if (address === undefined || address === '') return undefined
  if (isIP(address) !== 0) return address
  throw new InvalidOptionError(origin, `${origin} must be an IP address`)
}

function portOf(port: string | undefined, { origin }: Setting = NOWHERE): number {
  return port === undefined || port === '' ? DEFAULT_PORT : checkInteger(origin, decimalOf(port), PORTS)
}

/**
 * libpq knows brackets and ports only in the authority of a url. Elsewhere it would look up `[::1]` and `db:5433` as names. No name has
 * white space.
 */
function refuseNotation(origin: string, host: string): void {
  if (host.startsWith('/') || isIP(host) !== 0 || !/[:[\]\s]/.test(host)) return
  throw new InvalidOptionError(
    origin,
    host.startsWith('[')
      ? `${origin} must be an address without brackets, such as '::1'; a port is given as port`
      : `${origin} must be a name, an IP address or a directory; a port is given as port`,
  )
}

const NOWHERE: Setting = { value: '', origin: '' }

function hostTarget(server: {
  readonly host: string
  readonly port: number
  readonly address?: string | undefined
  readonly tls: TlsSettings
}): HostTarget {
  const { host, port, address, tls } = server
  const isFolder = host.startsWith('/') && address === undefined
  return Object.freeze({
    name: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    host,
    port,
    address,
    socketPath: isFolder ? join(host, `.s.PGSQL.${port}`) : undefined,
    tls: isFolder ? tlsFromOptions(false) : tls,
  })
}
