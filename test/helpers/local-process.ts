/** Helper programs that live in a folder of their own and are certain to be gone in the end, folder included. */
import { type ChildProcess, type SpawnOptions, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { type Socket, createServer } from 'node:net'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The account that a program runs as; undefined: the account of the tests. */
export type Account = { readonly uid: number; readonly gid: number } | undefined

const WATCHDOG = fileURLToPath(new URL('watchdog.mjs', import.meta.url))

/** The watchdog of this process, for all of its folders: to start one for each takes 0.2 s of CPU time. Nothing of it keeps the process alive. */
class Watchdog {
  static #running: Watchdog | undefined
  readonly #child: ChildProcess
  readonly #answers: Socket
  /** By folder: who waits for its end. */
  readonly #disposing = new Map<string, () => void>()

  static get running(): Watchdog {
    this.#running ??= new Watchdog()
    return this.#running
  }

  private constructor() {
    this.#child = spawn(process.execPath, [WATCHDOG], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    this.#answers = this.#child.stdout as Socket
    createInterface({ input: this.#answers }).on('line', (folder) => this.#disposed(folder))
    this.#child.unref()
    this.#answers.unref()
    ;(this.#child.stdin as Socket).unref()
  }

  tell(folder: string, what: { started?: number; ended?: number; dispose?: boolean }): void {
    this.#child.stdin?.write(`${JSON.stringify({ folder, ...what })}\n`)
  }

  /** Resolves when the folder and its processes are gone. */
  dispose(folder: string): Promise<void> {
    this.#answers.ref()
    return new Promise((resolve) => {
      this.#disposing.set(folder, resolve)
      this.tell(folder, { dispose: true })
    })
  }

  #disposed(folder: string): void {
    this.#disposing.get(folder)?.()
    this.#disposing.delete(folder)
    if (this.#disposing.size === 0) this.#answers.unref()
  }
}

/**
 * A folder below the temporary directory, or in memory where there is plenty of it, and the programs that run in it. A detached watchdog
 * process ends them and deletes the folder: on `dispose()`, and when this process ends in whatever way.
 */
export class Sandbox {
  readonly folder: string = mkdtempSync(join(sandboxes(), 'lifeguard-'))
  readonly account: Account = unprivilegedAccount()
  readonly #watchdog = Watchdog.running
  #disposed: Promise<void> | undefined

  constructor() {
    this.#watchdog.tell(this.folder, {})
    this.give(this.folder, 0o755)
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Writes a file that only the programs' account may read. */
  write(name: string, text: string): string {
    const path = this.path(name)
    writeFileSync(path, text)
    this.give(path, 0o600)
    return path
  }

  give(path: string, mode: number): void {
    if (this.account !== undefined) chownSync(path, this.account.uid, this.account.gid)
    chmodSync(path, mode)
  }

  /** Starts a program, both outputs appended to the file `log` of the folder. */
  spawn(program: string, options: readonly string[], log: string): ChildProcess {
    const output = openSync(this.path(log), 'a')
    const how: SpawnOptions = {
      ...this.account,
      cwd: '/',
      // None of the PG* variables that the tests may have set.
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', output, output],
      // A Ctrl-C in the terminal is for the tests, which may still need the program to clean up.
      detached: true,
    }
    const child = spawn(program, options, how)
    closeSync(output)
    child.unref()
    const { pid } = child
    if (pid !== undefined) {
      this.#watchdog.tell(this.folder, { started: pid })
      child.once('exit', () => this.#watchdog.tell(this.folder, { ended: pid }))
    }
    return child
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  /** Ends what still runs and deletes the folder. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#watchdog.dispose(this.folder)
    return this.#disposed
  }
}

export function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Whether a process runs. Where no process reaps orphans, dead processes stay listed; they do not count. */
export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return !/^State:\tZ/m.test(readFileSync(`/proc/${processId}/status`, 'utf8'))
  } catch (error) {
    // No such process, or no /proc to ask.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux'
  }
}

/** Waits for the end of a program that nothing else keeps the process alive for. */
export async function untilExit(child: ChildProcess): Promise<void> {
  if (hasExited(child)) return
  const exited = once(child, 'exit')
  child.ref()
  await exited
}

/**
 * A port on which nothing listens. It is none of those that the system gives to outgoing connections: one of these could have the port
 * before the server that is to listen on it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, FIRST_OUTGOING_PORT)
    if (await isFree(port)) return port
  }
}

const FIRST_PORT = 15_000
/** Of Linux; other systems begin at 49152. */
const FIRST_OUTGOING_PORT = 32_768

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false
    throw error
  }
  server.close()
  await once(server, 'close')
  return true
}

const MEMORY = '/dev/shm'
const PLENTY_BYTES = 4 * 2 ** 30

/**
 * A cluster has a thousand files, and the database of each test file three hundred: to create and delete them on a disk takes a sixth
 * of the CPU time of a run.
 */
function sandboxes(): string {
  if (process.env['TMPDIR'] !== undefined || process.platform !== 'linux' || !existsSync(MEMORY))
    return tmpdir()
  const { bavail, bsize } = statfsSync(MEMORY)
  // The programs may have to be copied into the folder.
  const runsPrograms = !/ \/dev\/shm \S+ \S*\bnoexec\b/.test(readFileSync('/proc/mounts', 'utf8'))
  return runsPrograms && Math.min(bavail * bsize, freemem()) > PLENTY_BYTES ? MEMORY : tmpdir()
}

/** PostgreSQL and PgBouncer refuse to run as root, and initdb wants an account that has a name. */
function unprivilegedAccount(): Account {
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
