/**
 * Whether the server refused a statement only because it had been prepared under an older schema, or on another backend.
 * The driver notes it on node-postgres's error, and may learn it later than that error is thrown.
 */

/** Shared by an error and all errors that are made from it. */
export interface StalePlan {
  /** True: prepared anew, the statement is not refused for that reason. */
  certain: boolean
}

const MARK: unique symbol = Symbol.for('lifeguard.stalePlan') as never

/** Notes it on an error. */
export function markStalePlan(error: Error, stale: StalePlan): void {
  Object.defineProperty(error, MARK, { value: stale, configurable: true })
}

/** What was noted on an error, or undefined. */
export function stalePlanOf(error: Error): StalePlan | undefined {
  return (error as { [MARK]?: StalePlan })[MARK]
}
