/** Nest's exception filter and interceptor. */
import type { Session, SessionFactory } from '../../index.js'
import { toResponse } from '../requests/error-answers.js'
import { answerFor, type AnsweringOptions } from '../requests/options.js'

/** What is used of Nest's `ArgumentsHost` and `ExecutionContext`. */
export interface HostLike {
  getType(): string
  switchToHttp(): { getResponse(): unknown }
}

/** A response of Express, or a reply of Fastify. */
interface ResponseLike {
  status(status: number): { send(body: unknown): unknown }
  header(name: string, value: string): unknown
}

/** An Observable. */
export interface ObservableLike {
  subscribe(observer: {
    next: (value: unknown) => void
    error: (error: unknown) => void
    complete: () => void
  }): unknown
}

/** Answers the errors of Lifeguard in HTTP requests. */
export class LifeguardExceptionFilter {
  readonly #options: AnsweringOptions<never>

  constructor(options: AnsweringOptions<never> = {}) {
    this.#options = options
  }

  /** @throws the error itself where there is no HTTP response. */
  catch(error: unknown, host: HostLike): void {
    const answer = host.getType() === 'http' ? answerFor(error, this.#options) : undefined
    if (answer === undefined) throw error
    const response = host.switchToHttp().getResponse() as ResponseLike
    const { body, headers } = toResponse(answer)
    for (const [name, value] of Object.entries(headers)) response.header(name, value)
    response.status(answer.status).send(body)
  }
}

/**
 * Runs a handler in a session of its own if there is none, as in gateways and microservices; in an HTTP request the session of the
 * request is there already. All values of the handler are sent after COMMIT.
 */
export async function interceptWith<S extends Session>(
  sessionFactory: SessionFactory<S>,
  next: { handle(): ObservableLike },
): Promise<unknown> {
  if (sessionFactory.current() !== undefined) return next.handle()
  return await sessionFactory.withSession(() => valuesOf(next.handle()))
}

/** An array is what Nest and rxjs take for an Observable. */
function valuesOf(source: ObservableLike): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const values: unknown[] = []
    source.subscribe({
      next: (value) => values.push(value),
      error: reject,
      complete: () => resolve(values),
    })
  })
}
