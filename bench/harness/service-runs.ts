/** The course of `service.ts`: contenders in turn with the anchor, at full load and at fixed rates. */
import { ROUTES, type ServiceWorkload } from './service-app.js'
import type { ServiceRequest } from './service-child.js'
import type { LoadRequest } from './load-child.js'
import type { LoadResult } from './open-loop.js'
import { Worker } from './worker.js'

export interface ServiceEntry {
  readonly name: string
  /** Below `contenders/service/`, without `.ts`. */
  readonly module: string
  readonly variant?: string
}

export interface ServiceOptions {
  readonly rounds: number
  readonly warmUpMillis: number
  readonly millis: number
  readonly workloads: readonly ServiceWorkload[]
}

/** Offered load, relative to what the contender itself answers at full load. */
export const LOADS = [1, 2] as const

/** One round of one contender in one workload. */
export interface ServiceSample {
  /** At full load, relative to the anchor before and after. */
  readonly throughput: number
  readonly cpu: number
  /** Requests per second that it answers at full load. */
  readonly perSecond: number
  /** By load. */
  readonly atLoad: readonly LoadResult[]
  /** Of the anchor. */
  readonly anchorPerSecond: number
}

/** Samples by workload and contender. */
export type ServiceSamples = ReadonlyMap<ServiceWorkload, ReadonlyMap<string, readonly ServiceSample[]>>

/** Callers at full load: one for each connection of the pool, and as many waiting as `maxWaiting` of the bounded contenders lets. */
export const CALLERS = 30
/** Connections at a fixed rate. More requests that are due wait in the load driver. */
export const LOAD_CONNECTIONS = 500

interface Service {
  readonly name: string
  readonly worker: Worker<ServiceRequest>
  readonly port: number
}

/** @param check Called once for each service, before it is measured. @param afterContender Called while nothing runs. */
export async function runServices(
  anchorEntry: ServiceEntry,
  entries: readonly ServiceEntry[],
  url: string,
  built: string,
  { rounds, warmUpMillis, millis, workloads }: ServiceOptions,
  check: (port: number) => Promise<void>,
  afterContender: () => Promise<void>,
): Promise<ServiceSamples> {
  const load = new Worker<LoadRequest>('the load driver', `${built}/harness/load-child.js`)
  const services: Service[] = []
  const started = async ({ name, module, variant }: ServiceEntry): Promise<Service> => {
    const path = `${built}/contenders/service/${module}.js`
    const worker = new Worker<ServiceRequest>(
      name,
      `${built}/harness/service-child.js`,
      variant === undefined ? [path] : [path, variant],
    )
    const service = { name, worker, port: await worker.ask<number>({ kind: 'listen', url }) }
    services.push(service)
    await check(service.port)
    return service
  }
  const atFullLoad = async (
    { worker, port }: Service,
    path: string,
    duration = millis,
  ): Promise<{ perSecond: number; cpuMicros: number }> => {
    const before = await worker.ask<number>({ kind: 'cpu' })
    const options = { port, path, millis: duration, connections: CALLERS }
    const { answered, seconds } = await load.ask<LoadResult>({ kind: 'closed', ...options })
    const cpu = (await worker.ask<number>({ kind: 'cpu' })) - before
    return { perSecond: answered / seconds, cpuMicros: cpu / answered }
  }

  const samples = new Map<ServiceWorkload, Map<string, ServiceSample[]>>()
  try {
    const anchor = await started(anchorEntry)
    const contenders: Service[] = []
    for (const entry of entries) contenders.push(await started(entry))
    for (const workload of workloads) {
      const path = ROUTES[workload]
      const byName = new Map<string, ServiceSample[]>()
      samples.set(workload, byName)
      await atFullLoad(anchor, path, warmUpMillis)
      for (const contender of shuffled(contenders)) {
        await atFullLoad(contender, path, warmUpMillis)
        const own: ServiceSample[] = []
        let before = await atFullLoad(anchor, path)
        for (let round = 0; round < rounds; round += 1) {
          const full = await atFullLoad(contender, path)
          const after = await atFullLoad(anchor, path)
          const anchorPerSecond = (before.perSecond + after.perSecond) / 2
          const atLoad: LoadResult[] = []
          for (const times of LOADS) {
            const perSecond = times * full.perSecond
            const options = { port: contender.port, path, perSecond, millis, connections: LOAD_CONNECTIONS }
            atLoad.push(await load.ask<LoadResult>({ kind: 'open', ...options }))
          }
          own.push({
            throughput: full.perSecond / anchorPerSecond,
            cpu: full.cpuMicros / ((before.cpuMicros + after.cpuMicros) / 2),
            perSecond: full.perSecond,
            atLoad,
            anchorPerSecond,
          })
          before = after
        }
        byName.set(contender.name, own)
        process.stderr.write('.')
        await afterContender()
      }
    }
  } finally {
    await load.end()
    for (const { worker } of services) await worker.end()
  }
  process.stderr.write('\n')
  return samples
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)
}
