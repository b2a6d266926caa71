/**
 * A database of Drizzle with another client. `drizzle()` reads the whole schema each time, which is too much for each transaction; here only what
 * knows the client is copied.
 */

interface Session {
  readonly client: object
}

/** What a database of drizzle-orm/node-postgres consists of. */
const DATABASE_KEYS: ReadonlySet<string> = new Set([
  ...['dialect', 'session', '_', 'query', '$cache', '$client'],
  // `$with` only uses the dialect; `authToken` is one of other drivers.
  ...['$with', 'authToken'],
  // Of a transaction.
  ...['rollback', 'setTransaction', 'nestedIndex'],
])
const SESSION_KEYS: ReadonlySet<string> = new Set([
  ...['dialect', 'client', 'schema', 'options', 'logger', 'cache', 'transaction'],
])

/** Undefined if the database has a form that is not known here: then it has to be made anew. */
export function rebound<Database extends object>(
  database: Database,
  client: object,
  other: object,
): Database | undefined {
  const { session, query, _: facts } = database as { session?: Session; query?: object; _?: object }
  if (session === undefined || session.client !== client || !isPlain(facts) || !isPlain(query))
    return undefined
  if (!hasOnly(database, DATABASE_KEYS) || !hasOnly(session, SESSION_KEYS)) return undefined
  const builders = Object.entries(query as Record<string, { readonly session?: unknown }>)
  if (builders.some(([, builder]) => builder.session !== session)) return undefined
  const own = copy(session, { client: other })
  const queries = builders.map(([table, builder]) => [table, copy(builder, { session: own })])
  return copy(database, {
    session: own,
    _: { ...facts, session: own },
    query: Object.fromEntries(queries) as object,
    ...('$client' in database ? { $client: other } : {}),
  })
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

function hasOnly(value: object, keys: ReadonlySet<string>): boolean {
  return Object.keys(value).every((key) => keys.has(key))
}

function copy<Value extends object>(value: Value, changes: object): Value {
  return Object.assign(Object.create(Object.getPrototypeOf(value) as object) as Value, value, changes)
}
