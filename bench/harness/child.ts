/** The process of one contender: `node child.js MODULE [VARIANT]`, forked by `processes.ts`. */
import type { Contender, Open, Reply, Request, Sample, Slice } from './contender.js'

const [module = '', variant] = process.argv.slice(2)
const { open } = (await import(module)) as { open: Open }
let contender: Contender | undefined

/** Run before each slice and not counted, as a share of it. */
const LEAD_IN = 0.25

process.on('message', (request: Request) => {
  answer(request).then(reply, (error: unknown) => {
    reply({ kind: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  })
})
// The parent has gone, in whatever way.
process.on('disconnect', () => process.exit())

function reply(message: Reply): void {
  process.send?.(message)
}

async function answer(request: Request): Promise<Reply> {
  switch (request.kind) {
    case 'open':
      await contender?.close()
      contender = await open(request.url, variant)
      return { kind: 'opened', workloads: Object.keys(contender.runs) }
    case 'run':
      return { kind: 'sample', sample: await measure(request.slice) }
    case 'weigh':
      return { kind: 'weight', bytes: await weigh() }
  }
}

async function measure({ workload, callers, millis, cycles }: Slice): Promise<Sample> {
  const run = contender?.runs[workload]
  if (run === undefined) throw new Error(`No such workload here: ${workload}`)
  const runFor = async (duration: number): Promise<number> => {
    let operations = 0
    const startedAt = performance.now()
    const caller = async (): Promise<void> => {
      do {
        await run(cycles)
        operations += cycles
      } while (performance.now() - startedAt < duration)
    }
    await Promise.all(Array.from({ length: callers }, caller))
    return operations
  }
  // While this process waited, another one had the caches.
  await runFor(millis * LEAD_IN)
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const operations = await runFor(millis)
  const seconds = (performance.now() - startedAt) / 1_000
  const cpu = process.cpuUsage(cpuBefore)
  return { operationsPerSecond: operations / seconds, cpuMicros: (cpu.user + cpu.system) / operations }
}

/** What the heap holds more for each entity while they are held, in bytes. */
async function weigh(): Promise<number> {
  const { hold } = contender ?? {}
  if (hold === undefined || gc === undefined)
    throw new Error('Nothing to weigh, or not started with --expose-gc')
  const heap = (): number => {
    gc?.()
    return process.memoryUsage().heapUsed
  }
  // Once for the code and the caches of it.
  await hold(() => undefined)
  const before = heap()
  let during = before
  const entities = await hold(() => (during = heap()))
  return (during - before) / entities
}
