/**
 * Turns the failure of an attempt to connect into a {@link ConnectError} that says what happened, where, and what to do;
 * and decides whether waiting can help.
 */
import { type ServerErrorFields, isServerError } from '../database-errors.js'
import { ConnectError } from '../errors.js'
import { ProtocolError } from './backend-messages.js'
import type { ConnectTarget } from './connect-options.js'
import type { HostFailure } from './host-search.js'
import { WrongRoleError } from './server-role.js'
import { type SocketPhase, TlsRefusedError } from './socket.js'
import { TlsFileError } from './tls.js'
import { isInstance } from '../internal/revoked.js'

/** What was under way when it failed. */
export type ConnectPhase = 'password' | 'certificates' | SocketPhase | 'authentication' | 'role'

/** The server asks for a password and none is configured. */
export class NoPasswordError extends Error {
  override readonly name = 'NoPasswordError'
}

/** The server authenticates without channel binding, which is required. */
export class ChannelBindingError extends ProtocolError {
  override readonly name = 'ChannelBindingError'
}

interface Diagnosis {
  /** Waiting cannot help. */
  readonly fatal: boolean
  /** The part of the message after the target: no capital, no full stop. */
  readonly text: string
  /** What to do about it; a sentence. */
  readonly remedy?: string | undefined
}

/** Classes of server errors that pass by themselves; all others are fatal. */
const TRANSIENT_CLASSES = new Set(['08', '53', '57', '58', 'XX'])
/** `database is being accessed by other users`. */
const TRANSIENT_STATES = new Set(['55006'])

const REMEDY_BY_SQL_STATE: Readonly<Record<string, string>> = {
  '22023': 'Look at connectArgs.serverSettings.',
  '28000': "The server's pg_hba.conf decides who may connect from where, and whether encrypted.",
  '28P01': 'Check the user name and the password.',
  '3D000': 'Create the database, or correct its name.',
  '42501': 'Grant the role the right to connect to this database.',
  '42704': 'Look at connectArgs.serverSettings.',
  '53300': "The server's max_connections (or the role's limit) is reached: use smaller pools or a pooler.",
  '57P03': 'The server is starting up or shutting down.',
}

const SOCKET_FAILURES: Readonly<Record<string, Diagnosis>> = {
  EACCES: { fatal: true, text: 'this process may not open the socket' },
  EAI_AGAIN: { fatal: false, text: 'the name service did not answer' },
  ECONNABORTED: { fatal: false, text: 'the connection was dropped' },
  ECONNREFUSED: {
    fatal: false,
    text: 'nothing listens there',
    remedy: 'Is PostgreSQL running, and are host and port right?',
  },
  ECONNRESET: { fatal: false, text: 'the server closed the connection' },
  EHOSTDOWN: { fatal: false, text: 'the host is down' },
  EHOSTUNREACH: { fatal: false, text: 'the host cannot be reached' },
  EMFILE: { fatal: false, text: 'this process has too many open files' },
  ENETUNREACH: { fatal: false, text: 'the network cannot be reached' },
  ENFILE: { fatal: false, text: 'this machine has too many open files' },
  ENOENT: {
    fatal: false,
    text: 'there is no such socket',
    remedy: 'Is PostgreSQL running, and are the folder of its socket and the port right?',
  },
  ENOTFOUND: { fatal: true, text: 'the host is unknown', remedy: 'Check the name of the host.' },
  EPIPE: { fatal: false, text: 'the server closed the connection' },
  ETIMEDOUT: { fatal: false, text: 'the host does not answer' },
}

const WAITING_FOR: Readonly<Record<ConnectPhase, string>> = {
  password: 'waiting for the password function',
  certificates: 'reading the certificate files',
  socket: 'opening the socket',
  tls: 'negotiating TLS',
  authentication: 'authenticating',
  role: 'asking the server whether it is a standby',
}

/** Why an attempt failed, and in which phase. */
export class FailedPhase extends Error {
  override readonly name = 'FailedPhase'
  readonly phase: ConnectPhase
  override readonly cause: unknown

  constructor(phase: ConnectPhase, cause: unknown) {
    super('The attempt to connect failed')
    this.phase = phase
    this.cause = cause
  }
}

/**
 * @param target `user@host:port/database`.
 * @param isUnsaid No option, url or variable says where to connect, and the default server refused: another attempt cannot help.
 */
export function connectFailure(error: unknown, target: string, isUnsaid = false): ConnectError {
  const { cause, phase } = attemptOf(error)
  const diagnosis = diagnose(cause, phase)
  const remedy = isUnsaid ? NOTHING_SAID : diagnosis.remedy
  const message = `Cannot connect to ${target}: ${diagnosis.text}.${remedy === undefined ? '' : ` ${remedy}`}`
  return new ConnectError(
    message,
    { fatal: diagnosis.fatal || isUnsaid, sqlState: sqlStateOf(cause) },
    { cause },
  )
}

/** None of several hosts gave a connection: one line for each. Waiting helps if it may help at one of them. */
export function searchFailure(failures: readonly HostFailure[], target: ConnectTarget): ConnectError {
  const errors = failures.map(({ host, error }) => {
    const { cause, phase } = attemptOf(error)
    const { fatal, text, remedy } = diagnose(cause, phase)
    const line = `${host.name}: ${text}.${remedy === undefined ? '' : ` ${remedy}`}`
    return { line, error: new ConnectError(line, { fatal, sqlState: sqlStateOf(cause) }, { cause }) }
  })
  const tried = new Set(failures.map(({ host }) => host))
  const left = target.hosts.filter((host) => !tried.has(host)).map(({ name }) => `${name}: not tried.`)
  const lines = [...errors.map(({ line }) => line), ...left].map((line) => `\n  ${line}`)
  const message = `Cannot connect to any of ${target.name}:${lines.join('')}`
  const last = errors.at(-1)?.error
  const fatal =
    failures.some(({ error }) => endsSearch(error)) ||
    (errors.length > 0 && errors.every(({ error }) => error.fatal))
  return new ConnectError(
    message,
    { fatal, sqlState: last?.sqlState },
    {
      cause: new AggregateError(
        errors.map(({ error }) => error),
        message,
      ),
    },
  )
}

/**
 * As with libpq, a server that refuses the user or the password ends the search. So does a failing password function, because it
 * would fail for every host.
 */
export function endsSearch(error: unknown): boolean {
  const { cause, phase } = attemptOf(error)
  if (cause instanceof NoPasswordError) return true
  if (phase === 'password') return !(cause instanceof Error && cause.name === 'TimeoutError')
  return isServerError(cause) && (cause.code === '28P01' || cause.code === '28000')
}

function attemptOf(error: unknown): { readonly cause: unknown; readonly phase: ConnectPhase } {
  return error instanceof FailedPhase ? error : { cause: error, phase: 'password' }
}

function sqlStateOf(error: unknown): string | undefined {
  return isServerError(error) ? error.code : undefined
}

const NOTHING_SAID =
  'No url was given (is DATABASE_URL set?), no host, and no variable (PGHOST, PGUSER, ...), so the defaults were used.'

function diagnose(error: unknown, phase: ConnectPhase): Diagnosis {
  if (!isInstance(error, Error))
    return { fatal: true, text: `a value that is not an Error was thrown while ${WAITING_FOR[phase]}` }
  if (error.name === 'TimeoutError') return { fatal: false, text: `timed out while ${WAITING_FOR[phase]}` }
  // The error of the user's function may hold a secret, so its text stays in the cause.
  if (phase === 'password') return { fatal: true, text: 'the password function failed' }
  if (isServerError(error)) return diagnoseAnswer(error)
  const { code } = error as { code?: unknown }
  const known = typeof code === 'string' ? SOCKET_FAILURES[code] : undefined
  if (known !== undefined) return { ...known, text: `${known.text} (${String(code)})` }
  return diagnoseRest(error, phase)
}

function diagnoseAnswer({ code, message }: Error & ServerErrorFields & { readonly code: string }): Diagnosis {
  const text = `${message} (${code})`
  // PgBouncer uses one SQLSTATE for all errors, most of which pass by themselves. This one does not.
  if (message.includes('unsupported startup parameter')) {
    const remedy =
      "Take it out of connectArgs.serverSettings, or add it to PgBouncer's ignore_startup_parameters."
    return { fatal: true, text, remedy }
  }
  const fatal = !TRANSIENT_CLASSES.has(code.slice(0, 2)) && !TRANSIENT_STATES.has(code)
  return { fatal, text, remedy: REMEDY_BY_SQL_STATE[code] }
}

function diagnoseRest(error: Error, phase: ConnectPhase): Diagnosis {
  if (error.message.startsWith('Connection terminated')) {
    return { fatal: false, text: `the server closed the connection while ${WAITING_FOR[phase]}` }
  }
  if (error instanceof NoPasswordError) {
    return {
      fatal: true,
      text: 'the server asks for a password, and none is configured',
      remedy: 'Set the option password, a password in url, or PGPASSWORD.',
    }
  }
  if (error instanceof TlsRefusedError) {
    return {
      fatal: true,
      text: error.message,
      remedy: 'Set ssl = on at the server, or sslmode=disable here.',
    }
  }
  if (error instanceof WrongRoleError) return { fatal: false, text: error.message }
  if (error instanceof TlsFileError || error instanceof ChannelBindingError) {
    return { fatal: true, text: error.message }
  }
  if (error instanceof ProtocolError) {
    return {
      fatal: !error.mayPass,
      text: error.message,
      remedy: 'Is it a PostgreSQL server that listens there?',
    }
  }
  // The rest: certificates, TLS versions, and what node-postgres finds wrong with the authentication.
  const { code } = error as { code?: unknown }
  const name = typeof code === 'string' ? ` (${code})` : ''
  const remedy = name === '' ? undefined : remedyForCertificate(String(code))
  return { fatal: true, text: `${withoutDot(error.message)}${name}`, remedy }
}

function remedyForCertificate(code: string): string | undefined {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'Connect by a name that the certificate is for, or use sslmode=verify-ca.'
  }
  const untrusted = /SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code)
  return untrusted ? 'Give the authority that signed it as sslrootcert.' : undefined
}

function withoutDot(text: string): string {
  return text.replace(/\.?\s*$/, '')
}
