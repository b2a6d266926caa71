/** What a flow of control has written: positions, tokens, and the replicas that are asked. */
import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { Engine } from '../../../src/engine/engine.js'
import type { Clock } from '../../../src/internal/clock.js'
import {
  endOfWrites,
  formatWalPosition,
  parseWalPosition,
  readWalPosition,
  type WalPosition,
} from '../../../src/internal/wal-position.js'
import { Causality, CausalFlows, readToken } from '../../../src/session/causality.js'
import { orderReplicas, Replica } from '../../../src/session/replicas.js'

const at = (lsn: bigint, timeline = 1, system = '7'): WalPosition => ({ system, timeline, lsn })

describe('a position', () => {
  test.each([
    ['0/0', 0n],
    ['0/1A20018', 0x1a20018n],
    ['A/FF', 0xa000000ffn],
    ['FFFFFFFF/FFFFFFFF', 0xffff_ffff_ffff_ffffn],
  ])('%s is read and written', (text, lsn) => {
    expect(parseWalPosition(text)).toBe(lsn)
    expect(formatWalPosition(lsn)).toBe(text)
  })

  test.each(['', '0', '0/', '/0', '0/123456789', 'x/0', '0/0 ', '-1/0'])('%j is none', (text) => {
    expect(parseWalPosition(text)).toBeUndefined()
  })

  test.each([
    [0x1a20018n, 0x1a20000n],
    [0x1000028n, 0x1000000n],
    [0x1a20020n, 0x1a20020n],
    [0x1a20000n, 0x1a20000n],
  ])('%s behind the header of a page stands for %s', (insert, end) => {
    expect(endOfWrites(insert)).toBe(end)
  })

  test('is not known if the answer misses a part', () => {
    const row = { lsn: '0/2A', timeline: '0000000A', system: '7' }
    expect(readWalPosition([row])).toEqual(at(42n, 10))
    for (const name of ['lsn', 'timeline', 'system'] as const) {
      expect(readWalPosition([{ ...row, [name]: undefined }])).toBeUndefined()
    }
    expect(readWalPosition([])).toBeUndefined()
  })
})

describe('of two positions', () => {
  const needed = (...positions: readonly (WalPosition | 'primary')[]): unknown => {
    const causality = new Causality()
    for (const position of positions) causality.add(position)
    return causality.needed
  }

  test.each([
    ['the further one counts', at(5n), at(9n), at(9n)],
    ['the one of the later timeline counts, wherever it is', at(9n, 1), at(5n, 2), at(5n, 2)],
    ['of two clusters neither can be compared', at(5n, 1, '7'), at(9n, 1, '8'), 'primary'],
    ['one that is not known means the primary', at(5n), 'primary' as const, 'primary'],
  ])('%s', (_what, one, other, result) => {
    expect(needed(one, other)).toEqual(result)
    expect(needed(other, one)).toEqual(result)
  })

  test('a write whose position is known comes after one whose position was not', () => {
    const causality = new Causality()
    causality.stored(undefined)
    expect(causality.needed).toBe('primary')
    causality.stored(at(3n))
    expect(causality.needed).toEqual(at(3n))
  })
})

describe('a token', () => {
  test('is undefined before the first write, and then carries the position', () => {
    const causality = new Causality()
    expect(causality.token).toBeUndefined()
    causality.stored(undefined)
    expect(readToken(String(causality.token))).toBe('primary')
  })

  test('gives any position back, is short, and fits into a header', () => {
    const systems = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    const lsns = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    fc.assert(
      fc.property(systems, fc.integer({ min: 1, max: 2 ** 32 - 1 }), lsns, (system, timeline, lsn) => {
        const causality = new Causality()
        causality.stored({ system: String(system), timeline, lsn })
        const token = String(causality.token)
        expect(token).toMatch(/^[\w-]{1,99}$/)
        expect(readToken(token)).toEqual({ system: String(system), timeline, lsn })
      }),
    )
  })

  test('of any other text means the primary', () => {
    fc.assert(fc.property(fc.string(), (text) => void expect(readToken(text)).toBe('primary')))
  })
})

describe('a flow of control', () => {
  test('begins where it is first asked for, and goes on behind await', async () => {
    const flows = new CausalFlows()
    const request = async (): Promise<[Causality, Causality]> => {
      const first = flows.current()
      await Promise.resolve()
      return [first, flows.current()]
    }
    const [one, other] = await Promise.all([Promise.resolve().then(request), Promise.resolve().then(request)])
    expect(one[0]).toBe(one[1])
    expect(other[0]).toBe(other[1])
    expect(one[0]).not.toBe(other[0])
  })
})

describe('replicas', () => {
  let now = 0
  const clock: Clock = { now: () => now, setTimer: () => ({ cancel: () => undefined }) }
  const replica = (): Replica => new Replica({} as Engine, clock)

  test('are asked in the order of their use, those that are past the position first', () => {
    const [busy, idle, past] = [replica(), replica(), replica()]
    busy.inFlight = 3
    past.inFlight = 9
    past.reached(at(10n))
    expect(orderReplicas([busy, idle, past], undefined)).toEqual([idle, busy, past])
    expect(orderReplicas([busy, idle, past], at(10n))).toEqual([past, idle, busy])
    expect(orderReplicas([busy, idle, past], at(11n))).toEqual([idle, busy, past])
  })

  test('are past a position of their own timeline and cluster only', () => {
    const one = replica()
    one.reached(at(10n, 2))
    expect(
      [at(10n, 2), at(9n, 2), at(11n, 2), at(9n, 1), at(9n, 2, '8')].map((position) => one.isPast(position)),
    ).toEqual([true, true, false, false, false])
    one.reached(at(9n, 2))
    expect(one.isPast(at(10n, 2))).toBe(true)
  })

  test('that fail are left out, each time for twice as long, up to 30 s; one that answers begins anew', () => {
    const one = replica()
    const pauses: number[] = []
    for (let failure = 0; failure < 7; failure += 1) {
      one.eject()
      const since = now
      while (!one.isIn) now += 500
      pauses.push(now - since)
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
    one.answered()
    one.eject()
    now += 1000
    expect(orderReplicas([one], undefined)).toEqual([one])
  })
})
