/** `lifeguard/express`: one session for each request of an Express application. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Session, SessionFactory } from '../index.js'
import { deferEnd, watchClient } from './requests/deferred-end.js'
import { toResponse } from './requests/error-answers.js'
import { healthOf } from './requests/health.js'
import { answerFor, checkOptions, type AnsweringOptions } from './requests/options.js'
import { isExpress4 } from './requests/express-version.js'
import { Registration, requireHealthRoute, requireRegistered } from './requests/registration.js'
import { RequestScopes } from './requests/request-scope.js'

export { errorAnswer } from './requests/error-answers.js'
export type { ErrorAnswer, ErrorAnswers, ErrorBody } from './requests/error-answers.js'
export type { CausalityCarrier } from './requests/causality-token.js'
export type { RequestSession } from './requests/request-scope.js'

/** Options of {@link requestSessions}. */
export type ExpressOptions<Request extends object = IncomingMessage> = AnsweringOptions<Request>

type Next = (error?: unknown) => void

/** The sessions of the requests of an application. */
export interface ExpressSessions<S extends Session> {
  /**
   * The session of the given request; without an argument, of the current request.
   * @throws IllegalStateError outside of a request.
   */
  (request?: object): S
  /**
   * Opens a session for each request. Register it before the routes, and after middleware that wraps the response
   * (`compression`, `express-session`).
   */
  readonly middleware: (request: IncomingMessage, response: ServerResponse, next: Next) => void
  /** Answers errors of Lifeguard, and passes all others to Express. Register it after the routes. */
  readonly errorHandler: (
    error: unknown,
    request: IncomingMessage,
    response: ServerResponse,
    next: Next,
  ) => void
  /** Health endpoint: 200 if the database answers, otherwise 503. */
  readonly health: (request: unknown, response: ServerResponse) => Promise<void>
}

const EXPRESS_4 =
  'lifeguard/express needs Express 5, and this is Express 4, where a request never ends if its async handler throws: npm install express@5'
const REGISTER = 'call app.use(db.middleware) before the routes'
const ENTRY = { framework: 'Express', name: 'middleware', call: 'app.use(db.middleware)', advice: REGISTER }

/**
 * Makes one session for each request. It is committed when the answer ends, before it is sent; rolled back if the status is 400
 * or greater, if `errorHandler` is reached, or if the client disconnects.
 *
 * @throws InvalidOptionError
 * @example
 * const db = requestSessions(sessionFactory)
 * app.use(db.middleware)
 * app.post('/songs', (req, res) => { db(req).add(new Song(req.body)); res.status(201).end() })
 * app.use(db.errorHandler)
 */
export function requestSessions<S extends Session, Request extends object = IncomingMessage>(
  sessionFactory: SessionFactory<S>,
  options: ExpressOptions<Request> = {},
): ExpressSessions<S> {
  checkOptions(options, ['errors', 'onError'])
  const scopes = new RequestScopes<S, Request>(sessionFactory, options, REGISTER)
  const registration = new Registration(ENTRY)

  const middleware = (request: IncomingMessage, response: ServerResponse, next: Next): void => {
    const isOurs = typeof next === 'function' && typeof response.setHeader === 'function'
    registration.requireFramework(isOurs, request)
    if (isExpress4((request as { app?: unknown }).app)) registration.refuse('express', EXPRESS_4)
    const key = request as IncomingMessage & Request
    // Registered twice: the first one has done it.
    if (scopes.find(key) !== undefined) return next()
    const scope = scopes.open(key, request.headers)
    watchClient(response, scope)
    deferEnd(response, scope, next)
    scope.run(next)
  }

  const answer = (error: unknown, response: ServerResponse, next: Next): void => {
    const found = response.headersSent ? undefined : answerFor(error, options)
    if (found === undefined) return next(error)
    const { body, headers } = toResponse(found)
    response.statusCode = found.status
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    response.end(JSON.stringify(body))
  }

  const sessionOf = (request?: object, ...more: unknown[]): S => {
    registration.requireNoMore(more)
    return scopes.sessionOf(request)
  }
  return Object.assign(sessionOf, {
    middleware,
    // Express tells an error handler by its four parameters.
    errorHandler: (error: unknown, request: IncomingMessage, response: ServerResponse, next: Next): void => {
      requireRegistered(typeof next === 'function', 'errorHandler', 'app.use(db.errorHandler)')
      const scope = scopes.find(request)
      if (scope === undefined) return answer(error, response, next)
      void scope.finish({ failure: { error } }).then(
        () => answer(error, response, next),
        // COMMIT had failed before: that is the error that is handled here.
        () => answer(error, response, next),
      )
    },
    // Not asynchronous: a mistake is thrown on the line that makes it.
    health: (_request: unknown, response: ServerResponse): Promise<void> => {
      requireHealthRoute(response)
      return healthOf(sessionFactory.bind).then(({ status, body }) => {
        response.statusCode = status
        response.setHeader('content-type', 'application/json; charset=utf-8')
        response.end(JSON.stringify(body))
      })
    },
  })
}
