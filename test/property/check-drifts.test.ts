/**
 * Several changes of a database at once: what `check` proposes runs from top to bottom in one transaction, and so do its comments, until
 * nothing differs. `FC_RUNS` sets how many.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkEntities } from '../../src/integrations/introspect.js'
import { byLength } from '../helpers/length.js'
import { LIVE, LOSSY, reset, ROWS, SCHEMA, uncommented } from '../integration/check-drifts.js'
import { GeneratedEntities } from '../integration/introspect-support.js'
import { useDatabase } from '../integration/session-support.js'

const RUNS = Number(process.env['FC_RUNS'] ?? byLength(12, 150))
/** The proposals, their comments, and what those kept waiting. */
const ROUNDS = 4

const fixture = useDatabase(SCHEMA, ROWS)

test('changes at once are undone by what is proposed', { timeout: 1_200_000 }, async () => {
  const { db } = fixture
  const engine = fixture.engine()
  const generated = await GeneratedEntities.from(engine, 'drifts', { schemas: ['public', 'other'] })
  const { Base } = await generated.load()
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.constantFrom(...LIVE, ...LOSSY), { minLength: 2, maxLength: 3 }),
      fc.boolean(),
      async (changes, isAtOnce) => {
        await reset(db)
        // A change may need what an earlier one has removed.
        for (const change of changes) await db.query(change).catch(() => undefined)
        const scripts: string[] = []
        for (let round = 0; round < ROUNDS; round++) {
          const { sql: script, agrees } = await checkEntities(engine, Base)
          if (agrees) return
          // A label cannot be used in the transaction that adds it.
          const isProposed = round === 0 && (!isAtOnce || script.includes('in a transaction after'))
          scripts.push(isProposed ? script : uncommented(script))
          await engine
            .begin((connection) => connection.executeScript(scripts.at(-1) ?? ''))
            .catch((error: unknown) => {
              throw new Error(`${(error as Error).message} in\n${scripts.join('\n-----\n')}`, {
                cause: error,
              })
            })
        }
        expect((await checkEntities(engine, Base)).differences, scripts.join('\n-----\n')).toEqual([])
      },
    ),
    { numRuns: RUNS },
  )
})
