/** One session for each request: FastAPI's `Depends(get_db)`. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { WithSessionOptions } from 'lifeguard'
import { type SongsSession, withSession } from './database.js'

/**
 * Makes a route handler of one that takes a session. Committed when the handler returns and before its reply is sent,
 * rolled back when it throws, closed in any case; called off when the client goes away.
 *
 * A wrapper and not a pair of hooks: Fastify has no single hook that runs after every ending of a request, and
 * `onResponse` is too late to learn that COMMIT failed. So handlers return their payload and do not call `reply.send()`.
 */
export function inSession<Request extends FastifyRequest, Payload>(
  handler: (session: SongsSession, request: Request, reply: FastifyReply) => Payload | Promise<Payload>,
  options?: Omit<WithSessionOptions, 'signal'>,
): (request: Request, reply: FastifyReply) => Promise<Payload> {
  return (request, reply) =>
    withSession((session) => handler(session, request, reply), { ...options, signal: clientGone(reply) })
}

/** Not `request.signal`: Fastify 5.12 aborts that as soon as the body of a POST has been read. */
function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new Error('The client closed the connection'))
  })
  return controller.signal
}
