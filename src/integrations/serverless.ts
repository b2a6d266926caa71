/**
 * `lifeguard/serverless`: for Next.js and other runtimes with handlers of a `Request`, where modules are reloaded and processes
 * suspended.
 */
import { createHash } from 'node:crypto'
import {
  createEngine,
  IllegalStateError,
  InvalidOptionError,
  NullPool,
  type Engine,
  type EngineOptions,
  type Session,
  type SessionFactory,
} from '../index.js'
import { toResponse } from './requests/error-answers.js'
import { healthOf } from './requests/health.js'
import { answerFor, checkOptions, type AnsweringOptions } from './requests/options.js'
import { RequestScopes, type RequestScope } from './requests/request-scope.js'

export { errorAnswer } from './requests/error-answers.js'
export type { ErrorAnswer, ErrorAnswers, ErrorBody } from './requests/error-answers.js'
export type { CausalityCarrier } from './requests/causality-token.js'
export type { RequestSession } from './requests/request-scope.js'

/**
 * Engine options for a function whose process is suspended between calls (AWS Lambda): no connection is kept, because timers do
 * not run while the process is suspended, and the server may close the connection.
 *
 * @example
 * const engine = sharedEngine({ ...suspendedProcess, url: process.env.DATABASE_URL })
 */
export const suspendedProcess: Pick<
  EngineOptions,
  'poolClass' | 'poolTimeoutMillis' | 'connectTimeoutMillis'
> = {
  poolClass: NullPool,
  poolTimeoutMillis: 5_000,
  connectTimeoutMillis: 5_000,
}

/** What `attachDatabasePool` of `@vercel/functions` takes. */
export interface AttachablePool {
  readonly options: { readonly idleTimeoutMillis: number }
  on(event: 'release', listener: () => void): void
}

/** Options of {@link sharedEngine} besides the engine's. */
export interface SharedEngineOptions {
  /**
   * `attachDatabasePool` of `@vercel/functions`, which keeps a function running until its idle connections are closed. With it
   * the default of `idleTimeoutMillis` is 5000.
   */
  readonly attach?: ((pool: AttachablePool) => void) | undefined
}

interface Kept {
  readonly engine: Engine
  readonly fingerprint: string
}

const KEPT = Symbol.for('lifeguard.sharedEngines')
const ATTACHED_IDLE_MILLIS = 5_000

/**
 * The engine of this name in this process. The first call makes it; later calls return it, when a hot reload or another bundle
 * runs the module again. If the options have changed, the old engine is disposed and a new one made. Opens no connection.
 *
 * @param options As for `createEngine`. Several engines need different `name`s.
 * @throws InvalidOptionError
 * @example
 * export const engine = sharedEngine({ url: process.env.DATABASE_URL, poolSize: 3, maxOverflow: 0 })
 */
export function sharedEngine(options: EngineOptions = {}, shared: SharedEngineOptions = {}): Engine {
  const unknown = Object.keys(shared).find((name) => name !== 'attach')
  if (unknown !== undefined)
    throw new InvalidOptionError(unknown, `sharedEngine(options, { attach }) has no option '${unknown}'`)
  const { attach } = shared
  const given = attach === undefined ? options : { idleTimeoutMillis: ATTACHED_IDLE_MILLIS, ...options }
  const holder = globalThis as { [KEPT]?: Map<string, Kept> }
  const engines = (holder[KEPT] ??= new Map<string, Kept>())
  const name = given.name ?? 'default'
  const fingerprint = fingerprintOf(given)
  const kept = engines.get(name)
  if (kept?.fingerprint === fingerprint && !kept.engine.stats().disposed) return kept.engine
  const engine = createEngine(given)
  engines.set(name, { engine, fingerprint })
  void kept?.engine.dispose()
  attach?.({
    options: { idleTimeoutMillis: given.idleTimeoutMillis ?? ATTACHED_IDLE_MILLIS },
    on: (event, listener) => void engine.on(event, () => listener()),
  })
  return engine
}

/** Hashed, because options hold passwords. Functions count by their text: a reload makes them anew. */
function fingerprintOf(options: EngineOptions): string {
  const text = JSON.stringify(options, (_key, value: unknown) =>
    typeof value === 'function' || typeof value === 'bigint' ? String(value) : value,
  )
  return createHash('sha256').update(text).digest('hex')
}

/** Options of {@link requestSessions}. */
export type ServerlessOptions = AnsweringOptions<Request>

/** The sessions of handlers. */
export interface ServerlessSessions<S extends Session> {
  /**
   * The session of the current handler or action.
   * @throws IllegalStateError outside of a handler or action.
   */
  (): S
  /**
   * Wraps a handler of a `Request`: its session is committed before its response is returned; rolled back if it throws, if the
   * status is 400 or greater, or if the client disconnects. Errors of Lifeguard become responses.
   */
  handler<Given extends Request, More extends unknown[]>(
    work: (request: Given, ...more: More) => Response | Promise<Response>,
  ): (request: Given, ...more: More) => Promise<Response>
  /**
   * Wraps a server action, or any function: its session is committed before it returns, also if it ends with Next's
   * `redirect()`; rolled back if it throws anything else.
   */
  action<Given extends unknown[], Value>(
    work: (...given: Given) => Value | Promise<Value>,
  ): (...given: Given) => Promise<Value>
  /** Health endpoint: 200 if the database answers, otherwise 503. */
  readonly health: () => Promise<Response>
}

/**
 * Makes sessions for handlers of a `Request`: Next.js routes and server actions, Vercel, Deno, Bun, Lambda adapters.
 *
 * @throws InvalidOptionError
 * @example
 * const db = requestSessions(sessionFactory)
 * export const POST = db.handler(async (request) => {
 *   db().add(new Song(await request.json()))
 *   return new Response(null, { status: 201 })
 * })
 */
export function requestSessions<S extends Session>(
  sessionFactory: SessionFactory<S>,
  options: ServerlessOptions = {},
): ServerlessSessions<S> {
  checkOptions(options, ['errors', 'onError'])
  const { session } = options
  const register = 'wrap the handler in db.handler(fn) or db.action(fn)'
  const scopes = new RequestScopes<S, Request>(sessionFactory, options, register)
  const ofActions = new RequestScopes<S, object>(
    sessionFactory,
    { ...options, session: typeof session === 'function' ? {} : session },
    register,
  )

  return Object.assign((): S => scopes.sessionOf(), {
    handler: <Given extends Request, More extends unknown[]>(
      work: (request: Given, ...more: More) => Response | Promise<Response>,
    ) => {
      checkWork('handler', work)
      return async (request: Given, ...more: More): Promise<Response> => {
        const scope = scopes.open(request, request.headers)
        const { signal } = request
        const gone = (): void => scope.clientGone()
        signal.addEventListener('abort', gone, { once: true })
        if (signal.aborted) gone()
        try {
          const response = await around(
            scope,
            async () => requireResponse(await work(request, ...more)),
            ({ status }) => status,
          )
          return withToken(scope, response)
        } catch (error) {
          const answer = answerFor(error, options)
          if (answer === undefined) throw error
          const { body, headers } = toResponse(answer)
          return new Response(JSON.stringify(body), { status: answer.status, headers })
        } finally {
          signal.removeEventListener('abort', gone)
        }
      }
    },
    action: <Given extends unknown[], Value>(work: (...given: Given) => Value | Promise<Value>) => {
      checkWork('action', work)
      return async (...given: Given): Promise<Value> =>
        await around(
          ofActions.open({}),
          () => work(...given),
          () => undefined,
        )
    },
    health: async (): Promise<Response> => {
      const { status, body } = await healthOf(sessionFactory.bind)
      return Response.json(body, { status })
    },
  })
}

/** @throws IllegalStateError for a handler without a response. */
function requireResponse(returned: Response): Response {
  const given: unknown = returned
  if (typeof given === 'object' && given !== null && 'status' in given) return returned
  throw new IllegalStateError(
    'The function of db.handler returned no Response, so its transaction was rolled back: return new Response(...), or Response.json(...)',
  )
}

/** As `RequestScope.around`; Next's `redirect()` is a success, although it throws. */
async function around<Value>(
  scope: RequestScope<Session>,
  work: () => Value | Promise<Value>,
  statusOf: (value: Value) => number | undefined,
): Promise<Value> {
  let redirect: { readonly thrown: unknown } | undefined
  const handler = async (): Promise<Value | undefined> => {
    try {
      return await work()
    } catch (thrown) {
      if (!isRedirect(thrown)) throw thrown
      redirect = { thrown }
      return undefined
    }
  }
  const value = await scope.around(handler, (returned) => ({
    status: redirect === undefined ? statusOf(returned as Value) : undefined,
  }))
  if (redirect !== undefined) throw redirect.thrown
  return value as Value
}

/** A response of `fetch` or `Response.redirect` cannot be changed: then a copy is. */
function withToken(scope: RequestScope<Session>, response: Response): Response {
  let answer = response
  scope.passToken((name, value) => {
    answer = new Response(response.body, response)
    answer.headers.append(name, value)
  })
  return answer
}

function isRedirect(thrown: unknown): boolean {
  const { digest } = Object(thrown) as { digest?: unknown }
  return typeof digest === 'string' && digest.startsWith('NEXT_REDIRECT')
}

/** @throws InvalidOptionError */
function checkWork(name: string, work: unknown): void {
  if (typeof work === 'function') return
  throw new InvalidOptionError(name, `db.${name} takes a function`)
}
