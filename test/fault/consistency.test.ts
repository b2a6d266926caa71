/**
 * Bank transfers, lists that grow, and a dozen other kinds of transactions, while everything fails that can. In the end
 * whatever was told must be true of the tables; see `consistency-history.ts` for what that means.
 *
 * `LIFEGUARD_CONSISTENCY_OPERATIONS` (default 10000, in a short run 2000) says how long, `LIFEGUARD_CONSISTENCY_SEED` repeats the choices of
 * another run. Choices depend on the seed and on the number of the operation; their timing is the machine's.
 */
import { expect, test } from 'vitest'
import { guardLeaks } from '../helpers/leak-guard.js'
import { byLength } from '../helpers/length.js'
import { runConsistency } from './consistency-run.js'

const OPERATIONS = Number(process.env['LIFEGUARD_CONSISTENCY_OPERATIONS'] ?? byLength(2_000, 10_000))
const SEED = Number(process.env['LIFEGUARD_CONSISTENCY_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** A run tells by itself which operation hangs; how long all of them take depends on the machine. */
const LONGEST_MILLIS = 3_600_000
const watch = guardLeaks({ deadlineMillis: 20_000 })

test(
  `${String(OPERATIONS)} operations with faults: whatever is told is true of what is stored`,
  { timeout: LONGEST_MILLIS },
  async () => {
    const again = `LIFEGUARD_CONSISTENCY_SEED=${String(SEED)} LIFEGUARD_CONSISTENCY_OPERATIONS=${String(OPERATIONS)}`
    console.log(`consistency: ${again}`)
    const { history, violations, figures } = await runConsistency(
      { seed: SEED, operations: OPERATIONS },
      watch,
    )
    console.log(`consistency: ${JSON.stringify(figures)}`)
    const stories = violations
      .slice(0, 20)
      .map(({ what, operation }) => `${what}\n  ${operation === undefined ? '' : history.story(operation)}`)
    expect(violations.length, `${again}\n${stories.join('\n\n')}`).toBe(0)
  },
)
