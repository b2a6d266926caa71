/** Pools: `npm run pool`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import { benchOptions } from './harness/options.js'
import { anchorTable, circumstances, find, outcomeTable, publish, table } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import { SuiteRun, type Suite } from './harness/suite.js'

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

const PACKAGES = ['pg', 'tarn', 'generic-pool', 'postgres']

const options = benchOptions()
const built = await buildContenders()
const server = await startBenchServer()
try {
  await using suite = new SuiteRun(SUITE, options, built)
  await suite.warmUp(server.url)
  const measured = await suite.run(server.url)
  process.stderr.write('\n')
  const text = [
    '# Pools, relative to pg-pool',
    'Written by `npm run pool` (see [README.md](../README.md)): medians, and quartiles in brackets.',
    [
      circumstances(server.version, PACKAGES),
      `- ${String(options.rounds)} rounds of ${String(options.millis)} ms slices, each between two slices of pg-pool; 5 connections each`,
    ].join('\n'),
    ...options.callers.flatMap((callers) => [
      `## ${callers === 1 ? '1 caller' : `${String(callers)} callers`}, 5 connections`,
      'Throughput (more is better):',
      outcomeTable(measured, 'throughput', callers, SUITE.workloads),
      'CPU time of the client per operation (less is better):',
      outcomeTable(measured, 'cpu', callers, SUITE.workloads),
    ]),
    '## What 1.00 was',
    anchorTable('pg-pool', measured, SUITE.workloads),
    '## Goals',
    'Acquire + release: ahead of pg-pool and of tarn; pre-ping inside its skip window costs nothing.',
    table(
      ['', 'lifeguard', 'no pre-ping', 'tarn'],
      options.callers.map((callers) => [
        `${String(callers)} callers`,
        ...['lifeguard', 'lifeguard, no pre-ping', 'tarn'].map((name) => {
          const outcome = find(measured.outcomes, name, { workload: 'acquire', callers })
          return outcome?.throughput.median.toFixed(2) ?? '-'
        }),
      ]),
    ),
  ].join('\n\n')
  console.log(`\n${text}`)
  if (options.publish) publish('pool', text)
} finally {
  await server.stop()
}
