/** A policy of prepared statements that owns its clock and its generation. */
import { StatementPolicy, type StatementPolicyOptions } from '../../../src/driver/statement-policy.js'

/** Names a text at its first use, unless told otherwise. */
export function statementPolicy(options: Partial<StatementPolicyOptions> = {}): StatementPolicy {
  return new StatementPolicy({
    size: 100,
    maxBytes: 1_000_000,
    maxAgeMillis: -1,
    clock: { now: () => 0, setTimer: () => ({ cancel: () => undefined }) },
    generation: { current: 0 },
    namedFromUse: 1,
    ...options,
  })
}
