/** What asks for pg's types takes the face without a cast. */
import { drizzle } from 'drizzle-orm/node-postgres'
import { PostgresDialect, type PostgresPool } from 'kysely'
import type pg from 'pg'
import { describe, expectTypeOf, test } from 'vitest'
import {
  asClient,
  asPool,
  poolFrom,
  Pool,
  type PoolClient,
  type SessionPool,
} from '../../src/integrations/pg-pool.js'
import type { Engine, Session } from '../../src/index.js'

declare const engine: Engine
declare const session: Session

describe('types of pg', () => {
  test('take the pool and its clients', () => {
    const pool: pg.Pool = poolFrom(engine)
    const own: pg.Pool = new Pool({ max: 1 })
    const joined: pg.Pool = asPool(session)
    const client: pg.PoolClient = asClient(session)
    expectTypeOf(client).toEqualTypeOf<pg.PoolClient>()
    expectTypeOf(pool).toEqualTypeOf(own)
    expectTypeOf(joined).toEqualTypeOf(own)
    expectTypeOf<PoolClient>().toExtend<pg.ClientBase>()
  })

  test('of Kysely and Drizzle as well', () => {
    expectTypeOf<Pool>().toExtend<PostgresPool>()
    expectTypeOf<SessionPool>().toExtend<PostgresPool>()
    new PostgresDialect({ pool: poolFrom(engine) })
    new PostgresDialect({ pool: asPool(session) })
    drizzle(poolFrom(engine))
    drizzle(asPool(session))
    drizzle({ client: asClient(session) })
  })
})

describe('query', () => {
  test('has the row type that the caller names; without one its columns are open, as in pg', async () => {
    const pool = poolFrom(engine)
    const named = await pool.query<{ id: number }>('select id from songs where id = $1', [1])
    expectTypeOf(named.rows).toEqualTypeOf<{ id: number }[]>()
    expectTypeOf(named.rowCount).toEqualTypeOf<number | null>()
    const open = await pool.query('select 1')
    expectTypeOf(open.rows[0]).toBeAny()
    const client = await pool.connect()
    expectTypeOf(client).toEqualTypeOf<PoolClient>()
    // @ts-expect-error values are a list
    await client.query('select $1', 1)
  })
})
