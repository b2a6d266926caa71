/** A process that has nothing to do but to wait for a COMMIT; see `session-parting-others.test.ts`. */
import { createEngine } from '../../src/engine/engine.js'
import { createSessionFactory } from '../../src/session/session-factory.js'

const url = process.env['DATABASE_URL'] ?? ''
const engine = createEngine({ url, poolSize: 1, maxOverflow: 0 })
const { withSession } = createSessionFactory({ bind: engine })

let second: Promise<string> | undefined
const first = await withSession(async (session) => {
  const value = await session.scalar<number>('select 1')
  // It waits as soon as it is called.
  second = engine.begin(() => 'done')
  return value
})
process.stdout.write(`first ${String(first)}, second ${String(await second)}`)
