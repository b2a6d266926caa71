/** An injectable session for singletons: each call goes to the session of the current request or block. */
import { IllegalStateError, Session, type SessionFactory } from '../../index.js'

/**
 * Nest asks each provider for methods of these names when it starts and ends, and JavaScript whether it is a promise. Outside of
 * requests such a name must give nothing.
 */
const isOfSession = (key: string | symbol): boolean =>
  typeof key === 'string' && key !== 'constructor' && key in Session.prototype

/**
 * Each use goes to `sessionFactory.current()`, so it works in requests, in `withSession` blocks, and in all that they call.
 * Elsewhere its methods throw IllegalStateError.
 */
export function currentSession<S extends Session>(sessionFactory: SessionFactory<S>): S {
  const current = (key: string | symbol): S | undefined => {
    const session = sessionFactory.current()
    if (session === undefined && isOfSession(key)) {
      throw new IllegalStateError(
        `The injected session was used (${String(key)}) outside of a request. In queues, schedules and gateways, put the work into sessionFactory.withSession(fn), or use SessionInterceptor.`,
      )
    }
    return session
  }
  return new Proxy(Object.create(Session.prototype) as S, {
    get: (_target, key) => {
      const session = current(key)
      if (session === undefined) return undefined
      const value: unknown = Reflect.get(session, key, session)
      return typeof value === 'function' && key !== 'constructor' ? (value.bind(session) as unknown) : value
    },
    set: (_target, key, value) => {
      const session = current(key)
      return session !== undefined && Reflect.set(session, key, value, session)
    },
    has: (_target, key) => key in (sessionFactory.current() ?? Session.prototype),
  })
}
