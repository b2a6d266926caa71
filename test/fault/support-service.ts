/**
 * A service under load that is told to end, as its own process: `SIGTERM` disposes its engine. It never calls
 * `process.exit`: it ends when nothing is left.
 */
import { createEngine, createSessionFactory, EngineDisposedError } from '../../src/index.js'

const { URL: url, CALLERS: callers, SLEEP: sleepSeconds, DISPOSE: disposeMillis } = process.env

const engine = createEngine({
  url,
  poolSize: 4,
  maxOverflow: 0,
  connectArgs: { serverSettings: { application_name: 'service' } },
})
const { withSession } = createSessionFactory({ bind: engine })
const seen = { done: 0, refused: 0, failed: [] as string[] }

async function call(): Promise<void> {
  for (;;) {
    try {
      await withSession(async (session) => {
        await session.execute("insert into work values ('first')")
        await session.execute('select pg_sleep($1)', [Number(sleepSeconds)])
        await session.execute("insert into work values ('second')")
      })
      seen.done++
      process.stdout.write('done\n')
    } catch (error) {
      if (error instanceof EngineDisposedError) {
        seen.refused++
        return
      }
      seen.failed.push(String(error))
    }
  }
}

process.once('SIGTERM', () => {
  void engine.dispose({ timeoutMillis: Number(disposeMillis) }).then(({ closed, forced, rejected }) => {
    // A turn later everybody has been told.
    setImmediate(() =>
      process.stdout.write(`report ${JSON.stringify({ closed, forced, rejected, ...seen })}\n`),
    )
  })
})

for (let caller = 0; caller < Number(callers); caller++) void call()
process.stdout.write('started\n')
