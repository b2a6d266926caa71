/** Runs an example as its own process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { byLength } from '../helpers/length.js'
import { compileProgram } from '../helpers/programs.js'
import { waitUntil } from '../helpers/wait-until.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A running example. Its `dispose` kills it if it still runs. */
export class ExampleProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  #output = ''

  constructor(command: string, args: readonly string[], environment: NodeJS.ProcessEnv) {
    const { DATABASE_URL: _, ...inherited } = process.env
    this.#child = spawn(command, args, { cwd: ROOT, env: { ...inherited, NO_COLOR: '1', ...environment } })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    }
  }

  /** Both outputs until now. */
  get output(): string {
    return this.#output
  }

  /** Waits for a text in the output. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return waitUntil(() => pattern.exec(this.#output), {
      deadlineMillis: 20_000,
      message: () => `${String(pattern)} in:\n${this.#output}`,
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Exit code; null if a signal ended it. */
  async exitCode(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'close')
    return this.#child.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL')
    await this.exitCode()
  }
}

/** Starts a TypeScript file of `examples/`, in a long run as a user does: with tsx. */
export function runExample(file: string, environment: NodeJS.ProcessEnv = {}): ExampleProcess {
  const path = `examples/${file}`
  const program = byLength(
    () => [compileProgram(path)],
    () => ['--import', 'tsx', path],
  )
  return new ExampleProcess(process.execPath, program(), environment)
}
