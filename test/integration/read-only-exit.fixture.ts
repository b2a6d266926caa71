/** A process that exits in the line after a read-only block; see `read-only-commit.test.ts`. */
import { createEngine } from '../../src/engine/engine.js'
import { createSessionFactory } from '../../src/session/session-factory.js'

const engine = createEngine({ url: process.env['DATABASE_URL'] ?? '' })
const { withSession } = createSessionFactory({ bind: engine, readOnly: true })
// A block that returns its only statement has sent COMMIT with that; this one has not.
await withSession(async (session) => {
  await session.execute('select 1')
})
process.exit(0)
