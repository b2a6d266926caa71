/**
 * Starts a PostgreSQL server of its own on this machine, for the test run, for fault tests that stop and kill it, and
 * for `npm run demo`. No test framework and no Docker in here.
 *
 * Works as root (the server then runs as `postgres` or `nobody`) and as a user, and leaves nothing behind; see `Sandbox`.
 */
import { type ChildProcess, execFile } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type pg from 'pg'
import { KeptConnection } from './databases.js'
import { Sandbox, freePort, hasExited, untilExit } from './local-process.js'
import { quickVerifier } from './scram.js'
import { type ServerBinaries, findServerBinaries } from './server-binaries.js'
import { waitUntil } from './wait-until.js'

/** Options of {@link startServer}. */
export interface ServerOptions {
  /** Settings of postgresql.conf, on top of those that make a throw-away server fast. */
  readonly settings?: Settings
  /** The whole of pg_hba.conf. Default: scram-sha-256 over TCP, trust over the Unix socket. */
  readonly hba?: readonly string[]
  /** Files for `ssl = on`; see `createCertificates`. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly authority?: string }
}

type Settings = Readonly<Record<string, string | number | boolean>>

/** `fast` ends the sessions in good order (57P01), `immediate` drops them as a crash would. */
export type StopMode = 'fast' | 'immediate'

/** The superuser of every local server. The password is easy to find in what must not hold it. */
export const SUPERUSER = { user: 'lifeguard', password: 'p4ss-w0rd-of-lifeguard' } as const

const START_DEADLINE_MILLIS = 30_000
const DEFAULT_HBA = ['local all all trust', 'host all all all scram-sha-256']
/** Also lets standbys in. */
export const REPLICATION_HBA: readonly string[] = [...DEFAULT_HBA, 'host replication all all scram-sha-256']

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

/** Names the data folder of a cluster that no server has used yet; see {@link shareCluster}. */
const SHARED_CLUSTER = 'LIFEGUARD_TEST_CLUSTER'

const run = promisify(execFile)

/**
 * Creates one cluster, which the servers that this process and its children start from then on begin with a copy of: that takes 0.1 s
 * instead of 1 s. All of them have the same system identifier. Where there is a shared cluster already, it stays.
 */
export async function shareCluster(): Promise<AsyncDisposable> {
  if (sharedCluster() !== undefined) return { [Symbol.asyncDispose]: () => Promise.resolve() }
  const sandbox = new Sandbox()
  await initialiseCluster(reachable(findServerBinaries(), sandbox), sandbox)
  process.env[SHARED_CLUSTER] = sandbox.path('data')
  return {
    [Symbol.asyncDispose]: () => {
      Reflect.deleteProperty(process.env, SHARED_CLUSTER)
      return sandbox.dispose()
    },
  }
}

function sharedCluster(): string | undefined {
  const folder = process.env[SHARED_CLUSTER]
  return folder !== undefined && existsSync(folder) ? folder : undefined
}

/** Creates a cluster on a free port and starts it. Takes about a second without a shared cluster; call `dispose()` in the end. */
export async function startServer({
  settings = {},
  hba = DEFAULT_HBA,
  tls,
}: ServerOptions = {}): Promise<LocalServer> {
  const sandbox = new Sandbox()
  const binaries = reachable(findServerBinaries(), sandbox)
  const shared = sharedCluster()
  await (shared === undefined ? initialiseCluster(binaries, sandbox) : copyCluster(shared, sandbox))
  writeFileSync(sandbox.path('data/pg_hba.conf'), hba.join('\n') + '\n')
  const tlsSettings = tls === undefined ? {} : installTls(tls, sandbox)
  const server = new LocalServer(sandbox, binaries, await freePort(), { ...settings, ...tlsSettings })
  await server.start()
  return server
}

/** A server that a test owns. */
export class LocalServer implements AsyncDisposable {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly user: string = SUPERUSER.user
  readonly password: string = SUPERUSER.password
  readonly #sandbox: Sandbox
  readonly #program: string
  readonly #options: readonly string[]
  #postmaster: ChildProcess | undefined
  #kept: KeptConnection | undefined

  /** Use {@link startServer}. */
  constructor(sandbox: Sandbox, binaries: ServerBinaries, port: number, settings: Settings) {
    this.port = port
    this.#sandbox = sandbox
    this.#program = join(binaries.bin, 'postgres')
    const fixed = { port, listen_addresses: this.host, unix_socket_directories: sandbox.folder }
    const all = Object.entries({ ...FAST_SETTINGS, ...settings, ...fixed })
    this.#options = [
      '-D',
      sandbox.path('data'),
      ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ]
  }

  /** Connection string of the superuser for database `postgres`. */
  get url(): string {
    return `postgresql://${this.user}:${this.password}@${this.host}:${this.port}/postgres`
  }

  /**
   * Runs a statement as the superuser in database `postgres`, outside of whatever is being tested. Its connection stays open, because a new
   * one costs as much as a hundred short statements: SET has to be SET LOCAL.
   */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]> {
    this.#kept ??= new KeptConnection(this.url)
    return this.#kept.query(text, values)
  }

  /** Folder of the Unix socket: usable as `host`. */
  get socketDirectory(): string {
    return this.#sandbox.folder
  }

  /** Process id of the postmaster; undefined while the server is down. */
  get processId(): number | undefined {
    return this.#postmaster?.pid
  }

  /** What the server has logged since it was created. */
  log(): string {
    return this.#sandbox.read('server.log')
  }

  /** Starts the server (again, on the same port). Resolves when it takes connections. */
  async start(): Promise<void> {
    if (this.#postmaster !== undefined) throw new Error('The server is running')
    this.#postmaster = await waitUntil(() => this.#startOnce(), {
      deadlineMillis: START_DEADLINE_MILLIS,
      message: () => `a start:\n${this.log()}`,
    })
  }

  /** Stops the server and waits until it is gone. */
  stop(mode: StopMode = 'fast'): Promise<void> {
    return this.#end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
  }

  /** From its next start on it is a standby, without a primary: it takes reads, and no writes. */
  demote(): void {
    this.#sandbox.write('data/standby.signal', '')
  }

  /** A standby that streams from this server; see {@link startStandbys}. */
  async startStandby(settings: Settings = {}): Promise<LocalServer> {
    const [standby] = await this.startStandbys([settings])
    return standby as LocalServer
  }

  /**
   * Standbys that stream from this server, which stops and starts again once for all of them. Needs `REPLICATION_HBA`.
   * @param all Settings of each, for example `recovery_min_apply_delay`.
   */
  async startStandbys(all: readonly Settings[]): Promise<LocalServer[]> {
    await this.stop()
    const standbys = await Promise.all(all.map((settings) => this.standbyOf(this, settings)))
    await this.start()
    await Promise.all(standbys.map((standby) => standby.start()))
    return standbys
  }

  /** A standby of the primary, which has what this server has: this one is down, and has all that the primary began with. Not started. */
  async standbyOf(primary: LocalServer, settings: Settings = {}): Promise<LocalServer> {
    const { host, port, user, password } = primary
    const standby = await this.copy({
      primary_conninfo: `host=${host} port=${port} user=${user} password=${password}`,
      // How soon it looks for its primary again. PostgreSQL's 5 s would be most of a test's deadline.
      wal_retrieve_retry_interval: '200ms',
      ...settings,
    })
    standby.demote()
    return standby
  }

  /** A server that has what this one has, which is down. Not started. */
  async copy(settings: Settings = {}): Promise<LocalServer> {
    const sandbox = new Sandbox()
    await copyCluster(this.#sandbox.path('data'), sandbox)
    return new LocalServer(sandbox, reachable(findServerBinaries(), sandbox), await freePort(), settings)
  }

  /** Kills the postmaster: the machine room's version of a crash. Its backends follow within moments. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** Stops the server for good and deletes its files. Idempotent. */
  async dispose(): Promise<void> {
    await this.stop('immediate')
    await this.#sandbox.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  /** Undefined if another attempt may help: after a kill the last backends hold the old server's memory for a moment. */
  async #startOnce(): Promise<ChildProcess | undefined> {
    const postmaster = this.#sandbox.spawn(this.#program, this.#options, 'server.log')
    await waitUntil(() => hasExited(postmaster) || this.#isReady(postmaster), {
      deadlineMillis: START_DEADLINE_MILLIS,
      message: () => `the server to be ready:\n${this.log()}`,
    })
    if (!hasExited(postmaster)) return postmaster
    if (/is (still|already) in use[^]{0,300}$/.test(this.log())) return undefined
    throw new Error(`PostgreSQL did not start:\n${this.log()}`)
  }

  /** The postmaster writes its pid in the first line of its pid file, and its state in the eighth. */
  #isReady(postmaster: ChildProcess): boolean {
    const file = this.#sandbox.path('data/postmaster.pid')
    if (!existsSync(file)) return false
    const lines = readFileSync(file, 'utf8').split('\n')
    return Number(lines[0]) === postmaster.pid && /^(ready|standby)\s*$/.test(lines[7] ?? '')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const postmaster = this.#postmaster
    this.#postmaster = undefined
    if (postmaster === undefined) return
    postmaster.kill(signal)
    await untilExit(postmaster)
  }
}

async function initialiseCluster(binaries: ServerBinaries, sandbox: Sandbox): Promise<void> {
  const password = sandbox.write('password', quickVerifier(SUPERUSER.password))
  const where = ['-D', sandbox.path('data'), '-U', SUPERUSER.user, `--pwfile=${password}`]
  const initdb = sandbox.spawn(
    join(binaries.bin, 'initdb'),
    [...where, '-E', 'UTF8', '--locale=C', '--no-sync'],
    'initdb.log',
  )
  await untilExit(initdb)
  if (initdb.exitCode !== 0) throw new Error(`initdb failed:\n${sandbox.read('initdb.log')}`)
}

/** Copies the data folder of a cluster whose server is down, with its owner and permissions. */
async function copyCluster(folder: string, sandbox: Sandbox): Promise<void> {
  await run('cp', ['-Rp', folder, sandbox.path('data')])
}

function installTls(tls: NonNullable<ServerOptions['tls']>, sandbox: Sandbox): Settings {
  const copy = (source: string, name: string): string => {
    const target = sandbox.path(name)
    copyFileSync(source, target)
    sandbox.give(target, 0o600)
    return target
  }
  return {
    ssl: 'on',
    ssl_cert_file: copy(tls.certificate, 'tls.crt'),
    ssl_key_file: copy(tls.key, 'tls.key'),
    ...(tls.authority === undefined ? {} : { ssl_ca_file: copy(tls.authority, 'tls-ca.crt') }),
  }
}

/** A copy of the programs if the server's account cannot get at them, as below /root. */
function reachable(binaries: ServerBinaries, sandbox: Sandbox): ServerBinaries {
  if (sandbox.account === undefined) return binaries
  for (let at = binaries.bin; at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) !== 0) continue
    const root = sandbox.path('programs')
    cpSync(binaries.root, root, { recursive: true, verbatimSymlinks: true })
    return { ...binaries, root, bin: join(root, 'bin') }
  }
  return binaries
}
