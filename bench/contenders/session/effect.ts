/** Effect's PostgreSQL client, whose queries share connections (`multiplex`), as its documentation shows it. It has no other statements here. */
import { PgClient } from '@effect/sql-pg'
import { Effect, ManagedRuntime, Redacted } from 'effect'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item } from '../../harness/session-workloads.js'

export const open: Open = async (url) => {
  const runtime = ManagedRuntime.make(
    PgClient.layer({ url: Redacted.make(url), maxConnections: POOL_SIZE, multiplex: true }),
  )
  const sql = await runtime.runPromise(PgClient.PgClient)
  return sessionContender({
    autocommit: async (id) => {
      const rows = await Effect.runPromise(sql<Item>`SELECT id, name, price, note FROM item WHERE id = ${id}`)
      return rows[0]
    },
    close: () => runtime.dispose(),
  })
}
