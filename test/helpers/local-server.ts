/**
 * Starts a PostgreSQL server of its own on this machine, for the test run, for fault tests that stop and kill it, and
 * for `npm run demo`. No test framework and no Docker in here.
 *
 * Works as root (the server then runs as `postgres` or `nobody`) and as a user. Everything lives in one folder below the
 * temporary directory; a detached watchdog deletes it and ends the server, also when this process is killed.
 */
import { type ChildProcess, type SpawnOptions, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ServerBinaries, findServerBinaries } from './server-binaries.js'
import { waitUntil } from './wait-until.js'

/** Options of {@link startServer}. */
export interface ServerOptions {
  /** Settings of postgresql.conf, on top of those that make a throw-away server fast. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>
  /** The whole of pg_hba.conf. Default: scram-sha-256 over TCP, trust over the Unix socket. */
  readonly hba?: readonly string[]
  /** Files for `ssl = on`; see `createCertificates`. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly authority?: string }
}

/** `fast` ends the sessions in good order (57P01), `immediate` drops them as a crash would. */
export type StopMode = 'fast' | 'immediate'

/** The superuser of every local server. The password is easy to find in what must not hold it. */
export const SUPERUSER = { user: 'lifeguard', password: 'p4ss-w0rd-of-lifeguard' } as const

const WATCHDOG = fileURLToPath(new URL('watchdog.mjs', import.meta.url))
const START_DEADLINE_MILLIS = 30_000
const DEFAULT_HBA = ['local all all trust', 'host all all all scram-sha-256']

const FAST_SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: 200,
  shared_buffers: '64MB',
  autovacuum: 'off',
  jit: 'off',
  timezone: 'UTC',
  log_line_prefix: '%m [%p] %a ',
}

/** A server that a test owns. */
export class LocalServer implements AsyncDisposable {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly user = SUPERUSER.user
  readonly password = SUPERUSER.password
  /** Folder of the Unix socket: usable as `host`. */
  readonly socketDirectory: string
  readonly #binaries: ServerBinaries
  readonly #account: Account
  readonly #watchdog: ChildProcess
  readonly #arguments: readonly string[]
  #postmaster: ChildProcess | undefined

  /** Use {@link startServer}. */
  constructor(folder: string, port: number, parts: ServerParts) {
    this.socketDirectory = folder
    this.port = port
    this.#binaries = parts.binaries
    this.#account = parts.account
    this.#watchdog = parts.watchdog
    const settings = {
      ...FAST_SETTINGS,
      ...parts.settings,
      port,
      listen_addresses: this.host,
      unix_socket_directories: folder,
    }
    this.#arguments = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  }

  /** Connection string of the superuser for database `postgres`. */
  get url(): string {
    return `postgresql://${this.user}:${this.password}@${this.host}:${this.port}/postgres`
  }

  /** Process id of the postmaster; undefined while the server is down. */
  get processId(): number | undefined {
    return this.#postmaster?.pid
  }

  /** What the server has logged since it was created. */
  log(): string {
    return readFileSync(this.#path('server.log'), 'utf8')
  }

  /** Starts the server (again, on the same port). Resolves when it takes connections. */
  async start(): Promise<void> {
    if (this.#postmaster !== undefined) throw new Error('The server is running')
    // After a kill the last backends of the old server may hold its memory for a moment.
    await waitUntil(() => this.#startOnce(), {
      deadlineMillis: START_DEADLINE_MILLIS,
      message: () => `a start:\n${this.log()}`,
    })
  }

  /** Stops the server and waits until it is gone. */
  stop(mode: StopMode = 'fast'): Promise<void> {
    return this.#end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
  }

  /** Kills the postmaster: the machine room's version of a crash. Its backends follow within moments. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** Stops the server for good and deletes its files. Idempotent. */
  async dispose(): Promise<void> {
    await this.stop('immediate')
    if (this.#watchdog.exitCode !== null) return
    const exited = once(this.#watchdog, 'exit')
    this.#watchdog.ref()
    this.#watchdog.stdin?.end()
    await exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  async #startOnce(): Promise<boolean> {
    const logged = this.log().length
    const log = openSync(this.#path('server.log'), 'a')
    const postmaster = spawnAs(
      this.#account,
      join(this.#binaries.bin, 'postgres'),
      ['-D', this.#path('data'), ...this.#arguments],
      {
        stdio: ['ignore', log, log],
        // A Ctrl-C in the terminal is for the tests, which may still need the server to clean up.
        detached: true,
      },
    )
    closeSync(log)
    tell(this.#watchdog, '+', postmaster)
    postmaster.unref()
    const state = await waitUntil(
      () => (hasExited(postmaster) ? 'exited' : this.#isReady(postmaster) ? 'ready' : undefined),
      {
        deadlineMillis: START_DEADLINE_MILLIS,
        message: () => `the server to be ready:\n${this.log()}`,
      },
    )
    if (state === 'ready') {
      this.#postmaster = postmaster
      return true
    }
    tell(this.#watchdog, '-', postmaster)
    const complaint = this.log().slice(logged)
    if (complaint.includes('is still in use') || complaint.includes('is already in use')) return false
    throw new Error(`PostgreSQL did not start:\n${complaint}`)
  }

  /** The postmaster writes its pid in the first line of its pid file, and its state in the eighth. */
  #isReady(postmaster: ChildProcess): boolean {
    const file = this.#path('data/postmaster.pid')
    if (!existsSync(file)) return false
    const lines = readFileSync(file, 'utf8').split('\n')
    return Number(lines[0]) === postmaster.pid && lines[7]?.trim() === 'ready'
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const postmaster = this.#postmaster
    this.#postmaster = undefined
    if (postmaster === undefined) return
    if (!hasExited(postmaster)) {
      const exited = once(postmaster, 'exit')
      postmaster.ref()
      postmaster.kill(signal)
      await exited
    }
    tell(this.#watchdog, '-', postmaster)
  }

  #path(name: string): string {
    return join(this.socketDirectory, name)
  }
}

interface ServerParts {
  readonly binaries: ServerBinaries
  readonly account: Account
  readonly watchdog: ChildProcess
  readonly settings: Readonly<Record<string, string | number | boolean>>
}

/** Creates a cluster on a free port and starts it. Takes about a second; call `dispose()` in the end. */
export async function startServer({
  settings = {},
  hba = DEFAULT_HBA,
  tls,
}: ServerOptions = {}): Promise<LocalServer> {
  const account = serverAccount()
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-'))
  const watchdog = spawn(process.execPath, [WATCHDOG, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  })
  unrefAll(watchdog)
  give(folder, account, 0o755)

  const binaries = reachable(findServerBinaries(), account, folder)
  const password = join(folder, 'password')
  writeFileSync(password, SUPERUSER.password)
  give(password, account, 0o600)
  writeFileSync(join(folder, 'server.log'), '')
  await initialiseCluster(binaries, account, watchdog, folder, password)

  writeFileSync(join(folder, 'data', 'pg_hba.conf'), hba.join('\n') + '\n')
  const tlsSettings = tls === undefined ? {} : installTls(tls, folder, account)
  const parts = { binaries, account, watchdog, settings: { ...settings, ...tlsSettings } }
  const server = new LocalServer(folder, await freePort(), parts)
  await server.start()
  return server
}

async function initialiseCluster(
  binaries: ServerBinaries,
  account: Account,
  watchdog: ChildProcess,
  folder: string,
  password: string,
): Promise<void> {
  const options = [
    '-D',
    join(folder, 'data'),
    '-U',
    SUPERUSER.user,
    `--pwfile=${password}`,
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
  ]
  const log = openSync(join(folder, 'initdb.log'), 'a')
  const initdb = spawnAs(account, join(binaries.bin, 'initdb'), options, { stdio: ['ignore', log, log] })
  closeSync(log)
  tell(watchdog, '+', initdb)
  const [code] = (await once(initdb, 'exit')) as [number | null]
  tell(watchdog, '-', initdb)
  if (code !== 0) throw new Error(`initdb failed:\n${readFileSync(join(folder, 'initdb.log'), 'utf8')}`)
}

function installTls(
  tls: NonNullable<ServerOptions['tls']>,
  folder: string,
  account: Account,
): Record<string, string> {
  const copy = (source: string, name: string): string => {
    const target = join(folder, 'data', name)
    copyFileSync(source, target)
    give(target, account, 0o600)
    return target
  }
  return {
    ssl: 'on',
    ssl_cert_file: copy(tls.certificate, 'tls.crt'),
    ssl_key_file: copy(tls.key, 'tls.key'),
    ...(tls.authority === undefined ? {} : { ssl_ca_file: copy(tls.authority, 'tls-ca.crt') }),
  }
}

/** Who the server runs as; undefined for whoever runs the tests. */
type Account = { readonly uid: number; readonly gid: number } | undefined

/** PostgreSQL refuses to run as root, and initdb wants an account that has a name. */
function serverAccount(): Account {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // No such account: try the next.
    }
  }
  throw new Error('Running as root, and neither the account postgres nor nobody exists')
}

function give(path: string, account: Account, mode: number): void {
  if (account !== undefined) chownSync(path, account.uid, account.gid)
  chmodSync(path, mode)
}

/** A copy of the programs if the server's account cannot get at them, as below /root. */
function reachable(binaries: ServerBinaries, account: Account, folder: string): ServerBinaries {
  if (account === undefined) return binaries
  for (let at = binaries.bin; at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) !== 0) continue
    const root = join(folder, 'programs')
    cpSync(binaries.root, root, { recursive: true, verbatimSymlinks: true })
    return { ...binaries, root, bin: join(root, 'bin') }
  }
  return binaries
}

function spawnAs(
  account: Account,
  program: string,
  options: readonly string[],
  how: SpawnOptions,
): ChildProcess {
  // None of the PG* variables that the tests may have set.
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' }
  return spawn(program, options, { ...how, ...account, env, cwd: '/' })
}

function tell(watchdog: ChildProcess, sign: '+' | '-', child: ChildProcess): void {
  watchdog.stdin?.write(`${sign}${child.pid}\n`)
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function unrefAll(child: ChildProcess): void {
  child.unref()
  const stdin = child.stdin as { unref?(): void } | null
  stdin?.unref?.()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
