/** `lifeguard/nestjs`: one session for each request of a Nest application, and sessions to inject. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  Engine,
  InvalidOptionError,
  LifeguardError,
  Session,
  type DisposeOptions,
  type SessionFactory,
} from '../index.js'
import { currentSession } from './nestjs/current-session.js'
import {
  interceptWith,
  LifeguardExceptionFilter,
  type HostLike,
  type ObservableLike,
} from './nestjs/execution.js'
import { catches, inject, type Token } from './nestjs/metadata.js'
import { engineToken, optionsToken, sessionFactoryToken, sessionToken } from './nestjs/tokens.js'
import { deferEnd, watchClient } from './requests/deferred-end.js'
import { toResponse } from './requests/error-answers.js'
import { healthOf } from './requests/health.js'
import { answerFor, checkOptions, warnOfRequest, type AnsweringOptions } from './requests/options.js'
import { isExpress4 } from './requests/express-version.js'
import { RequestScopes } from './requests/request-scope.js'

export { errorAnswer } from './requests/error-answers.js'
export type { ErrorAnswer, ErrorAnswers, ErrorBody } from './requests/error-answers.js'
export type { CausalityCarrier } from './requests/causality-token.js'
export type { RequestSession } from './requests/request-scope.js'
export { LifeguardExceptionFilter } from './nestjs/execution.js'
export { TransactionalAdapterLifeguard } from './nestjs/transactional-adapter.js'
export type { TransactionalOptions } from './nestjs/transactional-adapter.js'
export {
  engineToken as getEngineToken,
  sessionFactoryToken as getSessionFactoryToken,
  sessionToken as getSessionToken,
} from './nestjs/tokens.js'

/** Options of {@link LifeguardModule}. */
export interface LifeguardModuleOptions<
  S extends Session = Session,
> extends AnsweringOptions<IncomingMessage> {
  readonly sessionFactory: SessionFactory<S>
  /** How the engine is disposed when the application closes; false: it is not. Default: `{ timeoutMillis: 10_000 }`. */
  readonly dispose?: DisposeOptions | false | undefined
  /** Path of a health endpoint, for example `/health`: 200 if the database answers, otherwise 503. Default: none. */
  readonly health?: string | undefined
}

/** Options of {@link LifeguardModule.forRoot}. */
export interface ForRootOptions<S extends Session = Session> extends LifeguardModuleOptions<S> {
  /** Name of the engine, if there are several. Default: the unnamed one. */
  readonly name?: string | undefined
}

/** Options of {@link LifeguardModule.forRootAsync}. */
export interface ForRootAsyncOptions<S extends Session = Session> {
  /** Name of the engine, if there are several. Default: the unnamed one. */
  readonly name?: string | undefined
  /** Modules with what is injected. */
  readonly imports?: never[] | undefined
  /** What `useFactory` gets, in order. */
  readonly inject?: readonly Token[] | undefined
  readonly useFactory: (
    ...injected: never[]
  ) => LifeguardModuleOptions<S> | Promise<LifeguardModuleOptions<S>>
}

/** A provider, as Nest takes it. */
interface Provider {
  readonly provide: Token
  readonly useFactory: () => unknown
  readonly inject: Token[]
}

/** A dynamic module, as Nest takes it. */
export interface LifeguardDynamicModule {
  readonly module: new () => object
  readonly global: boolean
  readonly imports: never[]
  readonly providers: Provider[]
  readonly exports: Token[]
}

/** Injects the session of the current request or block, also into singletons: each call uses the session of its own request. */
export function InjectSession(name?: string): ReturnType<typeof inject> {
  return inject(sessionToken(name))
}

/** Injects the session factory, for work outside of requests. */
export function InjectSessionFactory(name?: string): ReturnType<typeof inject> {
  return inject(sessionFactoryToken(name))
}

/** Injects the engine. */
export function InjectEngine(name?: string): ReturnType<typeof inject> {
  return inject(engineToken(name))
}

/**
 * Opens a session for each HTTP request: committed when the answer ends, before it is sent; rolled back if the status is 400 or
 * greater, or if the client disconnects. Answers errors of Lifeguard. Disposes the engine when the application closes (at
 * signals only after `app.enableShutdownHooks()`).
 *
 * @example
 * \@Module({ imports: [LifeguardModule.forRoot({ sessionFactory })] })
 */
export class LifeguardModule {
  static forRoot<S extends Session>(given: ForRootOptions<S>): LifeguardDynamicModule {
    checkModuleOptions(given, 'name')
    const { name, ...options } = given
    return dynamicModule(name, [], { provide: optionsToken(name), useFactory: () => options, inject: [] })
  }

  static forRootAsync<S extends Session>(options: ForRootAsyncOptions<S>): LifeguardDynamicModule {
    const useFactory: unknown = (options as Partial<typeof options> | undefined)?.useFactory
    if (typeof useFactory !== 'function')
      throw new InvalidOptionError('useFactory', 'forRootAsync takes { inject, useFactory }')
    const { name, imports = [], inject: injected = [] } = options
    const create = async (...values: never[]): Promise<LifeguardModuleOptions<S>> => {
      const made = await options.useFactory(...values)
      checkModuleOptions(made)
      return made
    }
    const provider = {
      provide: optionsToken(name),
      useFactory: create as () => unknown,
      inject: [...injected],
    }
    return dynamicModule(name, imports, provider)
  }
}

/** Runs each call of a handler of a gateway or microservice in its own session: `@UseInterceptors(SessionInterceptor)`. */
export class SessionInterceptor {
  readonly #sessionFactory: SessionFactory

  constructor(sessionFactory: SessionFactory) {
    this.#sessionFactory = sessionFactory
  }

  intercept(_context: HostLike, next: { handle(): ObservableLike }): Promise<never> {
    return interceptWith(this.#sessionFactory, next) as Promise<never>
  }
}

/** @throws InvalidOptionError */
function checkModuleOptions(options: object, ...more: readonly string[]): void {
  const { sessionFactory } = (options as Partial<LifeguardModuleOptions> | undefined) ?? {}
  if (typeof sessionFactory?.withSession !== 'function') {
    const message = 'LifeguardModule takes { sessionFactory }, made by createSessionFactory({ bind: engine })'
    throw new InvalidOptionError('sessionFactory', message)
  }
  const names = ['sessionFactory', 'errors', 'onError', 'dispose', 'health', ...more]
  checkOptions(options, names, 'LifeguardModule')
}

function dynamicModule(
  name: string | undefined,
  imports: never[],
  options: Provider,
): LifeguardDynamicModule {
  let handle: ((request: IncomingMessage, response: ServerResponse, next: Next) => void) | undefined
  let end: (() => Promise<unknown>) | undefined

  // A class of its own for each module: Nest tells modules apart by their classes.
  const module = class LifeguardModule {
    configure(consumer: Consumer): void {
      // Nest's builder has it, and the type of its interface does not.
      const application = consumer.getHttpAdapter?.()
      if (application !== undefined) {
        requireNest11(application.getInstance?.())
        claimName(application, name, module)
      }
      consumer.apply((request, response, next) => handle?.(request, response, next)).forRoutes('{*splat}')
    }

    async onApplicationShutdown(): Promise<void> {
      await end?.()
    }
  }

  const factory = sessionFactoryToken(name)
  const setUp = (given: LifeguardModuleOptions): SessionFactory => {
    handle = middlewareOf(given)
    const { sessionFactory, dispose = {} } = given
    if (dispose !== false) end = () => sessionFactory.bind.dispose(dispose)
    return sessionFactory
  }
  const providers: Provider[] = [
    options,
    provider(factory, setUp, options.provide),
    provider(sessionToken(name), currentSession<Session>, factory),
    provider(engineToken(name), ({ bind }: SessionFactory) => bind, factory),
    provider('APP_FILTER', filterOf, options.provide),
  ]
  const exported: Token[] = [factory, sessionToken(name), engineToken(name)]
  // Without a name, the classes are tokens, too: constructor(session: Session).
  if (name === undefined) {
    inject(factory)(SessionInterceptor, undefined, 0)
    providers.push(provider(Session, currentSession<Session>, factory))
    providers.push(provider(Engine, ({ bind }: SessionFactory) => bind, factory))
    exported.push(Session, Engine)
  }
  return { module, global: true, imports, providers, exports: exported }
}

function provider<Given>(provide: Token, useFactory: (given: Given) => unknown, injected: Token): Provider {
  return { provide, useFactory: useFactory as () => unknown, inject: [injected] }
}

/** The modules of an application by their names, kept with its adapter of HTTP: two copies of the package may share an application. */
const MODULES = Symbol.for('lifeguard.nestjs.modules')

/**
 * Two modules of one name would be one set of providers, chosen by the order of imports, and two sessions for each request.
 * @throws InvalidOptionError
 */
function claimName(application: object, name: string | undefined, module: object): void {
  const holder = application as { [MODULES]?: Map<string | undefined, object> }
  const known = (holder[MODULES] ??= new Map())
  const other = known.get(name)
  known.set(name, module)
  if (other === undefined || other === module) return
  const which = name === undefined ? 'without a name' : `with the name '${name}'`
  throw new InvalidOptionError(
    'name',
    `LifeguardModule.forRoot() was imported twice ${which}: import one in the root module only (it is global), or give each database its name: forRoot({ name: 'reports', sessionFactory })`,
  )
}

/**
 * Nest 10 runs on Express 4 and Fastify 4, whose routes do not match the path of the middleware.
 * @param server The application of Express or Fastify.
 * @throws InvalidOptionError
 */
function requireNest11(server: unknown): void {
  const { version } = Object(server) as { version?: unknown }
  const isFastify4 = typeof version === 'string' && version.startsWith('4.')
  if (!isExpress4(server) && !isFastify4) return
  const message =
    'lifeguard/nestjs needs Nest 11 or newer, with Express 5 or Fastify 5: npm install @nestjs/core@11 and its other packages'
  throw new InvalidOptionError('nestjs', message)
}

/** What is used of Nest's `MiddlewareConsumer`. */
interface Consumer {
  apply(middleware: Middleware): { forRoutes(path: string): unknown }
  getHttpAdapter?(): { getInstance?(): unknown }
}

type Next = (error?: unknown) => void
type Middleware = (request: IncomingMessage, response: ServerResponse, next: Next) => void

function filterOf({ errors, onError }: LifeguardModuleOptions): LifeguardExceptionFilter {
  catches(LifeguardExceptionFilter, [LifeguardError])
  return new LifeguardExceptionFilter({ errors, onError })
}

const REGISTER = 'import LifeguardModule.forRoot({ sessionFactory }) in the root module'

function middlewareOf(options: LifeguardModuleOptions): Middleware {
  const { sessionFactory, health } = options
  const scopes = new RequestScopes<Session, IncomingMessage>(sessionFactory, options, REGISTER)
  return (request, response, next) => {
    if (scopes.find(request) !== undefined) return next()
    const { originalUrl = request.url } = request as { originalUrl?: string }
    if (health !== undefined && originalUrl?.split('?')[0] === health) {
      void healthOf(sessionFactory.bind).then(({ status, body }) => send(response, status, body))
      return
    }
    const scope = scopes.open(request, request.headers)
    watchClient(response, scope)
    // On Express, Nest gives what a middleware passes on to its exception filters; on Fastify it is too late for that.
    const isExpress = 'app' in request
    deferEnd(response, scope, isExpress ? next : (error) => answerRaw(error, response, options))
    scope.run(next)
  }
}

function answerRaw(error: unknown, response: ServerResponse, options: LifeguardModuleOptions): void {
  if (response.headersSent) return
  const answer = answerFor(error, options)
  if (answer === undefined) {
    warnOfRequest(error)
    return send(response, 500, { statusCode: 500, message: 'Internal server error' })
  }
  const { body, headers } = toResponse(answer)
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  send(response, answer.status, body)
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
  response.end(JSON.stringify(body))
}
