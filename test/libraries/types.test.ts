/** What is typed `pg.Pool` or a client of it in the libraries accepts ours without a cast. The compiler is the test: `tsc -p test/libraries`. */
import type { PrismaPg } from '@prisma/adapter-pg'
import type { BetterAuthOptions } from 'better-auth'
import type connectPgSimple from 'connect-pg-simple'
import type { RunnerOptions } from 'graphile-worker'
import type { Knex } from 'knex'
import type { Pool, PoolClient, SessionPool } from 'lifeguard/pg-pool'
import type { RunnerOption } from 'node-pg-migrate'
import type PgBoss from 'pg-boss'
import type { RateLimiterPostgres } from 'rate-limiter-flexible'
import type { DataSourceOptions } from 'typeorm'
import { expectTypeOf, test } from 'vitest'

type OfPostgres = Extract<DataSourceOptions, { type: 'postgres' }>
type LimiterOptions = ConstructorParameters<typeof RateLimiterPostgres>[0]

test('a pool of an engine, and of a session', () => {
  expectTypeOf<Pool>().toExtend<ConstructorParameters<typeof PrismaPg>[0]>()
  expectTypeOf<Pool>().toExtend<NonNullable<BetterAuthOptions['database']>>()
  expectTypeOf<Pool>().toExtend<NonNullable<connectPgSimple.PGStoreOptions['pool']>>()
  expectTypeOf<SessionPool>().toExtend<NonNullable<connectPgSimple.PGStoreOptions['pool']>>()
  expectTypeOf<Pool>().toExtend<NonNullable<RunnerOptions['pgPool']>>()
  expectTypeOf<Pool>().toExtend<NonNullable<Knex.Config['connectionPool']>>()
  expectTypeOf<Pool>().toExtend<LimiterOptions['storeClient']>()
  expectTypeOf<SessionPool>().toExtend<LimiterOptions['storeClient']>()
  expectTypeOf<{ Pool: new () => Pool }>().toExtend<OfPostgres['driver']>()
})

test('its clients, and its query', () => {
  expectTypeOf<PoolClient>().toExtend<NonNullable<Extract<RunnerOption, { dbClient: unknown }>['dbClient']>>()
  expectTypeOf((pool: Pool): PgBoss.Db => ({
    executeSql: (text, values) => pool.query(text, values),
  })).toBeFunction()
})
