/**
 * Which request of an HTTP server the current call is part of, to detect one session that serves several requests. Node publishes the
 * start of a request (`http.server.request.start`), and an AsyncLocalStorage keeps it.
 */
import { AsyncLocalStorage, executionAsyncResource } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import { currentFlow } from './async-scope.js'

/** One request. */
export interface RequestMark {
  readonly response: WeakRef<object>
}

const KEY = Symbol.for('lifeguard.requests')

/** Notes requests from now on. One storage serves the process, also when the package is loaded twice. */
export function watchRequests(): void {
  const holder = globalThis as { [KEY]?: AsyncLocalStorage<RequestMark> }
  if (holder[KEY] !== undefined) return
  const storage = new AsyncLocalStorage<RequestMark>()
  holder[KEY] = storage
  subscribe('http.server.request.start', (message) => {
    storage.enterWith({ response: new WeakRef((message as { response: object }).response) })
  })
}

/** The HTTP request to which the current call belongs; undefined outside of one. */
export function currentRequest(): RequestMark | undefined {
  return (globalThis as { [KEY]?: AsyncLocalStorage<RequestMark> })[KEY]?.getStore()
}

/** False after the response was sent, or the client has disconnected. */
export function isInProgress({ response }: RequestMark): boolean {
  const held = response.deref() as
    { readonly writableEnded?: boolean; readonly destroyed?: boolean } | undefined
  return held !== undefined && held.writableEnded !== true && held.destroyed !== true
}

/**
 * The values in the program's own AsyncLocalStorages around the current call. Only Node before 24 shows them; elsewhere the
 * array is empty. So they are used for a warning only.
 */
export function programStores(): readonly unknown[] {
  const resource = executionAsyncResource() as Record<symbol, unknown>
  const own: unknown[] = [undefined, currentRequest(), currentFlow()]
  return Object.getOwnPropertySymbols(resource)
    .filter(({ description }) => description === 'kResourceStore')
    .map((key) => resource[key])
    .filter((store) => !own.includes(store))
}
