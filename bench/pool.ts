/** Pools: `npm run pool`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import { Measurements } from './harness/measurements.js'
import { benchOptions } from './harness/options.js'
import {
  anchorTable,
  circumstances,
  publishFigures,
  ratioGroup,
  ratioTable,
  table,
} from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import { runSuite, type Suite } from './harness/suite.js'

const SUITE: Suite = {
  anchor: { name: 'pg-pool', module: 'pool/pg-pool' },
  contenders: [
    { name: 'lifeguard', module: 'pool/lifeguard' },
    { name: 'lifeguard, no pre-ping', module: 'pool/lifeguard', variant: 'no pre-ping' },
    { name: 'lifeguard, FIFO', module: 'pool/lifeguard', variant: 'FIFO' },
    { name: 'lifeguard, captureStacks', module: 'pool/lifeguard', variant: 'captureStacks' },
    { name: 'tarn', module: 'pool/tarn' },
    { name: 'generic-pool', module: 'pool/generic-pool' },
    { name: 'postgres.js', module: 'pool/postgres-js' },
  ],
  workloads: new Map([
    ['acquire', 'acquire + release'],
    ['query', 'acquire + query + release'],
  ]),
  // A look at the clock costs a tenth of the fastest cycle.
  cycles: 100,
}

const GOAL_CONTENDERS = ['lifeguard', 'lifeguard, no pre-ping', 'tarn']

const PACKAGES = ['pg', 'tarn', 'generic-pool', 'postgres']

const options = benchOptions()
const built = await buildContenders('pool')
const server = await startBenchServer()
const measurements = new Measurements()
try {
  await runSuite(SUITE, [{ url: server.url, measurements }], options, built, server.empty)
} finally {
  await server.stop()
}

const text = [
  '# Pools, relative to pg-pool',
  'Written by `npm run pool` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  circumstances(server.version, PACKAGES, options),
  ...options.callers.flatMap((callers) => [
    `## ${callers === 1 ? '1 caller' : `${String(callers)} callers`}`,
    'Throughput (more is better):',
    ratioTable(measurements, 'throughput', callers, SUITE),
    'CPU time of the client per operation (less is better):',
    ratioTable(measurements, 'cpu', callers, SUITE),
  ]),
  '## What 1.00 was',
  anchorTable(measurements, options.callers, SUITE),
  '## Goals',
  'Throughput of acquire + release: ahead of pg-pool (1.00) and of tarn; pre-ping inside its skip window costs nothing.',
  table(
    ['callers', ...GOAL_CONTENDERS],
    options.callers.map((callers) => [
      String(callers),
      ...GOAL_CONTENDERS.map((name) => {
        const ratios = measurements.ratios({ workload: 'acquire', callers }, name)
        return ratios?.throughput.median.toFixed(2) ?? '-'
      }),
    ]),
  ),
].join('\n\n')
console.log(`\n${text}`)
if (options.publish) {
  publishFigures(
    {
      name: 'pool',
      title: 'Pools, relative to pg-pool',
      circumstances: circumstances(server.version, PACKAGES, options),
      groups: options.callers.map((callers) => {
        const title = callers === 1 ? '1 caller' : `${String(callers)} callers`
        const drawn = callers === Math.max(...options.callers)
        return ratioGroup(measurements, 'throughput', callers, SUITE, {
          id: `throughput-${String(callers)}-callers`,
          title,
          drawn,
        })
      }),
    },
    text,
  )
}
