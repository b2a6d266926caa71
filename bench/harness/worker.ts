/** A process that answers one request at a time: the services of `service.ts`, their load, and the processes of `scale.ts`. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

type Answer<Result> = { readonly result: Result } | { readonly error: string }

export class Worker<Request extends object> {
  readonly name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<never>

  /** @param flags For node. */
  constructor(name: string, path: string, options: readonly string[] = [], flags: readonly string[] = []) {
    this.name = name
    this.#child = fork(path, options, {
      // Without tsx's loader, and without what the environment asks of node.
      execArgv: [...flags],
      env: { PATH: process.env['PATH'], NODE_ENV: 'production' },
      serialization: 'advanced',
    })
    this.#ended = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`The process of ${name} ended with code ${String(code)}`)
    })
    // A caller that waits for an answer is told; at the end no caller waits.
    this.#ended.catch(() => undefined)
  }

  /** @throws Error If the process cannot do it, or ends. */
  async ask<Result>(request: Request): Promise<Result> {
    const answered = once(this.#child, 'message')
    this.#child.send(request)
    const [answer] = (await Promise.race([answered, this.#ended])) as [Answer<Result>]
    if ('error' in answer) throw new Error(`${this.name}: ${answer.error}`)
    return answer.result
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}

/** The other side. The process ends with its parent. */
export function answerRequests<Request>(answer: (request: Request) => Promise<unknown>): void {
  process.on('message', (request: Request) => {
    answer(request).then(
      (result) => process.send?.({ result }),
      (error: unknown) =>
        process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
  process.on('disconnect', () => process.exit())
}
