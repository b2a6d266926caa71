/** rate-limiter-flexible: it makes its table, counts across clients, and blocks. */
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { expect, test } from 'vitest'
import { checkLibrary } from './checks.js'

function limiterOn(pool: Pool, points: number, tableName = 'limits'): Promise<RateLimiterPostgres> {
  return new Promise((resolve, reject) => {
    const limiter: RateLimiterPostgres = new RateLimiterPostgres(
      { storeClient: pool, tableName, keyPrefix: 'test', points, duration: 60, clearExpiredByTimeout: false },
      (error?: Error | null) => (error ? reject(error) : resolve(limiter)),
    )
  })
}

const fixture = checkLibrary('rate-limiter-flexible', {
  open: async (pool) => {
    const limiter = await limiterOn(pool, 1_000_000)
    return {
      table: 'limits',
      job: () => limiter.consume('a'),
      failures: { 'a table that is not there': () => limiterOn(pool, 1, 'no_schema"."x') },
    }
  },
})

test('rate-limiter-flexible counts what many ask for at once exactly, and forgets what it is told to', async () => {
  const limiter = await limiterOn(poolFrom(fixture.engine()), 5)
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => limiter.consume('b')))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5)
  const refused = results.find(({ status }) => status === 'rejected') as PromiseRejectedResult
  expect(refused.reason).toBeInstanceOf(RateLimiterRes)
  expect((await limiter.get('b'))?.remainingPoints).toBe(0)
  await limiter.delete('b')
  expect((await limiter.consume('b')).remainingPoints).toBe(4)
  await limiter.block('b', 60)
  await expect(limiter.consume('b')).rejects.toBeInstanceOf(RateLimiterRes)
})
