/** What the fault tests share: engines that end with their test, callers that go on and on, and what they must be told. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { createEngine, LifeguardError, type Engine, type EngineOptions } from '../../src/index.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { startServer, type LocalServer, type ServerOptions } from '../helpers/local-server.js'
import { waitUntil } from '../helpers/wait-until.js'

/** Makes engines that are disposed after their test, when the leak guard has looked at them. Call it at the top of a file. */
export function useEngines(): (options: EngineOptions, make?: (options: EngineOptions) => Engine) => Engine {
  const engines: Engine[] = []
  // Hooks of this kind run in reverse: the leak guard comes first.
  afterEach(async () => {
    await Promise.all(engines.splice(0).map((engine) => engine.dispose({ timeoutMillis: 1000 })))
  })
  const watch = guardLeaks()
  return (options, make = createEngine) => {
    const engine = watch(make(options))
    engines.push(engine)
    return engine
  }
}

/** A server of the file's own, which it may stop, kill and change. */
export function useServer(options?: ServerOptions): () => LocalServer {
  let server: LocalServer | undefined
  beforeAll(async () => {
    server = await startServer(options)
  })
  afterAll(() => server?.dispose())
  return () => server as LocalServer
}

/** A call that failed. */
export interface Failure {
  readonly error: unknown
  readonly startedAt: number
}

/** Callers that each make one call after the other, until `stop()`. */
export class Load {
  done = 0
  readonly failures: Failure[] = []
  #stopping = false
  readonly #callers: readonly Promise<void>[]

  constructor(callers: number, call: () => Promise<unknown>) {
    this.#callers = Array.from({ length: callers }, () => this.#run(call))
  }

  /** Waits for so many successes from now on. */
  async more(calls: number): Promise<void> {
    const goal = this.done + calls
    await waitUntil(() => this.done >= goal, {
      deadlineMillis: 30_000,
      message: () =>
        `${String(goal)} calls; ${String(this.done)} done, ${String(this.failures.length)} failed`,
    })
  }

  /** No new calls. Resolves when the last one has ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#callers)
  }

  async #run(call: () => Promise<unknown>): Promise<void> {
    while (!this.#stopping) {
      const startedAt = performance.now()
      try {
        await call()
        this.done++
      } catch (error) {
        this.failures.push({ error, startedAt })
        // A call that fails at once must not keep the others from running.
        await nextTurn()
      }
    }
  }
}

/** Lets time pass, where time is the fault. */
export async function pass(millis: number): Promise<void> {
  const from = performance.now()
  await waitUntil(() => performance.now() - from >= millis, { deadlineMillis: millis + 10_000 })
}

/** What a promise is rejected with: an error of ours, with a text that says something. Fails itself if it is not. */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<LifeguardError & Record<string, unknown>> {
  const error = await promise.then(
    (value) => {
      throw new Error(`It succeeded: ${JSON.stringify(value)}`)
    },
    (error: unknown) => error,
  )
  expectNamed(error)
  return error as LifeguardError & Record<string, unknown>
}

/** Every failure that a caller sees is one of ours, has its own name and says what happened. */
export function expectNamed(error: unknown): void {
  expect(error).toBeInstanceOf(LifeguardError)
  const { name, message, code } = error as LifeguardError
  expect(name).not.toBe('Error')
  expect(code).toMatch(/^[A-Z_]+$/)
  expect(message.split(' ').length, message).toBeGreaterThan(3)
}
