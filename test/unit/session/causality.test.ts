/** What a flow of control has written: positions, tokens, and the replicas that are asked. */
import { AsyncResource } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { Engine } from '../../../src/engine/engine.js'
import type { DriverConnection } from '../../../src/driver/driver.js'
import type { EngineEvents } from '../../../src/engine/events.js'
import type { Clock } from '../../../src/internal/clock.js'
import {
  endOfWrites,
  formatWalPosition,
  parseWalPosition,
  readWalPosition,
  type WalPosition,
} from '../../../src/internal/wal-position.js'
import { CausalFlows } from '../../../src/session/causal-flows.js'
import { Causality, readToken, shownTimeline } from '../../../src/session/causality.js'
import { Emitter } from '../../../src/internal/emitter.js'
import { orderReplicas, Replica } from '../../../src/session/replicas.js'

const at = (lsn: bigint, timeline = 1, system = '7'): WalPosition => ({ system, timeline, lsn })

function tokenOf(position: WalPosition): string | undefined {
  const causality = new Causality()
  causality.add(position)
  return causality.token
}

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
    causality.storing()(undefined)
    expect(causality.needed).toBe('primary')
    causality.storing()(at(3n))
    expect(causality.needed).toEqual(at(3n))
  })
})

describe('a token', () => {
  test('is undefined before the first write, and then carries the position', () => {
    const causality = new Causality()
    expect(causality.token).toBeUndefined()
    causality.storing()(undefined)
    expect(readToken(String(causality.token))).toBe('primary')
  })

  test('gives any position back, is short, and fits into a header', () => {
    const systems = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    const lsns = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    fc.assert(
      fc.property(systems, fc.integer({ min: 1, max: 2 ** 32 - 1 }), lsns, (system, timeline, lsn) => {
        const causality = new Causality()
        causality.storing()({ system: String(system), timeline, lsn })
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

describe('a position that was asked for before something unknown', () => {
  test('says nothing of that', () => {
    const causality = new Causality()
    const tell = causality.storing()
    causality.storing()(undefined)
    tell(at(9n))
    expect(causality.needed).toBe('primary')
    causality.storing()(at(10n))
    expect(causality.needed).toEqual(at(10n))
  })

  test('of a primary that reads takes the place of everything before, of any cluster', () => {
    const causality = new Causality()
    causality.add(at(9n, 1))
    causality.add(at(1n, 9, '8'))
    expect(causality.needed).toBe('primary')
    const tell = causality.reading()
    tell(at(3n, 2))
    expect(causality.needed).toEqual(at(3n, 2))
  })

  test('of a primary that was superseded changes nothing in the flow around its reader', () => {
    const outer = new Causality()
    outer.storing()(at(1n, 9))
    const inner = new Causality(outer)
    inner.reading()(at(3n, 2))
    expect([inner.needed, outer.needed]).toEqual([at(3n, 2), at(1n, 9)])
    outer.storing()(undefined)
    new Causality(outer).reading()(at(3n, 2))
    expect(outer.needed).toBe('primary')
    expect(outer.latest).toEqual(at(1n, 9))
  })

  test('is the latest one of a part of a flow and of the flow around it, of one cluster', () => {
    const outer = new Causality()
    const part = new Causality(outer, { isPart: true })
    expect(part.latest).toBeUndefined()
    outer.storing()(at(5n, 3))
    part.add(at(9n, 2))
    expect(part.latest).toEqual(at(5n, 3))
    const foreign = new Causality(outer, { isPart: true })
    foreign.add(at(1n, 1, '8'))
    expect(foreign.latest).toEqual(at(1n, 1, '8'))
    expect(new Causality(outer).latest).toBeUndefined()
  })

  test('of a primary that reads counts as a write if something was written meanwhile', () => {
    const causality = new Causality()
    const tell = causality.reading()
    causality.storing()(at(7n))
    tell(at(5n))
    expect(causality.needed).toEqual(at(7n))
    const late = causality.reading()
    causality.storing()(undefined)
    late(at(9n))
    expect(causality.needed).toBe('primary')
  })
})

test.each<
  [what: string, latest: WalPosition | undefined, seen: readonly WalPosition[], timeline: number | undefined]
>([
  ['nothing is asked for', undefined, [at(9n, 3)], undefined],
  ['no server has shown anything', at(1n, 3), [], undefined],
  ['only another cluster has shown something', at(1n, 3), [at(9n, 4, '8')], undefined],
  ['a server has shown the timeline', at(1n, 3), [at(9n, 2), at(0n, 3)], 3],
  ['a server has shown a later one', at(1n, 3), [at(9n, 4)], 3],
  ['the servers have shown an earlier one', at(1n, 99), [at(9n, 2), at(9n, 3)], 3],
])('the timeline that the primary must have reached, if %s', (_, latest, seen, timeline) => {
  expect(shownTimeline(latest, seen)).toEqual(timeline && { system: at(0n).system, timeline })
})

describe('a flow of control', () => {
  const write = async (flows: CausalFlows, lsn: bigint): Promise<void> => {
    await Promise.resolve()
    flows.current().storing()(at(lsn))
  }

  test('knows what was written by a function that it awaits, no matter which of the two writes first', async () => {
    const flows = new CausalFlows()
    await write(flows, 5n)
    expect(flows.current().needed).toEqual(at(5n))
    await flows.run(() => write(flows, 7n), undefined)
    expect(flows.current().needed).toEqual(at(7n))
    await flows.run(async () => {
      await flows.run(() => write(flows, 8n), undefined)
      expect(flows.current().needed).toEqual(at(8n))
    }, undefined)
  })

  test('begun by run, does not see what others write', async () => {
    const flows = new CausalFlows()
    await flows.run(async () => {
      await Promise.resolve()
      flows.current()
      await new Promise<void>((resolve) => setImmediate(resolve))
      expect(flows.current().needed).toBeUndefined()
    }, undefined)
    await write(flows, 5n)
    flows.run(() => expect(flows.current().needed).toBeUndefined(), undefined)
  })

  test('begins with what the flow around it has written, its timeline and an unknown position included', async () => {
    const flows = new CausalFlows()
    const outside = AsyncResource.bind(() => flows.run(() => flows.current().needed, undefined))
    await flows.run(async () => {
      await write(flows, 5n)
      flows.run(() => expect(flows.current().needed).toEqual(at(5n)), undefined)
      flows.run(() => expect(flows.current().needed).toEqual(at(9n)), tokenOf(at(9n)))
      expect(flows.current().needed).toEqual(at(5n))
      flows.current().storing()(undefined)
      flows.run(() => {
        expect(flows.current().needed).toBe('primary')
        expect(flows.current().latest).toEqual(at(5n))
      }, undefined)
      expect(outside()).toBeUndefined()
    }, undefined)
  })

  test('may begin the next round of a worker in the round before, as often as it likes', async () => {
    const flows = new CausalFlows()
    const rounds = 20_000
    await new Promise<void>((resolve) => {
      const round = (number: number): void =>
        flows.run(() => {
          expect(flows.current().needed).toEqual(number === 0 ? undefined : at(BigInt(number)))
          flows.current().storing()(at(BigInt(number + 1)))
          flows.current().reading()(at(BigInt(number + 1)))
          if (number === rounds) resolve()
          else setImmediate(round, number + 1)
        }, undefined)
      round(0)
    })
    expect(flows.current().needed).toEqual(at(BigInt(rounds + 1)))
  })

  test('has the token of another process; one outside of every flow does not reach the rest of the process', async () => {
    const flows = new CausalFlows()
    flows.run(() => expect(flows.current().needed).toEqual(at(9n)), tokenOf(at(9n)))
    await Promise.resolve().then(() => {
      expect(flows.current('forged').needed).toBe('primary')
      expect(flows.current().needed).toBe('primary')
    })
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect(flows.token).toBeUndefined()
  })
})

describe('replicas', () => {
  let now = 0
  const clock: Clock = { now: () => now, setTimer: () => ({ cancel: () => undefined }) }
  let isAlive = false
  const engine = {
    internals: () => ({ events: new Emitter<EngineEvents>() }),
    check: () => Promise.resolve({ ok: isAlive }),
  } as unknown as Engine
  const replica = (): Replica => new Replica(engine, clock, 100)
  const connection = {} as DriverConnection

  test('are asked in the order of their use, those that are past the position first, those that were behind last', () => {
    const [busy, idle, past] = [replica(), replica(), replica()]
    busy.inFlight = 3
    past.inFlight = 9
    past.reached(at(10n), connection)
    expect(orderReplicas([busy, idle, past], undefined)).toEqual([idle, busy, past])
    expect(orderReplicas([busy, idle, past], at(10n))).toEqual([past, idle, busy])
    expect(orderReplicas([busy, idle, past], at(11n))).toEqual([idle, busy, past])
    idle.wasBehind()
    expect(orderReplicas([busy, idle, past], at(11n))).toEqual([busy, past, idle])
    now += 1000
    expect(orderReplicas([busy, idle, past], at(11n))).toEqual([idle, busy, past])
  })

  test('are past a position of their own timeline and cluster only, on the connection that has shown it', () => {
    const one = replica()
    one.reached(at(10n, 2), connection)
    const positions = [at(10n, 2), at(9n, 2), at(11n, 2), at(9n, 1), at(9n, 2, '8')]
    expect(positions.map((position) => one.isPast(position, connection))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
    expect(one.isPast(at(10n, 2), {} as DriverConnection)).toBe(false)
    one.reached(at(9n, 2), connection)
    expect(one.isPast(at(10n, 2), connection)).toBe(true)
  })

  test.each([-7, 1_926_000_000])(
    'behind a pooler, whose connections outlive their server, are past nothing (process id %s)',
    (processId) => {
      const one = replica()
      const [pooled, looksDirect] = [{ processId }, { processId: 4000 }] as DriverConnection[]
      for (const connection of [pooled, looksDirect] as DriverConnection[]) {
        one.reached(at(10n), connection)
        expect(one.isPast(at(10n), connection)).toBe(false)
      }
      expect(one.seemsPast(at(10n))).toBe(true)
    },
  )

  test('that fail are left out, each time for twice as long, up to 30 s, and are back when a probe is answered', async () => {
    const one = replica()
    const pauses: number[] = []
    for (let failure = 0; failure < 7; failure += 1) {
      if (failure === 0) one.eject(new Error('refused'))
      const since = now
      while (one.stats().ejections === failure + 1 && failure < 6) {
        now += 500
        one.probe()
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
      pauses.push(now - since)
      expect(orderReplicas([one], undefined)).toEqual([])
    }
    expect(pauses.slice(0, 6)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000])
    isAlive = true
    now += 30_000
    one.probe()
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect(orderReplicas([one], undefined)).toEqual([one])
    one.eject(new Error('refused'))
    one.eject(new Error('refused'))
    expect(one.stats().ejections).toBe(8)
    now += 1000
    one.probe()
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect(one.isIn).toBe(true)
  })
})
