/**
 * Calls the methods of node-postgres's client that instrumentations replace: `connect` for each connection, `query` for scripts, COPY
 * and Submittables.
 */

/** What is called of a client of node-postgres. Not pg's own type: the declarations of the package must not need `@types/pg`. */
interface CalledClient {
  readonly connect: (onEnd: (error: Error | null | undefined) => void) => void
  readonly query: unknown
}

/** What the common instrumentations (OpenTelemetry's, shimmer) leave on the function that they put in place of another. */
interface Replacement {
  readonly __original?: unknown
}

export class ClientCalls {
  /**
   * True: the original methods are called, because the engine reports these calls itself (`lifeguard/opentelemetry`). An instrumentation
   * of node-postgres would report them once more. Default false.
   */
  original = false

  /** Calls it with a callback, because some replacements of `connect` (mocks, instrumentation) know no other form. */
  connect(client: CalledClient, onEnd: (error: Error | null | undefined) => void): void {
    const connect = this.original ? originalOf(client.connect) : client.connect
    connect.call(client, onEnd)
  }

  query(client: CalledClient, query: string | object, onEnd?: () => void): void {
    const given = client.query as (...parameters: unknown[]) => void
    const method = this.original ? originalOf(given) : given
    if (onEnd === undefined) method.call(client, query)
    else method.call(client, query, onEnd)
  }
}

function originalOf<Method extends (...parameters: never[]) => unknown>(method: Method): Method {
  let found = method
  for (;;) {
    const { __original: original } = found as Replacement
    if (typeof original !== 'function') return found
    found = original as Method
  }
}
