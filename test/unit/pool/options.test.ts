import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { InvalidOptionError } from '../../../src/errors.js'
import { NullPool } from '../../../src/pool/null-pool.js'
import type { PoolOptions } from '../../../src/pool/options.js'
import { POOL_OPTION_NAMES, resolvePoolOptions } from '../../../src/pool/resolve-options.js'
import { QueuePool } from '../../../src/pool/queue-pool.js'

afterEach(() => void vi.unstubAllEnvs())

describe('The options of a pool', () => {
  it('have the documented defaults', () => {
    vi.stubEnv('NODE_ENV', 'production')
    expect(resolvePoolOptions()).toEqual({
      poolSize: 5,
      maxOverflow: 10,
      poolTimeoutMillis: 30_000,
      poolRecycleMillis: 1_800_000,
      poolPrePing: true,
      prePingSkipMillis: 500,
      prePingTimeoutMillis: 1_000,
      poolUseLifo: true,
      poolResetOnReturn: 'rollback',
      idleTimeoutMillis: 600_000,
      minIdle: 0,
      openMinIdle: true,
      keepAliveMillis: 120_000,
      maxWaiting: Infinity,
      maxConnecting: 2,
      connectTimeoutMillis: 10_000,
      connectRetry: 'wait',
      leakDetectionMillis: 0,
      captureStacks: false,
      poolClass: QueuePool,
    })
  })

  it('take undefined for left out', () => {
    const absent = Object.fromEntries(POOL_OPTION_NAMES.map((name) => [name, undefined]))
    expect(resolvePoolOptions(absent)).toEqual(resolvePoolOptions())
  })

  it('capture stacks unless in production', () => {
    vi.stubEnv('NODE_ENV', 'development')
    expect(resolvePoolOptions().captureStacks).toBe(true)
    expect(resolvePoolOptions({ captureStacks: false }).captureStacks).toBe(false)
  })

  it('are frozen, and a later change of the input changes nothing', () => {
    const input = { poolSize: 3 }
    const options = resolvePoolOptions(input)
    input.poolSize = 4
    expect(options.poolSize).toBe(3)
    expect(Object.isFrozen(options)).toBe(true)
  })

  it.each<PoolOptions>([
    { poolSize: 0 },
    { poolSize: 0, maxOverflow: -1 },
    { maxOverflow: 0 },
    { maxOverflow: -1 },
    { poolTimeoutMillis: 0 },
    { poolTimeoutMillis: null },
    { poolRecycleMillis: -1 },
    { prePingSkipMillis: 0 },
    { poolResetOnReturn: false },
    { idleTimeoutMillis: -1 },
    { keepAliveMillis: -1 },
    { maxWaiting: 0 },
    { maxConnecting: Infinity },
    { leakDetectionMillis: 0.5 },
    { minIdle: 5 },
    { poolSize: 0, minIdle: 50 },
    { poolRecycleMillis: 300_000 },
    { idleTimeoutMillis: 1_000, keepAliveMillis: 5_000, minIdle: 1 },
    { poolClass: NullPool, poolTimeoutMillis: 5, connectTimeoutMillis: 5, leakDetectionMillis: 5 },
  ])('may be %j', (input) => {
    expect(resolvePoolOptions(input)).toMatchObject(input)
  })

  const impossible: Readonly<Record<string, readonly unknown[]>> = {
    poolSize: [-1, 1.5, NaN, Infinity, '5', null, true, {}, 1e21],
    maxOverflow: [-2, 0.5, Infinity, '10', null],
    poolTimeoutMillis: [-1, NaN, Infinity, '30000', true],
    poolRecycleMillis: [0, -2, null, Infinity, '1'],
    poolPrePing: ['yes', 1, null],
    prePingSkipMillis: [-1, null, Infinity],
    prePingTimeoutMillis: [0, -1, null, Infinity],
    poolUseLifo: ['lifo', 0, null],
    poolResetOnReturn: [true, 'commit', 'none', null, 0],
    idleTimeoutMillis: [0, -2, null, Infinity],
    minIdle: [-1, 0.5, null],
    openMinIdle: ['yes', 1, null],
    keepAliveMillis: [0, -2, null, Infinity],
    maxWaiting: [-1, 1.5, null],
    maxConnecting: [0, -1, 1.5, null],
    connectTimeoutMillis: [0, -1, null, Infinity],
    connectRetry: ['never', true, null],
    leakDetectionMillis: [-1, null, Infinity],
    captureStacks: ['production', 1, null],
    poolClass: ['NullPool', null, {}],
  }

  it('are all among the impossible ones tested here', () => {
    expect(Object.keys(impossible).sort()).toEqual([...POOL_OPTION_NAMES].sort())
  })

  it.each(
    Object.entries(impossible).flatMap(([name, values]) => values.map((value) => [name, value] as const)),
  )('%s cannot be %j', (name, value) => {
    const resolve = (): unknown => resolvePoolOptions({ [name]: value })
    expect(resolve).toThrow(InvalidOptionError)
    expect(resolve).toThrow(name)
  })

  it.each([
    [{ pool_size: 5 }, "a pool has no option 'pool_size'; did you mean 'poolSize'?"],
    [{ poolPreping: true }, "did you mean 'poolPrePing'?"],
    [{ max: 5 }, "a pool has no option 'max'"],
  ])('%j is refused with the nearest name', (input, message) => {
    expect(() => resolvePoolOptions(input as PoolOptions)).toThrow(message)
  })

  it.each<[PoolOptions, string]>([
    [{ poolSize: 0, maxOverflow: 5 }, 'maxOverflow has no effect with poolSize 0'],
    [{ poolSize: 2, minIdle: 3 }, 'minIdle 3 cannot be kept: no more than poolSize 2 connections stay idle'],
    [{ idleTimeoutMillis: 5_000, poolRecycleMillis: 5_000 }, 'idleTimeoutMillis 5000 is never reached'],
    [{ keepAliveMillis: 5_000, idleTimeoutMillis: 5_000 }, 'keepAliveMillis (5000) has no effect'],
    [{ prePingSkipMillis: 5, poolPrePing: false }, 'prePingSkipMillis has no effect with poolPrePing false'],
    [{ openMinIdle: false }, 'openMinIdle has no effect with minIdle 0'],
    [{ poolClass: NullPool, poolSize: 5 }, 'poolSize has no effect with NullPool'],
    [{ poolClass: NullPool, poolPrePing: true }, 'poolPrePing has no effect with NullPool'],
    [{ poolClass: NullPool, minIdle: 0 }, 'minIdle has no effect with NullPool'],
  ])('%o contradict each other', (input, message) => {
    expect(() => resolvePoolOptions(input)).toThrow(InvalidOptionError)
    expect(() => resolvePoolOptions(input)).toThrow(message)
  })

  it('cannot be anything but an object', () => {
    for (const input of [null, [], 'poolSize=5']) {
      expect(() => resolvePoolOptions(input as never)).toThrow('pool options must be an object')
    }
  })
})

describe('docs/pool.md', () => {
  const text = readFileSync(new URL('../../../docs/pool.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `(\w+)` +\|[^|]*\| ([^|]+?) +\|/gm)].map(
    ([, name = '', value = '']) => [name, value] as const,
  )

  it('lists every option once', () => {
    expect(rows.map(([name]) => name).sort()).toEqual([...POOL_OPTION_NAMES].sort())
  })

  it('tells the defaults as they are', () => {
    vi.stubEnv('NODE_ENV', 'production')
    const shown = (value: unknown): string => {
      if (typeof value === 'function') return `\`${value.name}\``
      return typeof value === 'string' ? `\`'${value}'\`` : String(value)
    }
    const defaults = Object.entries(resolvePoolOptions()).map(([name, value]) => [name, shown(value)])
    const exceptions = new Map([
      ['maxConnecting', '2 (NullPool: Infinity)'],
      ['captureStacks', 'true, but false in production'],
    ])
    expect(Object.fromEntries(rows)).toEqual({
      ...Object.fromEntries(defaults),
      ...Object.fromEntries(exceptions),
    })
  })

  it('explains every option', () => {
    for (const name of POOL_OPTION_NAMES) expect(text).toContain(`- **\`${name}\`**`)
  })
})
