/** Fails the test after which something is left over. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { waitUntil } from './wait-until.js'

/** An engine, or a pool, as far as this file cares. */
export interface Watched {
  stats(): { readonly borrowed: number; readonly waiting: number }
}

/** What keeps a process alive and is worth a test's failure; timers are not, the test runner has its own. */
const HANDLES = [
  'TCPSocketWrap',
  'TCPServerWrap',
  'TCPConnectWrap',
  'TLSWrap',
  'GetAddrInfoReqWrap',
  'PipeConnectWrap',
]

/**
 * Call it at the top of a test file, before any other hook. After every test, within the deadline, what was handed to the
 * function it returns must have lent nothing and have no waiting caller, and the process must hold no more sockets than
 * before the test (those of an idle pool do not count: they do not keep the process alive). And no promise may have been
 * rejected unheard.
 *
 * @example
 * const watch = guardLeaks()
 * const engine = watch(createEngine({ url }))
 */
export function guardLeaks({ deadlineMillis = 20_000 } = {}): <Engine extends Watched>(
  engine: Engine,
) => Engine {
  const watched = new Set<Watched>()
  const unheard: unknown[] = []
  const listener = (reason: unknown): void => void unheard.push(reason)
  let before = 0

  beforeEach(() => {
    unheard.length = 0
    before = countHandles()
    process.on('unhandledRejection', listener)
  })

  afterEach(async () => {
    // Unheard rejections are announced at the end of a turn of the event loop.
    await nextTurn()
    process.off('unhandledRejection', listener)
    expect(unheard, 'promises that were rejected unheard').toEqual([])
    for (const engine of watched) {
      const isClean = (): boolean => engine.stats().borrowed === 0 && engine.stats().waiting === 0
      const message = (): string => `every connection to be given back: ${JSON.stringify(engine.stats())}`
      await waitUntil(isClean, { deadlineMillis, message }).catch((error: unknown) => {
        // Once is enough: the tests after this one are innocent.
        watched.delete(engine)
        throw error
      })
    }
    await waitUntil(() => countHandles() <= before, {
      deadlineMillis,
      message: () =>
        `at most ${before} open sockets; there are ${process.getActiveResourcesInfo().join(', ')}`,
    })
  })

  return (engine) => {
    watched.add(engine)
    return engine
  }
}

function countHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => HANDLES.includes(name)).length
}
