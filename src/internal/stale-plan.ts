/**
 * Marks errors of statements that the server refused only because they had been prepared under an older schema, or on another backend.
 * The driver sets the mark on node-postgres's error, possibly after that error was thrown.
 */

/** Shared by an error and all errors that are made from it. */
export interface StalePlan {
  /** True: the statement is not refused for that reason if it is prepared again. */
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
