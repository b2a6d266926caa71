/** A process that is frozen and thawed: each `SIGUSR2` is one call, whose outcome it prints. `SIGTERM` ends it. */
import { createEngine, createSessionFactory } from '../../src/index.js'

const engine = createEngine({
  url: process.env['URL'],
  poolSize: 2,
  prePingTimeoutMillis: 200,
  // Connections in use a moment ago are trusted for a minute: only the freeze can make them suspect.
  prePingSkipMillis: 60_000,
  // The housekeeper then comes twice a second, and probes nothing by itself.
  leakDetectionMillis: 1_000,
})
const { withSession } = createSessionFactory({ bind: engine })
let calls = 0

process.on('SIGUSR2', () => {
  const call = ++calls
  withSession((session) => session.scalar('select 1')).then(
    (value) => process.stdout.write(`call ${String(call)}: ${String(value)}\n`),
    (error: unknown) => process.stdout.write(`call ${String(call)}: ${String(error)}\n`),
  )
})
// An idle pool does not keep the process alive.
const alive = setInterval(() => undefined, 60_000)
process.once('SIGTERM', () => {
  clearInterval(alive)
  void engine.dispose()
})
process.stdout.write('started\n')
