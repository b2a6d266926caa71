/** `lifeguard/fastify`: one session for each request of a Fastify application. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { DisposeOptions, Session, SessionFactory } from '../index.js'
import { watchClient } from './requests/deferred-end.js'
import { errorAnswer, toResponse, type ErrorAnswers } from './requests/error-answers.js'
import { healthOf, type HealthAnswer } from './requests/health.js'
import { checkOptions, warnOfRequest } from './requests/options.js'
import { Registration, requireHealthRoute } from './requests/registration.js'
import { RequestScopes, type RequestSessionsOptions } from './requests/request-scope.js'

export { errorAnswer } from './requests/error-answers.js'
export type { ErrorAnswer, ErrorAnswers, ErrorBody } from './requests/error-answers.js'
export type { CausalityCarrier } from './requests/causality-token.js'
export type { RequestSession } from './requests/request-scope.js'

/** Options of {@link requestSessions}. */
export interface FastifyOptions<Request extends object = object> extends RequestSessionsOptions<Request> {
  /**
   * Replaces answers to errors, by SQLSTATE or code. False: the plugin sets no error handler. It also sets none if the
   * application already has one when the plugin is loaded.
   */
  readonly errors?: ErrorAnswers | false | undefined
  /** How the engine is disposed when the application closes; false: it is not. Default: `{ timeoutMillis: 10_000 }`. */
  readonly dispose?: DisposeOptions | false | undefined
}

/** The sessions of the requests of an application. */
export interface FastifySessions<S extends Session> {
  /**
   * The session of the given request; without an argument, of the current request.
   * @throws IllegalStateError outside of a request.
   */
  (request?: object): S
  /** Opens a session for each request: `app.register(db.plugin)`. */
  readonly plugin: (app: object, options: object, done: (error?: Error) => void) => void
  /** Health endpoint: 200 if the database answers, otherwise 503. */
  readonly health: (request: unknown, reply: FastifyReplyLike) => Promise<HealthAnswer['body']>
}

/** What is used of a reply. */
export interface FastifyReplyLike {
  readonly raw: ServerResponse
  readonly statusCode: number
  code(status: number): unknown
  header(name: string, value: string): unknown
}

type Next = (error?: unknown) => void
type Hook = (request: object, reply: FastifyReplyLike, ...more: never[]) => unknown

interface FastifyApp {
  readonly errorHandler: { readonly name: string }
  /** Without a logger, one that does nothing and has no level. */
  readonly log?: { readonly level?: unknown }
  addHook(name: string, hook: Hook | (() => Promise<void>)): unknown
  setErrorHandler(handler: Hook): unknown
}

const REGISTER = 'call app.register(db.plugin)'
const ENTRY = { framework: 'Fastify', name: 'plugin', call: 'app.register(db.plugin)', advice: REGISTER }

/**
 * Makes one session for each request. It is committed in `onSend`, before the answer is sent; rolled back if the request fails,
 * if the status is 400 or greater, or if the client disconnects. The engine is disposed when the application closes.
 *
 * @throws InvalidOptionError
 * @example
 * const db = requestSessions(sessionFactory)
 * app.register(db.plugin)
 * app.post('/songs', async (request, reply) => { db(request).add(new Song(request.body)); reply.code(201) })
 */
export function requestSessions<S extends Session, Request extends object = object>(
  sessionFactory: SessionFactory<S>,
  options: FastifyOptions<Request> = {},
): FastifySessions<S> {
  checkOptions(options, ['errors', 'dispose'])
  const scopes = new RequestScopes<S, Request>(sessionFactory, options, REGISTER)
  const registration = new Registration(ENTRY)
  const { errors, dispose = {} } = options

  const committing = new WeakSet<object>()

  /** Where COMMIT itself has failed, that was told already. */
  const rollBack = (request: object, error: unknown): void => {
    scopes.find(request)?.finish({ failure: { error } }).catch(ignore)
  }

  const addHooks = (app: FastifyApp): void => {
    const onRequest = (request: object, { raw }: FastifyReplyLike, next: Next): void => {
      const { headers } = request as { headers: IncomingHttpHeaders }
      // Registered twice: the first one has done it.
      if (scopes.find(request) !== undefined) return next()
      const scope = scopes.open(request as Request, headers)
      watchClient(raw, scope)
      scope.run(next)
    }
    app.addHook('onRequest', onRequest)
    // The parser of the body calls back from the socket's events, outside of the request's async scope.
    app.addHook('preValidation', (request: object, _reply: unknown, next: () => void): void => {
      const scope = scopes.find(request)
      if (scope === undefined) next()
      else scope.run(next)
    })
    // Nothing here waits for the rollback: Fastify takes no second answer while a hook of an error waits, and throws for one. The
    // handler that has exceeded its time gives one.
    app.addHook('onError', (request: object, _reply: unknown, error: unknown, done: () => void): void => {
      rollBack(request, error)
      done()
    })
    const onSend = (request: object, reply: FastifyReplyLike, _payload: unknown, next: Next): void => {
      const scope = scopes.find(request)
      // The first answer counts. A second one, while COMMIT is on its way, is never sent.
      if (committing.has(request)) return
      // Runs again for the answer to an error, also to that of COMMIT.
      if (scope === undefined || scope.finished) return next()
      const { statusCode } = reply
      committing.add(request)
      const sent = (error?: unknown): void => {
        committing.delete(request)
        reply.code(statusCode)
        next(error)
      }
      const stored = (): void => {
        scope.passToken((name, value) => reply.header(name, value))
        sent()
      }
      scope.finish({ status: statusCode }).then(stored, sent)
    }
    app.addHook('onSend', onSend)
    app.addHook('onResponse', async (request: object) => {
      const scope = scopes.find(request)
      if (scope === undefined || scope.finished) return
      const error = new Error(
        'A reply bypassed Fastify (hijack, reply.raw), so its end is not known: the session of the request was rolled back. Use withSession(fn) there.',
      )
      const wasUsed = scope.session.inTransaction
      await scope.finish({ failure: { error } })
      if (wasUsed) warnOfRequest(error)
    })
  }

  let hasLogger = false
  const onError = (error: unknown, request: object): never => {
    rollBack(request, error)
    const answer = errorAnswer(error, errors === false ? undefined : errors)
    // Fastify's own handler comes next: it logs the error with its cause, and sends status, code and message.
    if (answer === undefined && error instanceof Error) throw error
    // Fastify would send another value with status 200.
    if (answer === undefined)
      throw new Error('A handler threw a value that is not an Error (see cause)', { cause: error })
    const { status: statusCode, code, message } = answer
    // The answer does not contain the cause.
    if (statusCode >= 500 && !hasLogger) warnOfRequest(error)
    const { headers } = toResponse(answer)
    throw Object.assign(new Error(message, { cause: error }), { statusCode, code, headers })
  }

  const plugin = (app: object, _options: object, done: (error?: Error) => void): void => {
    const target = app as FastifyApp
    const isGiven = typeof (target as Partial<FastifyApp> | undefined)?.addHook === 'function'
    registration.requireFramework(isGiven, app)
    hasLogger = target.log?.level !== undefined
    addHooks(target)
    if (errors !== false && target.errorHandler.name === 'defaultErrorHandler')
      target.setErrorHandler(onError)
    if (dispose !== false)
      target.addHook('onClose', async () => void (await sessionFactory.bind.dispose(dispose)))
    done()
  }

  const sessionOf = (request?: object, ...more: unknown[]): S => {
    registration.requireNoMore(more)
    return scopes.sessionOf(request)
  }
  return Object.assign(sessionOf, {
    plugin: Object.assign(plugin, PLUGIN),
    // Not asynchronous: a mistake is thrown on the line that makes it.
    health: (_request: unknown, reply: FastifyReplyLike): Promise<HealthAnswer['body']> => {
      requireHealthRoute(reply)
      return healthOf(sessionFactory.bind).then(({ status, body }) => {
        reply.code(status)
        return body
      })
    },
  })
}

/** Hooks of the plugin are those of the application that registers it, as with `fastify-plugin`. */
const PLUGIN = {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'lifeguard',
  [Symbol.for('plugin-meta')]: { name: 'lifeguard', fastify: '5.x' },
}

function ignore(): void {
  // See where it is used.
}
