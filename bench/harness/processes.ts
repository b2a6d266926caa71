/** The contenders' processes: one each, so that none shares its heap, its compiled code or its CPU time with another. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Reply, Request, Sample, Slice } from './contender.js'

/** A contender as a suite names it. */
export interface Entry {
  readonly name: string
  /** Below `contenders/`, without `.ts`. */
  readonly module: string
  readonly variant?: string
}

export class ContenderProcess {
  readonly name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<never>
  #workloads: readonly string[] = []

  /** @param flags For node. */
  constructor({ name, module, variant }: Entry, built: string, flags: readonly string[] = []) {
    this.name = name
    const path = `${built}/contenders/${module}.js`
    this.#child = fork(`${built}/harness/child.js`, variant === undefined ? [path] : [path, variant], {
      // Without tsx's loader, and without what the environment asks of node.
      execArgv: [...flags],
      env: { PATH: process.env['PATH'], NODE_ENV: 'production' },
    })
    this.#ended = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`The process of ${name} ended with code ${String(code)}`)
    })
    // A caller that waits for an answer is told; at the end no caller waits.
    this.#ended.catch(() => undefined)
  }

  has(workload: string): boolean {
    return this.#workloads.includes(workload)
  }

  /** Connects, after ending an earlier connection. */
  async open(url: string): Promise<void> {
    const reply = await this.#ask({ kind: 'open', url })
    if (reply.kind === 'opened') this.#workloads = reply.workloads
  }

  async run(slice: Slice): Promise<Sample> {
    const reply = await this.#ask({ kind: 'run', slice })
    if (reply.kind !== 'sample') throw new Error(`${this.name} answered ${reply.kind}`)
    return reply.sample
  }

  /** What an entity takes in memory, in bytes. Needs the flag `--expose-gc`. */
  async weigh(): Promise<number> {
    const reply = await this.#ask({ kind: 'weigh' })
    if (reply.kind !== 'weight') throw new Error(`${this.name} answered ${reply.kind}`)
    return reply.bytes
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }

  async #ask(request: Request): Promise<Reply> {
    const answered = once(this.#child, 'message')
    this.#child.send(request)
    const [reply] = (await Promise.race([answered, this.#ended])) as [Reply]
    if (reply.kind === 'failed') throw new Error(`${this.name}: ${reply.error}`)
    return reply
  }
}
