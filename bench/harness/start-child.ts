/** A fresh process: `node start-child.js MODULE URL SCHEDULE`, started by `start-runs.ts`. Prints what it took as JSON. */
import type { Open } from './contender.js'

/** What a fresh process does. */
export interface StartSchedule {
  /** The workloads whose transactions alternate. */
  readonly workloads: readonly string[]
  readonly callers: number
  /** After so many transactions the clock is read. */
  readonly marks: readonly number[]
  /** After so many transactions, or at the last mark, memory and CPU time are read. */
  readonly weighAt: number
}

/** What one fresh process took. */
export interface StartSample {
  readonly importMillis: number
  /** From the call that connects until so many transactions had ended: one for each mark. */
  readonly millis: readonly number[]
  /** CPU time of the process until `weighAt`, from its start. */
  readonly cpuMillis: number
  readonly rssMegabytes: number
  readonly heapMegabytes: number
}

const [module = '', url = '', schedule = '{}'] = process.argv.slice(2)
const { workloads, callers, marks, weighAt } = JSON.parse(schedule) as StartSchedule

const startedAt = performance.now()
const { open } = (await import(module)) as { open: Open }
const importedAt = performance.now()
const contender = await open(url, undefined)

const total = marks[marks.length - 1] ?? 0
const millis: number[] = []
let begun = 0
let ended = 0
let weight: Omit<StartSample, 'importMillis' | 'millis'> | undefined

await transaction()
await Promise.all(Array.from({ length: callers }, caller))
await contender.close()
const sample = { importMillis: importedAt - startedAt, millis, ...(weight ?? weigh()) }
process.stdout.write(JSON.stringify(sample satisfies StartSample))

async function caller(): Promise<void> {
  while (begun < total) await transaction()
}

async function transaction(): Promise<void> {
  const workload = workloads[begun % workloads.length] ?? ''
  begun += 1
  await contender.runs[workload]?.(1)
  ended += 1
  if (ended === marks[millis.length]) millis.push(performance.now() - importedAt)
  if (ended === weighAt) weight = weigh()
}

function weigh(): Omit<StartSample, 'importMillis' | 'millis'> {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  return {
    cpuMillis: (user + system) / 1_000,
    rssMegabytes: rss / 2 ** 20,
    heapMegabytes: heapUsed / 2 ** 20,
  }
}
