/** The engine of a command. */
import { createEngine, type Engine } from '../../index.js'
import { CommandError, type Surroundings } from './terminal.js'

/**
 * Connects as every engine does: to the address that is given, to that of DATABASE_URL, or where the PG* variables say.
 * @param url Of the command line.
 */
export async function withEngine<Value>(
  url: string | undefined,
  { env }: Surroundings,
  work: (engine: Engine) => Promise<Value>,
): Promise<Value> {
  if (url === '') throw new CommandError('--url is empty: is its variable set?')
  const address = url ?? env['DATABASE_URL']
  const engine = createEngine({
    ...(address !== undefined && address !== '' && { url: address }),
    connectRetry: 'fail',
    poolSize: 1,
    maxOverflow: 0,
    name: 'lifeguard',
  })
  try {
    return await work(engine)
  } finally {
    await engine.dispose({ timeoutMillis: 1000 })
  }
}
