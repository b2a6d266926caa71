/**
 * Reads `postgres://user:password@host:port/database?sslmode=require`, as libpq does: every part may be missing, parts are
 * percent-encoded, and a parameter overrides the part of the same name. No error contains the url, because it may contain a password.
 *
 * `URL` is not used: it refuses an empty host after a user (`postgres://me@/db?host=/run/postgresql`), ends the password at a `#`, and
 * prints the whole url in its errors.
 */
import { InvalidOptionError } from '../errors.js'
import { nearestName } from '../internal/nearest-name.js'
import { type SettingName, URL_PARAMETERS } from './libpq-parameters.js'

/** What a url can say. Values are text as they stand in the url, decoded. */
export type UrlSettings = Partial<Record<SettingName, string>>

// authority / path ? query; the authority may be empty. libpq knows no fragment.
const SHAPE = /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s
const AUTHORITY = /^(?:([^:]*)(?::(.*))?@)?([^@]*)$/s
// One of the hosts between commas; an IPv6 address stands in brackets.
const HOST = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/s

const UNREADABLE =
  "has an unreadable host or port; '/', '?', '@' and '%' in a user name or password must be percent-encoded"

/** @throws InvalidOptionError (option `url`) that says which part is wrong. */
export function parseConnectionUrl(given: string): UrlSettings {
  // From a file or a shell: a line feed at its end would become part of the last value.
  const url = given.trim()
  const [, authority = '', path, query] = SHAPE.exec(url) ?? refuse(explainScheme(url))
  if (/\s/.test(authority))
    refuse("has white space in its user, password, host or port; in a name or password write '%20'")
  // Else the rest of a password with a '/' in it would pass for the name of the database.
  if (path?.includes('@') === true) refuse(UNREADABLE)
  const [, user, password, list = ''] = AUTHORITY.exec(authority) ?? refuse(UNREADABLE)
  const servers = list.split(',').map((server) => HOST.exec(server) ?? refuse(UNREADABLE))
  if (servers.some(([, host]) => host === '[]')) refuse('has no address in the brackets of a host')
  const settings: UrlSettings = {}
  set(settings, 'user', user, 'user name')
  set(settings, 'password', password, 'password')
  setList(
    settings,
    'host',
    servers.map(([, host = '']) => host.replace(/^\[(.*)\]$/, '$1')),
  )
  setList(
    settings,
    'port',
    servers.map(([, , port = '']) => port),
  )
  set(settings, 'dbname', path, 'database')
  for (const pair of query?.split('&') ?? []) setParameter(settings, pair)
  return settings
}

function setParameter(settings: UrlSettings, pair: string): void {
  if (pair === '') return
  const end = pair.indexOf('=')
  const name = nameOf(end === -1 ? pair : pair.slice(0, end))
  const value = end === -1 ? '' : pair.slice(end + 1)
  if (name === 'ssl') {
    // JDBC's way to say it, which libpq takes too.
    if (value !== 'true') refuse("has 'ssl' with a value other than true; write sslmode=...")
    settings.sslmode ??= 'require'
    return
  }
  // node-postgres's switch for behaviour that is always on here.
  if (name === 'uselibpqcompat') return
  const known = URL_PARAMETERS.find((parameter) => parameter === name)
  if (known === undefined) {
    throw new InvalidOptionError('url', `url has the unknown parameter '${name}'. ${remedyFor(name)}`)
  }
  if (end === -1) refuse(`has the parameter '${name}' without a value: write '${name}=...', or leave it out`)
  set(settings, known, value, known)
}

/** The name of a parameter, decoded as libpq decodes it. A name that is none is not shown: it may be a part of a password. */
function nameOf(encoded: string): string {
  if (encoded === '')
    refuse("has a '=' in its parameters without a name before it: write 'name=value', joined by '&'")
  let name = encoded
  try {
    name = decodeURIComponent(encoded)
  } catch {
    // Refused below: it has a percent sign.
  }
  if (/^\w+$/.test(name)) return name
  if (encoded.includes('@')) refuse(UNREADABLE)
  return refuse(
    "has a parameter whose name cannot be read: after '?' come 'name=value' pairs, joined by '&'; a '?' in a user name or " +
      "password, and a '&' in a value, must be percent-encoded ('%3F', '%26')",
  )
}

/** A list may have empty items: in `a,b:5433` host `a` has the default port, as in libpq. */
function setList(settings: UrlSettings, name: 'host' | 'port', items: readonly string[]): void {
  if (items.some((item) => item !== '')) set(settings, name, items.join(','), name)
}

/** Parameters of other libraries, and what to use instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  schema:
    "The schema of a connection is the setting search_path: connectArgs: { serverSettings: { search_path: '...' } }",
  pgbouncer:
    'Leave it out: poolers are recognised. For one that knows no prepared statements (PgBouncer before 1.21), set the option statementCacheSize: 0',
  connection_limit: 'The size of the pool is set by the options poolSize and maxOverflow',
  pool_timeout: 'The wait for a connection is limited by the option poolTimeoutMillis',
}

function remedyFor(name: string): string {
  if (Object.hasOwn(ELSEWHERE, name)) return ELSEWHERE[name] as string
  const nearest = nearestName(name, URL_PARAMETERS)
  return nearest === undefined
    ? 'Settings of the server belong into connectArgs.serverSettings'
    : `Did you mean '${nearest}'?`
}

/** An empty value counts as not given. */
function set(settings: UrlSettings, name: SettingName, encoded: string | undefined, part: string): void {
  if (encoded === undefined || encoded === '') return
  try {
    settings[name] = decodeURIComponent(encoded)
  } catch {
    refuse(`has a wrong percent-encoding in its ${part}; a plain '%' is written %25`)
  }
}

function explainScheme(url: string): string {
  if (url === '') return 'is empty'
  if (url === 'undefined' || url === 'null')
    return `is the text '${url}': a variable without a value was written into it`
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url) ?? []
  const found = scheme === undefined ? '' : `, not with ${scheme}://`
  return `must start with postgres:// or postgresql://${found}`
}

function refuse(problem: string): never {
  throw new InvalidOptionError('url', `url ${problem}`)
}
