/**
 * A process that runs cases of the wire fuzzer; see `wire-fuzz.test.ts`. Each case says when it begins and when it ends, so that
 * the process that started it knows which ones it is busy with.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LifeguardError, createEngine } from '../../src/index.js'
import { query } from '../helpers/databases.js'
import { waitUntil } from '../helpers/wait-until.js'
import { Random } from './support-random.js'
import { startFuzzProxy } from './wire-fuzz-proxy.js'
import { type Ending, drawWork, recover, run } from './wire-fuzz-work.js'

const [firstSeed = 1, cases = 1, workers = 8] = process.argv.slice(2).map(Number)
const url = process.env['DATABASE_URL'] ?? ''
/** Whatever waits for an answer that never comes is given up after this time. */
const LIMIT_MILLIS = 600
/** Whatever ends later than this hangs. */
const HANG_MILLIS = 20_000
/** A machine under load may need more than `LIMIT_MILLIS` for each connect, for half a minute. A success never waits. */
const RECOVERY_MILLIS = 45_000

const busy = new Set<number>()
function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    say({
      fault: `${event}: ${error instanceof Error ? String(error.stack) : String(error)}`,
      busy: [...busy],
    })
  })
}

async function runCase(seed: number): Promise<void> {
  const random = new Random(seed)
  const work = drawWork(random)
  const proxy = await startFuzzProxy(url, random)
  const mark = `m${seed}`
  const engine = createEngine({
    url: proxy.url,
    connectArgs: { sslmode: 'disable' },
    poolSize: 1 + Math.floor(random.next() * 2),
    maxOverflow: 0,
    pipelining: true,
    poolTimeoutMillis: 5_000,
    connectTimeoutMillis: LIMIT_MILLIS,
    prePingTimeoutMillis: LIMIT_MILLIS,
  })
  const faults: string[] = []
  let ending: Ending | undefined
  try {
    ending = await inTime(
      'the work',
      run(work, { engine, directUrl: url, mark, limitMillis: LIMIT_MILLIS }),
      faults,
    )
    proxy.pass()
    const noticeable = proxy.mutation?.noticeable !== false
    if (ending !== undefined) {
      const { error, wrong, stored } = ending
      if (noticeable) faults.push(...wrong.map((what) => `told what is wrong: ${what}`))
      if (error !== undefined && !isCoded(error))
        faults.push(`an error without a code: ${inspectError(error)}`)
      const recovery = recover(engine, RECOVERY_MILLIS)
      faults.push(...((await inTime('the recovery', recovery, faults, RECOVERY_MILLIS + 5_000)) ?? []))
      await inTime('dispose()', engine.dispose({ timeoutMillis: 2_000 }), faults)
      const { borrowed, waiting } = engine.stats()
      if (borrowed !== 0 || waiting !== 0)
        faults.push(`the pool is not clean: ${JSON.stringify(engine.stats())}`)
      await waitUntil(() => proxy.openSockets === 0, {
        deadlineMillis: HANG_MILLIS,
        message: () => 'no open socket after dispose()',
      }).catch((failure: unknown) => faults.push(String(failure)))
      // Every backend has ended with its socket, so what it was to store is stored.
      if (noticeable && stored !== undefined) {
        const isStored = (await query(url, 'select 1 from marks where id = $1', [mark])).length === 1
        if (isStored !== stored)
          faults.push(`told ${stored ? 'stored' : `not stored (${inspectError(error)})`}, which is not so`)
      }
    }
  } finally {
    proxy.close()
  }
  const { name = 'nothing', of = '' } = proxy.mutation ?? {}
  const told = ending === undefined ? 'nothing' : ending.error === undefined ? 'done' : codeOf(ending.error)
  say({ seed, work, mutation: of === '' ? name : `'${of}': ${name}`, told, faults })
}

/** Its value; if it hangs, that is a fault. */
async function inTime<Value>(
  what: string,
  promise: Promise<Value>,
  faults: string[],
  millis = HANG_MILLIS,
): Promise<Value | undefined> {
  const timer = new AbortController()
  const late = pause(millis, undefined, { signal: timer.signal, ref: true }).then(
    () => {
      faults.push(`${what} hangs`)
      return undefined
    },
    () => undefined,
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}

/** Codes of Lifeguard, and what a signal is expected to say. */
function isCoded(error: unknown): boolean {
  return (
    error instanceof LifeguardError ||
    (error as Error).name === 'AbortError' ||
    (error as Error).name === 'TimeoutError'
  )
}

function codeOf(error: unknown): string {
  return error instanceof LifeguardError ? error.code : (error as Error).name
}

function inspectError(error: unknown): string {
  const { message, cause } = error as Error
  return `${codeOf(error)} ${message.slice(0, 200)}${cause === undefined ? '' : ` <- ${inspectError(cause)}`}`
}

let next = firstSeed
async function worker(): Promise<void> {
  while (next < firstSeed + cases) {
    const seed = next++
    busy.add(seed)
    say({ begins: seed })
    await runCase(seed).catch((error: unknown) => say({ seed, fault: String((error as Error).stack) }))
    busy.delete(seed)
  }
}
await Promise.all(Array.from({ length: workers }, worker))
say({ over: true })
process.exit(0)
