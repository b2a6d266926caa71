/**
 * The session of one request, from its arrival until its answer. All adapters of frameworks share this.
 *
 * 1. The session takes no connection before its first statement, so a request that never uses it costs the database nothing.
 * 2. The transaction ends once, before the answer is sent: `finish` commits or rolls back, and returns the same promise to every
 *    caller.
 * 3. After the end, and after the client has disconnected, every use of the session is refused. A handler that still runs cannot reach
 *    the connection, which may belong to another request by then.
 */
import { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import {
  AbortedError,
  IllegalStateError,
  InvalidOptionError,
  type Session,
  type SessionFactory,
  type SessionOptions,
} from '../../index.js'
import { checkCarrier, incomingToken, outgoingToken, type CausalityCarrier } from './causality-token.js'
import { ClientGoneError } from './error-answers.js'

/** Options of the session of a request. */
export type RequestSession = Omit<SessionOptions, 'signal' | 'detectSharing'>

/** The request and its session end together. */
const AFTER_ANSWER =
  'This request was answered, and its session ended with it: is an await missing before the answer? ' +
  'For work that goes on after the answer, use withSession(fn)'

/** Like every token that cannot be read, it means the primary. */
const OF_UNKNOWN_POSITION = 'primary'

/** How a request has ended, as its framework tells it. */
export interface RequestOutcome {
  /** Status of the answer; undefined if there is none. */
  readonly status?: number | undefined
  /** Present if the request has failed, also with `undefined`. */
  readonly failure?: { readonly error: unknown } | undefined
}

/** What a scope needs. */
export interface ScopeParts<S extends Session> {
  readonly sessionFactory: SessionFactory<S>
  readonly session: RequestSession
  readonly rollbackOnStatus: (status: number) => boolean
  readonly causality: CausalityCarrier | undefined
}

/** The session of one request. Made in the flow of control of the request. */
export class RequestScope<S extends Session> {
  readonly session: S
  readonly #rollbackOnStatus: (status: number) => boolean
  readonly #controller = new AbortController()
  readonly #token: () => string | undefined
  readonly #causality: CausalityCarrier | undefined
  /** Rejects with the error of COMMIT, or with why the session was rolled back. */
  readonly #done: Promise<unknown>
  #context!: AsyncResource
  #commit!: () => void
  #rollBack!: (reason: unknown) => void
  #finishing: Promise<void> | undefined = undefined

  /** @throws InvalidOptionError for options that a session does not take. */
  constructor({ sessionFactory, session, rollbackOnStatus, causality }: ScopeParts<S>) {
    const { signal } = this.#controller
    // The block owns the session: another request cannot use it by mistake, so there is nothing to watch for.
    this.session = sessionFactory({ ...session, detectSharing: false, signal })
    this.#rollbackOnStatus = rollbackOnStatus
    this.#causality = causality
    this.#token = () => sessionFactory.causalityToken()
    const work = (): Promise<void> => {
      this.#context = new AsyncResource('lifeguard.request')
      return new Promise((resolve, reject) => {
        this.#commit = resolve
        this.#rollBack = reject
      })
    }
    const afterBlock = AFTER_ANSWER
    this.#done = this.session.runOwned(work, { commit: true, factory: sessionFactory, afterBlock })
    // Whether anything is to be told is decided in `finish`.
    this.#done.catch(ignore)
  }

  /** Calls `work` in the async scope of the request: `sessionFactory.current()` is its session. */
  run<Value>(work: () => Value): Value {
    return this.#context.runInAsyncScope(work)
  }

  /**
   * Tells the header that passes on what the request has written. The head of a streamed answer leaves before COMMIT, when the position
   * of the write is not known: its token means the primary.
   */
  passToken(setHeader: (name: string, value: string) => unknown): void {
    if (this.#causality === undefined) return
    const { inTransaction, isWriting } = this.session
    const token = inTransaction && isWriting ? OF_UNKNOWN_POSITION : this.run(this.#token)
    if (token !== undefined) setHeader(...outgoingToken(this.#causality, token))
  }

  /** True once the answer was decided: no other outcome counts. */
  get finished(): boolean {
    return this.#finishing !== undefined
  }

  /** The client has left: calls the statement off, rolls back, and refuses later use of the session. */
  clientGone(): void {
    if (this.#finishing === undefined) this.#controller.abort(new ClientGoneError())
  }

  /**
   * Ends the transaction: commits, or rolls back if the request has failed or its status says so. The first outcome counts.
   *
   * @throws the error of COMMIT: nothing was stored, unless the error says otherwise. Never after a rollback.
   */
  finish(outcome: RequestOutcome): Promise<void> {
    this.#finishing ??= this.#finish(outcome)
    return this.#finishing
  }

  /**
   * Runs a handler that returns when its answer is known, and ends the transaction by its outcome.
   * @throws what the handler throws, or as `finish`.
   */
  async around<Value>(
    handler: () => Value | Promise<Value>,
    outcomeOf: (value: Value) => RequestOutcome,
  ): Promise<Value> {
    let value: Value
    let outcome: RequestOutcome
    try {
      value = await this.run(handler)
      outcome = outcomeOf(value)
    } catch (error) {
      await this.finish({ failure: { error } })
      throw error
    }
    await this.finish(outcome)
    return value
  }

  async #finish({ status, failure }: RequestOutcome): Promise<void> {
    if (failure !== undefined) return await this.#undo(failure.error)
    let undo: boolean
    try {
      undo = status !== undefined && this.#rollbackOnStatus(status)
    } catch (error) {
      await this.#undo(error)
      throw error
    }
    if (undo) {
      const message = `The request was answered with status ${status}, so its transaction was rolled back`
      return await this.#undo(new AbortedError(message))
    }
    this.#commit()
    await this.#done
  }

  async #undo(reason: unknown): Promise<void> {
    this.#rollBack(reason)
    // The request has failed already, and is answered with its own error. Nothing was stored.
    await this.#done.catch(ignore)
  }
}

/** What all adapters take, besides what belongs to their framework. */
export interface RequestSessionsOptions<Request> {
  /**
   * Options of the sessions, for example `{ readOnly: true }`; a function is called for each request. Default: those of the
   * factory.
   */
  readonly session?: RequestSession | ((request: Request) => RequestSession) | undefined
  /**
   * Whether an answer with this status rolls back, although the handler did not throw. Default: `status >= 400`, because a client
   * that is told "failed" expects that nothing was stored.
   */
  readonly rollbackOnStatus?: ((status: number) => boolean) | undefined
  /**
   * With replicas and `consistency: 'session'`: take the causality token from the request, and give it back with the answer, by the
   * header `x-causality-token` (for other services: send it on) or the cookie `causality_token` (for browsers). Default: neither.
   */
  readonly causality?: CausalityCarrier | undefined
}

/** The sessions of the requests of one application. */
export class RequestScopes<S extends Session, Request extends object> {
  readonly #factory: SessionFactory<S>
  readonly #session: RequestSession | ((request: Request) => RequestSession)
  readonly #rollbackOnStatus: (status: number) => boolean
  readonly #causality: CausalityCarrier | undefined
  readonly #scopes = new WeakMap<object, RequestScope<S>>()
  /** How the caller registers the adapter, for the error of a request without a session. */
  readonly #register: string

  /** @throws InvalidOptionError */
  constructor(factory: SessionFactory<S>, options: RequestSessionsOptions<Request>, register: string) {
    if (typeof (factory as Partial<SessionFactory> | undefined)?.withSession !== 'function') {
      const message =
        'requestSessions takes a session factory: requestSessions(createSessionFactory({ bind: engine }))'
      throw new InvalidOptionError('sessionFactory', message)
    }
    const { session = {}, rollbackOnStatus = isFailure } = options
    if (typeof rollbackOnStatus !== 'function') {
      const message = 'rollbackOnStatus must be a function, for example (status) => status >= 500'
      throw new InvalidOptionError('rollbackOnStatus', message)
    }
    this.#factory = factory
    this.#session = session
    this.#rollbackOnStatus = rollbackOnStatus
    this.#causality = checkCarrier(options.causality)
    this.#register = register
    // Wrong options are found when the application starts, not by its first client.
    if (typeof session !== 'function') void factory({ ...session }).close()
  }

  /**
   * Opens the session of a request, in a flow of control of its own.
   * @throws InvalidOptionError; what the function `session` throws.
   */
  open(request: Request, headers: Headers | IncomingHttpHeaders = {}): RequestScope<S> {
    const session = typeof this.#session === 'function' ? this.#session(request) : this.#session
    const parts: ScopeParts<S> = {
      sessionFactory: this.#factory,
      session,
      rollbackOnStatus: this.#rollbackOnStatus,
      causality: this.#causality,
    }
    const after = incomingToken(this.#causality, headers)
    const scope = this.#factory.causalFlow(() => new RequestScope(parts), { after })
    this.#scopes.set(request, scope)
    return scope
  }

  /** The scope that a request has, if any. */
  find(request: object): RequestScope<S> | undefined {
    return this.#scopes.get(request)
  }

  /**
   * The session of a request; without one, of the current request.
   * @throws IllegalStateError if there is none.
   */
  sessionOf(request?: object): S {
    const session = request === undefined ? this.#factory.current() : this.#scopes.get(request)?.session
    if (session !== undefined) return session
    const where =
      request === undefined
        ? 'This code does not run in a request that has a session'
        : 'This request has no session'
    throw new IllegalStateError(`${where}: ${this.#register}. Outside of requests, use withSession(fn).`)
  }
}

function isFailure(status: number): boolean {
  return status >= 400
}

function ignore(): void {
  // See where it is used.
}
