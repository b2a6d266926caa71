/** The process of one contender: `node child.js MODULE [VARIANT]`, forked by `processes.ts`. */
import type { Contender, Open, Reply, Request, Sample, Slice } from './contender.js'

const [module = '', variant] = process.argv.slice(2)
const { open } = (await import(module)) as { open: Open }
let contender: Contender | undefined

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
  }
}

async function measure({ workload, callers, millis, cycles }: Slice): Promise<Sample> {
  const run = contender?.runs[workload]
  if (run === undefined) throw new Error(`No such workload here: ${workload}`)
  let operations = 0
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const caller = async (): Promise<void> => {
    do {
      await run(cycles)
      operations += cycles
    } while (performance.now() - startedAt < millis)
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const seconds = (performance.now() - startedAt) / 1_000
  const cpu = process.cpuUsage(cpuBefore)
  return { operationsPerSecond: operations / seconds, cpuMicros: (cpu.user + cpu.system) / operations }
}
