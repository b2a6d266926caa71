/**
 * Delays the end of a response of Node's HTTP server until the transaction of its request has ended, for frameworks without a hook
 * before the answer is sent.
 *
 * 1. The first end counts: its status, headers and body are kept as they were then. A later one is ignored.
 * 2. A response that has begun (`write`, `flushHeaders`) cannot change any more. Its last part is delayed; if COMMIT fails, the
 *    connection is cut, so the client sees that the response is incomplete. With `Content-Length` a client takes the response for
 *    complete when so many bytes are there, so the `write` that reaches this number is delayed, too, and all that follow it.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Session } from '../../index.js'
import { ClientGoneError } from './error-answers.js'
import type { RequestScope } from './request-scope.js'

/** What can still be changed of a response that has not begun. */
interface Head {
  readonly statusCode: number
  readonly statusMessage: string
  readonly headers: OutgoingHttpHeaders
  /** Arguments of a `writeHead` that is held back. */
  readonly written: unknown[] | undefined
}

/** Calls off the session when the client leaves before the answer was sent. */
export function watchClient(res: ServerResponse, scope: RequestScope<Session>): void {
  const closed = (): void => {
    if (!res.writableFinished || !scope.finished) scope.clientGone()
  }
  if (res.destroyed) scope.clientGone()
  else res.once('close', closed)
}

/**
 * @param onFailure Called with the error of COMMIT, if the response has not begun: its headers are as they were when this was
 *   called, and another answer can be given.
 */
export function deferEnd(
  res: ServerResponse,
  scope: RequestScope<Session>,
  onFailure: (error: unknown) => void,
): void {
  const original = {
    end: res.end.bind(res) as (...parameters: unknown[]) => ServerResponse,
    write: res.write.bind(res) as (...parameters: unknown[]) => boolean,
    writeHead: res.writeHead.bind(res) as (...parameters: unknown[]) => ServerResponse,
    flushHeaders: res.flushHeaders.bind(res),
  }
  const before = headOf(res, undefined)
  let written: unknown[] | undefined
  /** Bytes of the body that are missing until the client takes the response for complete. */
  let missing = Infinity
  /** Arguments of the calls of `write` that are held back, in order. */
  const held: unknown[][] = []
  let state: 'open' | 'begun' | 'ending' | 'over' = 'open'

  const complete = (): boolean => missing <= 0
  /** The head is as it will leave. */
  const begin = (): void => {
    state = 'begun'
    missing = lengthIn(written) ?? Number(res.getHeader('content-length') ?? Infinity)
  }
  /** The head leaves as it is, with the token of what the request has written. */
  const sendHead = (): void => {
    if (!res.headersSent) scope.passToken((name, value) => res.appendHeader(name, value))
    const parameters = written
    written = undefined
    if (parameters !== undefined) original.writeHead(...parameters)
  }
  const committed = (head: Head, parameters: unknown[]): void => {
    state = 'over'
    if (!res.headersSent) {
      setHead(res, head)
      sendHead()
    }
    for (const part of held) original.write(...part)
    original.end(...parameters)
  }
  const refused = (error: unknown): void => {
    state = 'over'
    written = undefined
    if (res.headersSent) res.destroy()
    else setHead(res, before)
    const isGone = res.destroyed && error instanceof Error && error.cause instanceof ClientGoneError
    if (!isGone) onFailure(error)
  }
  const cut = (error: unknown): void => void res.destroy(error instanceof Error ? error : undefined)

  Object.assign(res, {
    end: (...parameters: unknown[]): ServerResponse => {
      if (state === 'over') return original.end(...parameters)
      if (state === 'ending') return res
      state = 'ending'
      const head = headOf(res, written)
      scope
        .finish({ status: statusOf(head) })
        .then(() => committed(head, parameters), refused)
        .catch(cut)
      return res
    },
    write: (...parameters: unknown[]): boolean => {
      if (state === 'ending') return true
      if (state === 'over') return original.write(...parameters)
      if (state === 'open') begin()
      missing -= bytesOf(parameters)
      if (!complete()) {
        sendHead()
        return original.write(...parameters)
      }
      const callback = parameters.at(-1)
      // The handler may end the response only when this write has called back, and it is held back until the response ends.
      if (typeof callback === 'function') process.nextTick(parameters.pop() as () => void)
      held.push(parameters)
      return true
    },
    flushHeaders: (): void => {
      if (state === 'ending') return
      if (state === 'over') return original.flushHeaders()
      if (state === 'open') begin()
      // With a length of 0 the head is the whole response.
      if (complete()) return
      sendHead()
      original.flushHeaders()
    },
    // Node itself calls it as well, when the response begins.
    writeHead: (...parameters: unknown[]): ServerResponse => {
      if (state === 'begun' || state === 'over') return original.writeHead(...parameters)
      if (state === 'open') written = parameters
      return res
    },
  })
}

function headOf(res: ServerResponse, written: unknown[] | undefined): Head {
  const { statusCode, statusMessage } = res
  return { statusCode, statusMessage, headers: { ...res.getHeaders() }, written }
}

function bytesOf([chunk, encoding]: unknown[]): number {
  if (typeof chunk === 'string') return Buffer.byteLength(chunk, encoding as BufferEncoding)
  return chunk instanceof Uint8Array ? chunk.byteLength : 0
}

/** The `Content-Length` among the arguments of a `writeHead`, which counts more than that of `setHeader`. */
function lengthIn(written: unknown[] | undefined): number | undefined {
  const headers = written?.find((parameter) => typeof parameter === 'object' && parameter !== null) ?? {}
  const pairs: unknown[] = Array.isArray(headers) ? headers : Object.entries(headers)
  const flat = pairs.every((pair) => Array.isArray(pair)) ? pairs.flat() : pairs
  const at = flat.findIndex((name, i) => i % 2 === 0 && String(name).toLowerCase() === 'content-length')
  return at === -1 ? undefined : Number(flat[at + 1])
}

function statusOf({ statusCode, written }: Head): number {
  return typeof written?.[0] === 'number' ? written[0] : statusCode
}

function setHead(res: ServerResponse, { statusCode, statusMessage, headers }: Head): void {
  for (const name of res.getHeaderNames()) if (headers[name] === undefined) res.removeHeader(name)
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) res.setHeader(name, value)
  res.statusCode = statusCode
  res.statusMessage = statusMessage
}
