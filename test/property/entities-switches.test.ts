/**
 * Objects are deleted while new ones take their keys, in random programs, against a model: deleted and new objects are two, whatever
 * the statements are. `FC_RUNS` sets the number of programs.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSessionFactory } from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { LONGEST_MILLIS, storedRows, tryPrograms, usePropertyDatabase } from './entities-fixture.js'
import { Base, ENTITIES } from './entities-switches-schema.js'
import { STEPS, SwitchesRun, type Step } from './entities-switches-run.js'

const DEFAULT_RUNS = 1500
/** What the default runs may take; later ones are passed over. */
const DEFAULT_MILLIS = byLength(2_500, 8_000)

const fixture = usePropertyDatabase(Base, 1)

const WEIGHTS: Readonly<Partial<Record<Step['step'], number>>> = { create: 10, replace: 8, move: 6, merge: 5 }
const steps = STEPS.map((step) => ({ weight: WEIGHTS[step] ?? 2, arbitrary: fc.constant(step) }))
const number = fc.integer({ min: 0, max: 29 })
const program = fc.array(fc.record({ step: fc.oneof(...steps), kind: number, id: number, parent: number }), {
  maxLength: 30,
  size: 'max',
})

test('a new object with the key of a deleted one is another object', { timeout: LONGEST_MILLIS }, () =>
  tryPrograms(
    { program, settings: fc.record({ expireOnCommit: fc.boolean() }) },
    { runs: DEFAULT_RUNS, millis: DEFAULT_MILLIS },
    async (steps, settings) => {
      await fixture.admin.query('truncate owners, kids, pets, toys')
      const sessions = createSessionFactory({ bind: fixture.engine, autoflush: false, ...settings })
      await using session = sessions()
      await new SwitchesRun(session, (kind) => storedRows(fixture, ENTITIES[kind])).program(steps)
      await session.close()
      expect(fixture.engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
    },
  ),
)
