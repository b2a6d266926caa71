/**
 * `sslmode` and its certificates, with the meaning that libpq gives them, as options of Node's TLS.
 *
 * 1. Without `ssl`, libpq's rules apply, not those of node-postgres: `require` encrypts without checking the certificate, `verify-ca`
 *    checks who signed it, `verify-full` also checks that it is for this host.
 * 2. Certificate files are read for each connection, so renewed certificates are used without a restart.
 * 3. Private keys are kept in closures, so no output of the settings contains them.
 */
import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'

import { InvalidOptionError } from '../errors.js'

/** How a connection is protected. */
export interface TlsSettings {
  /** `try`: with TLS if the server has it, else without. */
  readonly use: 'never' | 'try' | 'always'
  /** `direct`: TLS from the first byte (PostgreSQL 17), not after a request in plain text. */
  readonly negotiation: 'postgres' | 'direct'
  /** Options for `tls.connect`. Rejects with {@link TlsFileError}. */
  load(): Promise<ConnectionOptions>
}

/** A setting, and the name of its source for messages: `PGSSLMODE`, `sslmode in url`, ... */
export interface Setting {
  readonly value: string
  readonly origin: string
}

/** The settings that decide about TLS. */
export interface TlsInput {
  readonly sslmode: Setting | undefined
  readonly sslrootcert: Setting | undefined
  readonly sslcert: Setting | undefined
  readonly sslkey: Setting | undefined
  readonly sslnegotiation: Setting | undefined
  /** `ssl_min_protocol_version`. */
  readonly minVersion?: Setting | undefined
  /** `ssl_max_protocol_version`. */
  readonly maxVersion?: Setting | undefined
}

/** A certificate or key file that cannot be read. */
export class TlsFileError extends Error {
  override readonly name = 'TlsFileError'
}

const MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

/** See {@link ConnectArgs.sslmode}. */
export type SslMode = (typeof MODES)[number]

/** @throws InvalidOptionError for an unknown mode, or settings that contradict each other. */
export function resolveTls(input: TlsInput): TlsSettings {
  const mode = sslMode(input)
  const use = mode === 'disable' ? 'never' : mode === 'prefer' ? 'try' : 'always'
  const negotiation = sslNegotiation(input.sslnegotiation, mode, use)
  const { sslrootcert, sslcert, sslkey } = input
  if ((sslcert === undefined) !== (sslkey === undefined)) {
    const given = sslcert ?? sslkey
    throw new InvalidOptionError(
      given?.origin ?? 'sslcert',
      'sslcert and sslkey belong together: one of them is missing',
    )
  }
  const versions = versionsOf(input)
  const authority = sslrootcert?.value === 'system' ? undefined : sslrootcert
  return Object.freeze({
    use,
    negotiation,
    load: async () => {
      const options: ConnectionOptions = {
        ...verificationOptions(mode, authority !== undefined),
        ...versions,
      }
      if (authority !== undefined) options.ca = await pem(authority)
      if (sslcert !== undefined) options.cert = await pem(sslcert)
      if (sslkey !== undefined) options.key = await pem(sslkey)
      return options
    },
  })
}

/** `connectArgs.ssl`: Node's own options (and Node's own strictness), or false. */
export function tlsFromOptions(ssl: boolean | ConnectionOptions): TlsSettings {
  const use = ssl === false ? 'never' : 'always'
  return Object.freeze({
    use,
    negotiation: 'postgres',
    load: () => Promise.resolve(typeof ssl === 'object' ? { ...ssl } : {}),
  })
}

function sslMode({ sslmode, sslrootcert }: TlsInput): SslMode {
  const system = sslrootcert?.value === 'system'
  if (sslmode === undefined) return system ? 'verify-full' : 'prefer'
  const { value, origin } = sslmode
  const mode = MODES.find((known) => known === value)
  if (mode === undefined) throw new InvalidOptionError(origin, explainMode(value))
  if (system && mode !== 'verify-full') {
    throw new InvalidOptionError(origin, `sslrootcert=system needs sslmode=verify-full, not ${mode}`)
  }
  if (mode === 'verify-ca' && sslrootcert === undefined) {
    throw new InvalidOptionError(
      origin,
      'sslmode=verify-ca needs sslrootcert: a public certificate authority issues certificates to any host. ' +
        'Give the file of your own authority, or use verify-full',
    )
  }
  return mode
}

function explainMode(value: string): string {
  const remedy =
    value === 'allow'
      ? 'starts in plain text and is of no use here: write prefer, or require'
      : value === 'no-verify'
        ? 'is called require'
        : `is none of ${MODES.join(', ')}`
  return `sslmode '${value}' ${remedy}`
}

function sslNegotiation(
  setting: Setting | undefined,
  mode: SslMode,
  use: TlsSettings['use'],
): TlsSettings['negotiation'] {
  const value = setting?.value ?? 'postgres'
  if (value === 'postgres') return value
  const origin = setting?.origin ?? 'sslnegotiation'
  if (value !== 'direct') {
    throw new InvalidOptionError(origin, `sslnegotiation must be 'postgres' or 'direct', not '${value}'`)
  }
  if (use !== 'always') {
    throw new InvalidOptionError(
      origin,
      `sslnegotiation=direct needs sslmode=require or stricter, not ${mode}`,
    )
  }
  return value
}

const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const

function versionsOf({
  minVersion,
  maxVersion,
}: TlsInput): Pick<ConnectionOptions, 'minVersion' | 'maxVersion'> {
  const versions: { minVersion?: SecureVersion; maxVersion?: SecureVersion } = {}
  if (minVersion !== undefined) versions.minVersion = versionOf(minVersion)
  if (maxVersion !== undefined) versions.maxVersion = versionOf(maxVersion)
  if (
    versions.minVersion !== undefined &&
    versions.maxVersion !== undefined &&
    VERSIONS.indexOf(versions.minVersion) > VERSIONS.indexOf(versions.maxVersion)
  ) {
    const origin = minVersion?.origin ?? ''
    throw new InvalidOptionError(origin, `${origin} is above ssl_max_protocol_version`)
  }
  return versions
}

type SecureVersion = (typeof VERSIONS)[number]

function versionOf({ value, origin }: Setting): SecureVersion {
  const version = VERSIONS.find((known) => known.toLowerCase() === value.toLowerCase())
  if (version !== undefined) return version
  throw new InvalidOptionError(origin, `${origin} must be one of ${VERSIONS.join(', ')}`)
}

function verificationOptions(mode: SslMode, hasAuthority: boolean): ConnectionOptions {
  // Set in every case: NODE_TLS_REJECT_UNAUTHORIZED changes the default for the whole process.
  if (mode === 'verify-full') return { rejectUnauthorized: true }
  const checksChain = mode === 'verify-ca' || (mode === 'require' && hasAuthority)
  return checksChain
    ? { rejectUnauthorized: true, checkServerIdentity: () => undefined }
    : { rejectUnauthorized: false }
}

/** The setting itself if it is PEM, else the file that it names. */
async function pem({ value, origin }: Setting): Promise<string> {
  if (value.includes('-----BEGIN ')) return value
  try {
    return await readFile(value, 'utf8')
  } catch (error) {
    throw new TlsFileError(`${origin} cannot be read: ${value}`, { cause: error })
  }
}
