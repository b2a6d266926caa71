/** `lifeguard/hono`: one session for each request of a Hono application. */
import type { Session, SessionFactory } from '../index.js'
import { toResponse } from './requests/error-answers.js'
import { healthOf } from './requests/health.js'
import { answerFor, checkOptions, warnOfRequest, type AnsweringOptions } from './requests/options.js'
import { Registration, requireHealthRoute, requireRegistered } from './requests/registration.js'
import { RequestScopes } from './requests/request-scope.js'

export { errorAnswer } from './requests/error-answers.js'
export type { ErrorAnswer, ErrorAnswers, ErrorBody } from './requests/error-answers.js'
export type { CausalityCarrier } from './requests/causality-token.js'
export type { RequestSession } from './requests/request-scope.js'

/** What is used of Hono's context. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
  readonly res: Response
  header(name: string, value: string, options: { readonly append: boolean }): void
  /** What a handler threw, if it was an Error. `next()` does not reject then. */
  readonly error: Error | undefined
}

/** Options of {@link requestSessions}. */
export type HonoOptions<Context extends object = HonoContext> = AnsweringOptions<Context>

/** The sessions of the requests of an application. */
export interface HonoSessions<S extends Session> {
  /**
   * The session of the request with the given context; without an argument, of the current request.
   * @throws IllegalStateError outside of a request.
   */
  (context?: object): S
  /** Opens a session for each request. Register it before the routes. */
  readonly middleware: (context: HonoContext, next: () => Promise<void>) => Promise<void>
  /** Answers errors of Lifeguard, and all others as Hono does: `app.onError(db.onError)`. */
  readonly onError: (error: Error, context: unknown) => Response
  /** Health endpoint: 200 if the database answers, otherwise 503. */
  readonly health: (context: object) => Promise<Response>
}

const REGISTER = 'call app.use(db.middleware) of Hono 4 before the routes'
const ENTRY = { framework: 'Hono', name: 'middleware', call: 'app.use(db.middleware)', advice: REGISTER }

/**
 * Makes one session for each request. It is committed when the handler has returned, before the answer is sent; rolled back if
 * the handler throws, if the status is 400 or greater, or if the client disconnects. Works on every runtime of Hono that has
 * `pg`.
 *
 * @throws InvalidOptionError
 * @example
 * const db = requestSessions(sessionFactory)
 * app.use(db.middleware).onError(db.onError)
 * app.post('/songs', (c) => { db(c).add(new Song({ title: 'Help!' })); return c.body(null, 201) })
 */
export function requestSessions<S extends Session, Context extends object = HonoContext>(
  sessionFactory: SessionFactory<S>,
  options: HonoOptions<Context> = {},
): HonoSessions<S> {
  checkOptions(options, ['errors', 'onError'])
  const scopes = new RequestScopes<S, Context>(sessionFactory, options, REGISTER)
  const registration = new Registration(ENTRY)

  const middleware = async (context: HonoContext, next: () => Promise<void>): Promise<void> => {
    const { raw } = (context as HonoContext | undefined)?.req ?? {}
    registration.requireFramework(typeof next === 'function' && raw !== undefined, context)
    const key = context as HonoContext & Context
    if (scopes.find(key) !== undefined) return await next()
    const scope = scopes.open(key, context.req.raw.headers)
    const { signal } = context.req.raw
    const gone = (): void => scope.clientGone()
    signal.addEventListener('abort', gone, { once: true })
    if (signal.aborted) gone()
    try {
      await scope.around(next, () => outcomeOf(context))
      scope.passToken((name, value) => context.header(name, value, { append: true }))
    } catch (error) {
      // Hono hands only Errors to onError; for another value it sends an empty answer.
      if (error instanceof Error) throw error
      throw new Error('A handler threw a value that is not an Error (see cause)', { cause: error })
    } finally {
      signal.removeEventListener('abort', gone)
    }
  }

  const sessionOf = (context?: object, ...more: unknown[]): S => {
    registration.requireNoMore(more)
    return scopes.sessionOf(context)
  }
  return Object.assign(sessionOf, {
    middleware,
    onError: (error: Error): Response => {
      requireRegistered((error as unknown) !== undefined, 'onError', 'app.onError(db.onError)')
      const answer = answerFor(error, options)
      if (answer !== undefined) {
        const { body, headers } = toResponse(answer)
        return new Response(JSON.stringify(body), { status: answer.status, headers })
      }
      // Hono's HTTPException is its own answer.
      const { getResponse } = error as { getResponse?: () => Response }
      if (getResponse !== undefined) return getResponse.call(error)
      warnOfRequest(error)
      return new Response('Internal Server Error', { status: 500 })
    },
    // Not asynchronous: a mistake is thrown on the line that makes it.
    health: (context: object): Promise<Response> => {
      requireHealthRoute(context)
      return healthOf(sessionFactory.bind).then(({ status, body }) => Response.json(body, { status }))
    },
  })
}

/** A handler that threw is known by `error`, also if the application has answered with a success. */
function outcomeOf({ error, res }: HonoContext): { failure?: { error: unknown }; status: number } {
  return error === undefined ? { status: res.status } : { failure: { error }, status: res.status }
}
