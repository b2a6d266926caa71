/** Tells Express 4, which the adapters refuse, from Express 5. */

/** @param app The application. Express 4 makes its router at the first use. */
export function isExpress4(app: unknown): boolean {
  return typeof (app as { lazyrouter?: unknown } | null | undefined)?.lazyrouter === 'function'
}
