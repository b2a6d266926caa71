/** PgBouncer in transaction mode in front of a server, where its program is installed (Debian: `apt-get install pgbouncer`). */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import pg from 'pg'
import { Sandbox, freePort, hasExited, untilExit } from './local-process.js'
import { waitUntil } from './wait-until.js'

/** A running PgBouncer. */
export interface PgBouncer extends AsyncDisposable {
  /** The connection string, through PgBouncer. */
  readonly url: string
  log(): string
}

/** Path of the program; undefined if it is not installed: skip the test then. */
export function findPgBouncer(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin']
  return folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path))
}

/** True if it keeps named prepared statements in transaction mode (since 1.21, `max_prepared_statements`). */
export function pgBouncerPrepares(program: string): boolean {
  const version = /(\d+)\.(\d+)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])]
  return major > 1 || minor >= 21
}

/** Options of {@link startPgBouncer}. */
export interface PgBouncerOptions {
  /** Connections to the server. Default 5. */
  readonly poolSize?: number
  /** More of pgbouncer.ini. */
  readonly settings?: Readonly<Record<string, string | number>>
}

/**
 * Starts it for the one database of the connection string, with as many server connections as `poolSize` says.
 * @throws if the program is not installed; see {@link findPgBouncer}.
 */
export async function startPgBouncer(url: string, options: PgBouncerOptions = {}): Promise<PgBouncer> {
  const { poolSize = 5 } = options
  const program = findPgBouncer()
  if (program === undefined) throw new Error('pgbouncer is not installed')
  const { hostname, port, username, password, pathname } = new URL(url)
  const own = new URL(url)
  own.hostname = '127.0.0.1'
  own.port = String(await freePort())

  const sandbox = new Sandbox()
  const users = sandbox.write('users.txt', `"${username}" "${password}"\n`)
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: own.port,
    unix_socket_dir: sandbox.folder,
    auth_type: 'plain',
    auth_file: users,
    pool_mode: 'transaction',
    default_pool_size: poolSize,
    max_client_conn: 200,
    ignore_startup_parameters: 'extra_float_digits,options',
    ...options.settings,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  const database = `${pathname.slice(1)} = host=${hostname} port=${port} user=${username} password=${password}`
  const file = sandbox.write(
    'pgbouncer.ini',
    ['[databases]', database, '[pgbouncer]', ...lines, ''].join('\n'),
  )

  const child = sandbox.spawn(program, [file], 'pgbouncer.log')
  const log = (): string => sandbox.read('pgbouncer.log')
  await waitUntil(
    () => {
      if (hasExited(child)) throw new Error(`PgBouncer did not start:\n${log()}`)
      return answers(own.href)
    },
    { message: () => `PgBouncer to answer:\n${log()}` },
  )
  return {
    url: own.href,
    log,
    [Symbol.asyncDispose]: async () => {
      // From 1.23 on, SIGTERM waits until every client has left.
      child.kill('SIGQUIT')
      await untilExit(child)
      await sandbox.dispose()
    },
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url })
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}
