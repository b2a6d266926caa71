import { expect, test } from 'vitest'
import { captureCallSite, CallSites, type CallSite } from '../../../src/pool/call-site.js'

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

test('callers that come the same way share one call site, also after many others have come', () => {
  const callSites = new CallSites()
  const askers = Array.from({ length: 1_200 }, (_, index) => askerNamed(`caller${index}`, callSites))
  const here = (): CallSite => callSites.capture(here)
  const asked = Array.from({ length: 3 }, () => here())
  expect(new Set(asked).size).toBe(1)
  expect(asked[0]?.stack).toContain('call-site.test')
  askers.forEach((ask, index) => expect(ask().stack).toContain(`caller${index} `))
  const again = Array.from({ length: 3 }, () => here())
  expect(new Set(again).size).toBe(1)
})

/** A function whose name stands in the stack. */
function askerNamed(name: string, callSites: CallSites): () => CallSite {
  const asker = { [name]: (): CallSite => callSites.capture(CallSites.prototype.capture) }
  return asker[name] as () => CallSite
}
