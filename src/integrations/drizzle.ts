/**
 * `lifeguard/drizzle`: Drizzle on an engine, or in a session.
 *
 * Drizzle's own driver for node-postgres is used. Of its client it only uses `query`; its BEGIN, COMMIT and SAVEPOINT are replaced by
 * Lifeguard's blocks.
 */
import { TransactionRollbackError } from 'drizzle-orm'

import { Engine, InvalidOptionError, type Connection, type Session } from '../index.js'
import { clientOn, type Client } from './drizzle/client.js'
import { rebound } from './drizzle/rebound.js'
import { beginnerOn, type Begin, type DrizzleModes } from './drizzle/transactions.js'
import type { PoolClient } from './pg-pool/types.js'

export type { DrizzleModes } from './drizzle/transactions.js'

/** What is replaced of a database of Drizzle. */
interface Replaceable {
  readonly session: {
    transaction: (work: (transaction: never) => unknown, modes?: DrizzleModes) => Promise<unknown>
  }
}

/** What the transaction of Drizzle has besides a database. */
interface TransactionMembers {
  rollback(): never
  setTransaction(modes: DrizzleModes): Promise<unknown>
  readonly nestedIndex: number
}

/**
 * Makes a database of Drizzle on an engine, or in a session.
 *
 * On an engine, queries and transactions take connections from its pool. On a session (or a connection of the engine), queries are
 * part of its transaction: changed entities are flushed before them (`autoflush`), and `db.transaction()` is a savepoint.
 *
 * Drizzle wraps errors of PostgreSQL in a `DrizzleQueryError`. Its `cause` is Lifeguard's error (`UniqueViolationError`, ...),
 * whose `code` is the SQLSTATE here, as with node-postgres.
 *
 * @param make Returns the database for the given client. Called again for each transaction.
 * @throws InvalidOptionError if `bind` is not an engine, a session or a connection, or if `make` does not return a database of
 *   Drizzle.
 * @example
 * const db = drizzleOn(engine, (client) => drizzle({ client, schema }))
 * await withSession(async (session) => {
 *   const inSession = drizzleOn(session, (client) => drizzle({ client, schema }))
 *   await inSession.insert(songs).values({ title: 'Help!' })
 * })
 */
export function drizzleOn<Database extends object>(
  bind: Engine | Session | Connection,
  make: (client: PoolClient) => Database,
): Database {
  requireArguments(bind, make)
  return databaseOn(clientOn(bind), beginnerOn(bind), make)
}

function databaseOn<Database extends object>(
  client: Client,
  begin: Begin,
  make: (client: PoolClient) => Database,
): Database {
  // Drizzle calls nothing else of it; the type is that of a whole client, which `drizzle()` wants.
  const database = make(client as object as PoolClient)
  requireClient(database, client)
  return withTransactions(database, { client, begin, make })
}

/** @throws InvalidOptionError for a database whose queries would run elsewhere, or would be read in another way. */
function requireClient(database: object, client: Client): void {
  const { session } = Object(database) as { session?: { client?: unknown; constructor: object } }
  if (session?.client !== undefined && session.client !== client)
    throw new InvalidOptionError(
      'make',
      'The function that drizzleOn gets must pass its client to drizzle(), or the queries run outside of the engine or session: (client) => drizzle({ client, schema })',
    )
  const kind = (session?.constructor as Record<symbol, unknown> | undefined)?.[ENTITY_KIND]
  if (typeof kind === 'string' && !kind.startsWith('NodePg'))
    throw new InvalidOptionError(
      'make',
      `drizzleOn needs drizzle() of drizzle-orm/node-postgres, and this database is made by another driver (${kind})`,
    )
}

/** By which Drizzle knows its own classes. */
const ENTITY_KIND = Symbol.for('drizzle:entityKind')

interface DatabaseParts<Database> {
  readonly client: Client
  readonly begin: Begin
  readonly make: (client: PoolClient) => Database
}

/** Puts blocks of Lifeguard in the place of Drizzle's transactions. */
function withTransactions<Database extends object>(
  database: Database,
  { client, begin, make }: DatabaseParts<Database>,
): Database {
  const { session } = Object(database) as Partial<Replaceable>
  if (typeof session?.transaction !== 'function')
    throw new InvalidOptionError(
      'make',
      'The function that drizzleOn gets must return a database of drizzle-orm/node-postgres: (client) => drizzle({ client, schema })',
    )
  session.transaction = async (work, modes) =>
    await begin(modes ?? {}, async (inside, nest, depth) => {
      const copied = rebound(database, client, inside)
      const transaction =
        copied === undefined
          ? databaseOn(inside, nest, make)
          : withTransactions(copied, { client: inside, begin: nest, make })
      const members: TransactionMembers = {
        rollback: () => {
          throw new TransactionRollbackError()
        },
        setTransaction: (changed) => inside.setModes(changed),
        nestedIndex: depth,
      }
      return await work(Object.assign(transaction, members) as never)
    })
  return database
}

function requireArguments(bind: unknown, make: unknown): void {
  const { execute, beginNested } = Object(bind) as Partial<Session>
  // A session may be one of another copy of the package.
  const isBind =
    bind instanceof Engine || (typeof execute === 'function' && typeof beginNested === 'function')
  if (!isBind)
    throw new InvalidOptionError(
      'bind',
      'drizzleOn takes an engine or a session first: drizzleOn(engine, (client) => drizzle({ client }))',
    )
  if (typeof make !== 'function')
    throw new InvalidOptionError(
      'make',
      'drizzleOn takes a function second, which makes the database: (client) => drizzle({ client, schema })',
    )
}
