/** `lifeguard/koa`: one session for each request of a Koa application. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Session, SessionFactory } from '../index.js'
import { watchClient } from './requests/deferred-end.js'
import { toResponse } from './requests/error-answers.js'
import { healthOf } from './requests/health.js'
import { answerFor, checkOptions, type AnsweringOptions } from './requests/options.js'
import { Registration, requireHealthRoute } from './requests/registration.js'
import { RequestScopes } from './requests/request-scope.js'

export { errorAnswer } from './requests/error-answers.js'
export type { ErrorAnswer, ErrorAnswers, ErrorBody } from './requests/error-answers.js'
export type { CausalityCarrier } from './requests/causality-token.js'
export type { RequestSession } from './requests/request-scope.js'

/** What is used of Koa's context. */
export interface KoaContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly app: { emit(event: string, ...values: unknown[]): unknown }
  status: number
  body: unknown
  set(name: string, value: string): void
}

/** Options of {@link requestSessions}. `errors: false` rethrows all errors, for error handling of your own. */
export interface KoaOptions<Context extends object = KoaContext> extends Omit<
  AnsweringOptions<Context>,
  'errors'
> {
  /** Replaces answers to errors, by SQLSTATE or code. False: errors are rethrown. */
  readonly errors?: AnsweringOptions<Context>['errors'] | false
}

/** The sessions of the requests of an application. */
export interface KoaSessions<S extends Session> {
  /**
   * The session of the request with the given context; without an argument, of the current request.
   * @throws IllegalStateError outside of a request.
   */
  (context?: object): S
  /** Opens a session for each request, and answers errors of Lifeguard. Register it before the routes. */
  readonly middleware: (context: KoaContext, next: () => Promise<unknown>) => Promise<void>
  /** Health endpoint: 200 if the database answers, otherwise 503. */
  readonly health: (context: Pick<KoaContext, 'status' | 'body'>) => Promise<void>
}

const REGISTER = 'call app.use(db.middleware) before the routes'
const ENTRY = { framework: 'Koa', name: 'middleware', call: 'app.use(db.middleware)', advice: REGISTER }

/**
 * Makes one session for each request. It is committed when the middleware after it has returned, before the answer is sent;
 * rolled back if that throws, if the status is 400 or greater, or if the client disconnects.
 *
 * @throws InvalidOptionError
 * @example
 * const db = requestSessions(sessionFactory)
 * app.use(db.middleware)
 * app.use((ctx) => { db(ctx).add(new Song({ title: 'Help!' })); ctx.status = 201 })
 */
export function requestSessions<S extends Session, Context extends object = KoaContext>(
  sessionFactory: SessionFactory<S>,
  options: KoaOptions<Context> = {},
): KoaSessions<S> {
  checkOptions(options, ['errors', 'onError'])
  const scopes = new RequestScopes<S, Context>(sessionFactory, options, REGISTER)
  const registration = new Registration(ENTRY)
  const { errors } = options

  const middleware = async (context: KoaContext, next: () => Promise<unknown>): Promise<void> => {
    const response = (context as KoaContext | undefined)?.res
    const isOurs = typeof next === 'function' && typeof response?.setHeader === 'function'
    registration.requireFramework(isOurs, context)
    const key = context as KoaContext & Context
    if (scopes.find(key) !== undefined) {
      await next()
      return
    }
    const { res } = context
    const before = { ...res.getHeaders() }
    const scope = scopes.open(key, context.req.headers)
    watchClient(res, scope)
    try {
      await scope.around(next, () => ({ status: context.status }))
      if (!res.headersSent) scope.passToken((name, value) => res.appendHeader(name, value))
    } catch (error) {
      const emit = (): unknown => context.app.emit('error', error, context)
      const onError = options.onError ?? ((_error, { status }) => void (status >= 500 && emit()))
      const isAnswerable = errors !== false && !res.headersSent
      const answer = isAnswerable ? answerFor(error, { errors, onError }) : undefined
      if (answer === undefined) {
        // Koa sends no answer for an undefined error, and the client would wait forever.
        if (error === undefined || error === null) throw new Error(`A handler threw ${String(error)}`)
        throw error
      }
      const { body, headers } = toResponse(answer)
      for (const name of res.getHeaderNames()) if (before[name] === undefined) res.removeHeader(name)
      context.status = answer.status
      context.body = body
      for (const [name, value] of Object.entries(headers)) context.set(name, value)
    }
  }

  const sessionOf = (context?: object, ...more: unknown[]): S => {
    registration.requireNoMore(more)
    return scopes.sessionOf(context)
  }
  return Object.assign(sessionOf, {
    middleware,
    // Not asynchronous: a mistake is thrown on the line that makes it.
    health: (context: Pick<KoaContext, 'status' | 'body'>): Promise<void> => {
      requireHealthRoute(context, 'router.get')
      return healthOf(sessionFactory.bind).then(({ status, body }) => {
        context.status = status
        context.body = body
      })
    },
  })
}
