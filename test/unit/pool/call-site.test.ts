import { describe, expect, onTestFinished, test, vi } from 'vitest'
import * as ownFrames from '../../../src/internal/own-frames.js'
import { captureCallSite, CallSites, type CallSite } from '../../../src/pool/call-site.js'
import { makePool } from './make-pool.js'

test('a call site has room for the frames of the library beside those of its caller', () => {
  const limit = Error.stackTraceLimit
  const deep = (depth: number): CallSite => (depth === 0 ? captureCallSite(deep) : deep(depth - 1))
  const outermost = (): CallSite => deep(0)
  expect(outermost().stack).toContain('outermost')
  const below = (depth: number): CallSite =>
    depth === 0 ? captureCallSite(captureCallSite) : below(depth - 1)
  const frames = below(100).stack.split('\n').slice(1)
  expect(frames).toHaveLength(limit)
  expect(Error.stackTraceLimit).toBe(limit)
})

test('the call sites of callers that come the same way have one text, also after many others have come', () => {
  const callSites = new CallSites()
  const askers = Array.from({ length: 1_200 }, (_, index) => askerNamed(`caller${index}`, callSites))
  const here = (): CallSite => callSites.capture(here)
  const ask = (): void => {
    const made = vi.spyOn(ownFrames, 'withoutOwnFrames')
    for (const { stack } of Array.from({ length: 3 }, () => here())) expect(stack).toContain('call-site.test')
    expect(made).toHaveBeenCalledTimes(1)
    made.mockRestore()
  }
  ask()
  askers.forEach((asker, index) => expect(asker().stack).toContain(`caller${index} `))
  ask()
})

describe('The text of a call site is made', () => {
  test('when it is read, and once', () => {
    const { prepareStackTrace } = Error
    onTestFinished(() => {
      Error.prepareStackTrace = prepareStackTrace
    })
    let made = 0
    Error.prepareStackTrace = (_, frames) => {
      made += 1
      return `Error\n    at ${String(frames[0])}`
    }
    const site = new CallSites().capture(CallSites.prototype.capture)
    expect(made).toBe(0)
    const { stack } = site
    expect(stack).toContain('call-site.test')
    expect(site.stack).toBe(stack)
    expect(made).toBe(1)
  })

  test('by the pool if its connection is still checked out when leaks are looked for: it may keep the lease alive', async () => {
    const { pool, clock } = makePool({ captureStacks: true, leakDetectionMillis: 1_000 })
    const site = countingSite()
    const lease = await pool.acquire({ callSite: site })
    expect(site.reads).toBe(0)
    await clock.advance(600)
    expect(site.reads).toBe(1)
    lease.release()
  })

  test('never once it was forgotten, unless it was read before', () => {
    const callSites = new CallSites()
    const [forgotten, read] = [
      callSites.capture(CallSites.prototype.capture),
      callSites.capture(CallSites.prototype.capture),
    ]
    const { stack } = read
    for (const site of [forgotten, read]) site.forget?.()
    expect([forgotten.stack, read.stack]).toEqual(['', stack])
  })

  test('by the pool if many wait: unread ones take memory', async () => {
    const { pool } = makePool({ captureStacks: true, poolSize: 1, maxOverflow: 0, poolTimeoutMillis: null })
    const lease = await pool.acquire()
    const sites = Array.from({ length: 70 }, countingSite)
    const waiting = sites.map((callSite) => pool.acquire({ callSite }))
    expect(sites.map(({ reads }) => reads).lastIndexOf(0)).toBe(63)
    lease.release()
    for (const next of waiting) (await next).release()
  })
})

/** Counts how often its text is read. */
function countingSite(): CallSite & { readonly reads: number } {
  let reads = 0
  return {
    get stack() {
      reads += 1
      return 'Error\n    at somewhere'
    },
    get reads() {
      return reads
    },
  }
}

/** A function whose name stands in the stack. */
function askerNamed(name: string, callSites: CallSites): () => CallSite {
  const asker = { [name]: (): CallSite => callSites.capture(CallSites.prototype.capture) }
  return asker[name] as () => CallSite
}
