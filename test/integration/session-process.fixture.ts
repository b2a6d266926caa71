/** A process that uses an engine and then has nothing left to do; see `session-load.test.ts`. */
import { createEngine } from '../../src/engine/engine.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { query } from '../helpers/databases.js'

const [ending] = process.argv.slice(2)
const url = process.env['DATABASE_URL'] ?? ''
const application = 'session-process'

const engine = createEngine({ url, connectArgs: { serverSettings: { application_name: application } } })
const { withSession } = createSessionFactory({ bind: engine })
await Promise.all(
  Array.from({ length: 20 }, (_, n) => withSession((session) => session.scalar('select $1::int', [n]))),
)

if (ending === 'listen') {
  await new Promise<void>((resolve) => {
    void (async () => {
      for await (const _notification of engine.listen('songs', { onConnect: resolve }));
    })()
  })
}
if (ending !== 'idle') await engine.dispose()

const [row] = await query<{ count: string }>(
  url,
  'select count(*) from pg_stat_activity where application_name = $1 and datname = current_database()',
  [application],
)
process.stdout.write(JSON.stringify({ backends: Number(row?.count) }))
