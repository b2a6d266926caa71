/** Services over HTTP: `npm run service`. What is measured and how to read it is in README.md. */
import { parseArgs } from 'node:util'
import { buildContenders } from './harness/build.js'
import { figureTable, rounded, type FigureGroup, type Figures } from './harness/figures.js'
import { namesOf } from './harness/options.js'
import { circumstancesOf, publishFigures } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import type { ServiceWorkload } from './harness/service-app.js'
import {
  CALLERS,
  LOAD_CONNECTIONS,
  LOADS,
  runServices,
  type ServiceEntry,
  type ServiceSample,
} from './harness/service-runs.js'
import { checkService, createServiceTables, tidyServiceTables } from './harness/service-tables.js'
import { SERVICE_POOL_SIZE } from './harness/service-work.js'
import { summarise } from './harness/statistics.js'

const WORKLOADS: Readonly<Record<ServiceWorkload, string>> = {
  single: 'single query',
  queries: '20 queries',
  fortunes: 'fortunes',
  updates: '20 updates',
}

const ANCHOR: ServiceEntry = { name: 'hand-written', module: 'hand-written' }
const CONTENDERS: readonly ServiceEntry[] = [
  { ...ANCHOR, name: 'hand-written (control)' },
  { name: 'lifeguard, SQL', module: 'lifeguard' },
  { name: 'lifeguard, entities', module: 'lifeguard-entities' },
  { name: 'lifeguard, SQL, maxWaiting: 20', module: 'lifeguard', variant: 'bounded' },
  { name: 'lifeguard, entities, maxWaiting: 20', module: 'lifeguard-entities', variant: 'bounded' },
  { name: 'postgres.js', module: 'postgres-js' },
  { name: 'drizzle', module: 'drizzle' },
  { name: 'prisma', module: 'prisma' },
]
const PACKAGES = ['fastify', 'autocannon', 'pg', 'postgres', 'drizzle-orm', '@prisma/client']

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    'warm-up': { type: 'string', default: '2500' },
    millis: { type: 'string', default: '1500' },
    workloads: { type: 'string' },
    contenders: { type: 'string' },
    'print-only': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(`
  --rounds N          samples per figure (default 6)
  --warm-up N         milliseconds of a workload before a contender is measured with it (default 2500)
  --millis N          length of a slice (default 1500)
  --workloads a,b     only these: ${Object.keys(WORKLOADS).join(', ')}
  --contenders a,b    only these
  --print-only        leave results/ alone; so does a choice of workloads or contenders`)
  process.exit()
}
const workloads = (Object.keys(WORKLOADS) as ServiceWorkload[]).filter(
  (name) => values.workloads?.split(',').includes(name) ?? true,
)
const chosenNames = values.contenders === undefined ? undefined : namesOf(values.contenders)
const contenders = CONTENDERS.filter(({ name }) => chosenNames?.includes(name) ?? true)
const [rounds, warmUpMillis, millis] = [values.rounds, values['warm-up'], values.millis].map(Number) as [
  number,
  number,
  number,
]

const built = await buildContenders('service')
const server = await startBenchServer()
const { url } = server
await createServiceTables(url)
const samples = await runServices(
  ANCHOR,
  contenders,
  url,
  built,
  { rounds, warmUpMillis, millis, workloads },
  (port) => checkService(port, url),
  () => tidyServiceTables(url),
).finally(() => server.stop())

const ANSWERED = 'answered with 200 per second, divided by the same at full load (more is better)'
const figures: Figures = {
  name: 'service',
  title: 'A service over HTTP, relative to hand-written node-postgres',
  circumstances: circumstancesOf(server.version, PACKAGES, [
    `${String(rounds)} rounds, slices of ${String(millis)} ms, ${String(SERVICE_POOL_SIZE)} connections to the server in each service`,
    `At full load ${String(CALLERS)} HTTP connections (autocannon); at a fixed rate at most ${String(LOAD_CONNECTIONS)}`,
  ]),
  groups: [
    {
      ...group(
        'throughput',
        'Full load',
        'requests per second divided by hand-written (more is better)',
        (one) => one.throughput,
      ),
      baseline: 1,
    },
    group(
      'cpu',
      'Full load',
      'CPU of the service per request divided by hand-written (less is better)',
      (one) => one.cpu,
    ),
    ...LOADS.flatMap((times, index) => {
      const title = `${String(times)}x the requests of full load`
      const id = `load${String(times)}`
      const at = (of: (one: ServiceSample['atLoad'][number]) => number) => (sample: ServiceSample) => {
        const one = sample.atLoad[index]
        return one === undefined ? NaN : of(one)
      }
      return [
        group(
          `${id}-answered`,
          title,
          ANSWERED,
          (sample) => at((one) => one.answered / one.seconds)(sample) / sample.perSecond,
        ),
        group(
          `${id}-refused`,
          title,
          'refused with 503, as a share of what was asked for',
          at((one) => one.refused / one.due),
        ),
        group(
          `${id}-p50`,
          title,
          'median latency in ms of what was answered (less is better)',
          at((one) => one.p50),
        ),
        {
          ...group(
            `${id}-p99`,
            title,
            '99th percentile of the latency in ms of what was answered (less is better)',
            at((one) => one.p99),
          ),
          baseline: 0,
        },
      ]
    }),
    group('anchor', 'What 1.00 was', 'requests per second of hand-written', (one) => one.anchorPerSecond),
  ],
}

const text = [
  `# ${figures.title}`,
  'Written by `npm run service` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  figures.circumstances,
  ...figures.groups.flatMap((one) => [`## ${one.title}: ${one.unit}`, figureTable(one)]),
].join('\n\n')
console.log(`\n${text}`)
const chosen = values.workloads !== undefined || values.contenders !== undefined
if (!values['print-only'] && (!chosen || process.env['LIFEGUARD_BENCH_RESULTS'] !== undefined)) {
  publishFigures(figures, text)
}

function group(id: string, title: string, unit: string, of: (sample: ServiceSample) => number): FigureGroup {
  return {
    id,
    title,
    unit,
    columns: workloads.map((name) => WORKLOADS[name]),
    rows: contenders.map(({ name }) => ({
      name,
      cells: workloads.map((workload) => {
        const figuresOf = (samples.get(workload)?.get(name) ?? []).map(of).filter((one) => !Number.isNaN(one))
        return figuresOf.length === 0 ? null : rounded(summarise(figuresOf))
      }),
    })),
  }
}
