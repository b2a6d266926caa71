/** Wrong arguments of lifeguard/pg-pool: each is refused at once, in the words of the caller's code. */
import pg from 'pg'
import { expect, test } from 'vitest'
import { createEngine } from '../../../src/engine/engine.js'
import { InvalidOptionError } from '../../../src/errors.js'
import { asClient, asPool, poolFrom, Pool } from '../../../src/integrations/pg-pool.js'
import { createSessionFactory } from '../../../src/session/session-factory.js'

const engine = createEngine({ host: 'localhost' })
const session = createSessionFactory({ bind: engine })()

const poolOf = (config: unknown) => (): unknown => new Pool(config as never)
const fromOf =
  (...given: unknown[]) =>
  (): unknown =>
    poolFrom(...(given as [never]))
const joined =
  (...given: unknown[]) =>
  (): unknown => [asPool(...(given as [never])), asClient(...(given as [never]))]

test.each<[string, () => unknown, string, string]>([
  ["new Pool({ max: '20' })", poolOf({ max: '20' }), 'max', "max is a number of at least 0, not '20'"],
  ['new Pool({ max: -1 })', poolOf({ max: -1 }), 'max', 'max is a number of at least 0, not -1'],
  ['new Pool({ min: NaN })', poolOf({ min: NaN }), 'min', 'not NaN'],
  ['new Pool({ maxUses: 5n })', poolOf({ maxUses: 5n }), 'maxUses', 'not 5'],
  [
    "new Pool({ idleTimeoutMillis: '1' })",
    poolOf({ idleTimeoutMillis: '1' }),
    'idleTimeoutMillis',
    "not '1'",
  ],
  ['new Pool({ max: 2, min: 3 })', poolOf({ max: 2, min: 3 }), 'min', 'min 3 is more than max 2'],
  ['new Pool({ min: 11 })', poolOf({ min: 11 }), 'min', 'min 11 is more than max 10'],
  ['new Pool(null)', poolOf(null), 'options', 'Pool takes an object'],
  ['new Pool(url)', poolOf(new URL('postgres://localhost/songs')), 'options', 'Pool takes an object'],
  ['poolFrom()', fromOf(), 'engine', 'poolFrom takes an engine'],
  ['poolFrom(options of pg)', fromOf({ connectionString: 'x' }), 'engine', 'new Pool({ connectionString })'],
  ['poolFrom(pg.Pool)', fromOf(new pg.Pool()), 'engine', 'poolFrom takes an engine'],
  ['poolFrom(session)', fromOf(session), 'engine', 'poolFrom takes an engine'],
  ['poolFrom(engine, { Pool })', fromOf(engine, { Pool: pg.Pool }), 'Pool', "no option 'Pool', only pg"],
  ['poolFrom(engine, { pg: pg.Pool })', fromOf(engine, { pg: pg.Pool }), 'pg', 'the package itself'],
  ['poolFrom(engine, null)', fromOf(engine, null), 'options', 'poolFrom takes an object'],
  ['asPool()', joined(), 'session', 'asPool takes a session'],
  ['asPool(engine)', joined(engine), 'session', 'For an engine: poolFrom(engine)'],
  ['asPool(session, text)', joined(session, 'x'), 'options', 'asPool takes an object'],
  ['asPool(session, { expire })', joined(session, { expire: true }), 'expire', 'only expireAfterWrites'],
])('%s', (_call, call, option, message) => {
  expect(call).toThrow(InvalidOptionError)
  expect(call).toThrow(
    expect.objectContaining({ option, message: expect.stringContaining(message) as string }),
  )
})

test('what pg takes for no limit is taken', () => {
  expect(
    poolOf({ max: 3, min: 3, maxUses: Infinity, idleTimeoutMillis: null, maxLifetimeSeconds: 0 }),
  ).not.toThrow()
  expect(fromOf(engine, { pg })).not.toThrow()
  expect(joined(session, { expireAfterWrites: true })).not.toThrow()
})
