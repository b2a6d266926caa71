/** Which host is tried when, and what ends the search. Time is owned. */
import { expect, test } from 'vitest'
import { type HostFailure, NoHostError, searchHosts, shuffle } from '../../../src/driver/host-search.js'
import { resolveConnectOptions } from '../../../src/driver/connect-options.js'
import type { HostTarget } from '../../../src/driver/hosts.js'
import type { Clock } from '../../../src/internal/clock.js'

interface Attempt {
  readonly host: HostTarget
  readonly signal: AbortSignal
  socketOpens(): void
  gives(connection: string): Promise<void>
  fails(error?: Error): Promise<void>
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A search among `a`, `b` and `c`, whose attempts the test settles. */
function search(options: { readonly isFinal?: (error: unknown) => boolean } = {}): {
  readonly attempts: Attempt[]
  readonly discarded: string[]
  readonly caller: AbortController
  readonly result: Promise<string>
  pass(millis: number): void
  names(): string[]
} {
  let now = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  const clock: Clock = {
    now: () => now,
    setTimer: (callback, millis) => {
      const timer = { at: now + millis, callback }
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
  }
  const attempts: Attempt[] = []
  const discarded: string[] = []
  const caller = new AbortController()
  const result = searchHosts<string>({
    hosts: resolveConnectOptions({ host: 'a,b,c', user: 'me' }, {}).hosts,
    attempt: (host, signal, onSocket) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error))
        attempts.push({
          host,
          signal,
          socketOpens: onSocket,
          gives: (connection) => (resolve(connection), turn()),
          fails: (error = new Error(`${host.host} is down`)) => (reject(error), turn()),
        })
      }),
    discard: (late) => discarded.push(late),
    isFinal: options.isFinal ?? (() => false),
    clock,
    signal: caller.signal,
  })
  result.catch(() => undefined)
  const pass = (millis: number): void => {
    now += millis
    for (const timer of [...timers]) {
      if (timer.at > now || !timers.delete(timer)) continue
      timer.callback()
    }
  }
  return { attempts, discarded, caller, result, pass, names: () => attempts.map(({ host }) => host.host) }
}

async function failuresOf(result: Promise<unknown>): Promise<readonly HostFailure[]> {
  const error = await result.catch((thrown: unknown) => thrown)
  if (error instanceof NoHostError) return error.failures
  throw new Error('It did not fail')
}

test('the first host alone is tried while it answers', async () => {
  const { attempts, result, pass, names } = search()
  pass(200)
  attempts[0]?.socketOpens()
  pass(60_000)
  expect(names()).toEqual(['a'])
  await attempts[0]?.gives('connection to a')
  expect(await result).toBe('connection to a')
})

test('a host that fails is followed by the next at once', async () => {
  const { attempts, result, names } = search()
  await attempts[0]?.fails()
  expect(names()).toEqual(['a', 'b'])
  await attempts[1]?.gives('connection to b')
  expect(await result).toBe('connection to b')
})

test('a host that opens no socket is joined by the next, and the first that gives a connection wins', async () => {
  const { attempts, discarded, result, pass, names } = search()
  pass(249)
  expect(names()).toEqual(['a'])
  pass(1)
  expect(names()).toEqual(['a', 'b'])
  pass(250)
  expect(names()).toEqual(['a', 'b', 'c'])
  await attempts[1]?.gives('connection to b')
  expect(await result).toBe('connection to b')
  expect(attempts.map(({ signal }) => signal.aborted)).toEqual([true, false, true])
  expect(discarded).toEqual([])
})

test('a connection that comes after another one was taken is discarded', async () => {
  const { attempts, discarded, result, pass } = search()
  pass(250)
  const both = [attempts[0], attempts[1]].map(
    (attempt) => attempt?.gives(`connection to ${attempt.host.host}`) ?? turn(),
  )
  await Promise.all(both)
  expect(await result).toBe('connection to a')
  expect(discarded).toEqual(['connection to b'])
})

test('a failure of an earlier host begins nothing while a later one is under way', async () => {
  const { attempts, pass, names, result } = search()
  pass(250)
  attempts[1]?.socketOpens()
  await attempts[0]?.fails()
  pass(10_000)
  expect(names()).toEqual(['a', 'b'])
  await attempts[1]?.fails()
  expect(names()).toEqual(['a', 'b', 'c'])
  await attempts[2]?.gives('connection to c')
  expect(await result).toBe('connection to c')
})

test('if all fail, each says why', async () => {
  const { attempts, result } = search()
  for (const at of [0, 1, 2]) await attempts[at]?.fails()
  expect((await failuresOf(result)).map(({ host, error }) => [host.host, String(error)])).toEqual([
    ['a', 'Error: a is down'],
    ['b', 'Error: b is down'],
    ['c', 'Error: c is down'],
  ])
})

test('a final failure ends the search', async () => {
  const { attempts, result, names, pass } = search({ isFinal: () => true })
  pass(250)
  await attempts[0]?.fails()
  expect(await failuresOf(result)).toHaveLength(1)
  expect(attempts[1]?.signal.aborted).toBe(true)
  expect(names()).toEqual(['a', 'b'])
})

test('an abort ends every attempt and begins no other', async () => {
  const { caller, result, pass, names } = search()
  pass(250)
  caller.abort(new Error('gone'))
  expect((await failuresOf(result)).map(({ error }) => String(error))).toEqual(['Error: gone', 'Error: gone'])
  pass(10_000)
  expect(names()).toEqual(['a', 'b'])
})

test('shuffled hosts are the same hosts, each of them first at times', () => {
  const { hosts } = resolveConnectOptions({ host: 'a,b,c', user: 'me' }, {})
  const firsts = new Set<string | undefined>()
  for (let run = 0; run < 200; run += 1) {
    const order = shuffle(hosts)
    expect(new Set(order)).toEqual(new Set(hosts))
    firsts.add(order[0]?.host)
  }
  expect(firsts).toEqual(new Set(['a', 'b', 'c']))
})
