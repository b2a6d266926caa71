/** Transactions: `npm run session`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import type { Measured } from './harness/interleave.js'
import { benchOptions } from './harness/options.js'
import { delayed } from './harness/proxy.js'
import { anchorTable, circumstances, find, outcomeTable, publish, table } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import type { SessionWorkload } from './harness/session-workloads.js'
import { SuiteRun, type Suite } from './harness/suite.js'

const WORKLOADS: Readonly<Record<SessionWorkload, string>> = {
  read: 'read',
  readOnly: 'read-only',
  write: 'write',
  three: 'three at once',
  savepoint: 'savepoint',
  selfContained: 'self-contained',
  autocommit: 'no transaction',
}

const SUITE: Suite = {
  anchor: { name: 'hand-written', module: 'session/hand-written' },
  contenders: [
    { name: 'lifeguard', module: 'session/lifeguard' },
    { name: 'hand-written, pipelining', module: 'session/hand-written', variant: 'pipelining' },
    { name: 'postgres.js', module: 'session/postgres-js' },
    { name: 'kysely', module: 'session/kysely' },
    { name: 'drizzle', module: 'session/drizzle' },
    { name: 'knex', module: 'session/knex' },
    { name: 'typeorm', module: 'session/typeorm' },
  ],
  workloads: new Map(Object.entries(WORKLOADS)),
  cycles: 1,
}

const PACKAGES = ['pg', 'postgres', 'kysely', 'drizzle-orm', 'knex', 'typeorm']

/** What the project has set itself, with 20 callers, against hand-written. */
const GOALS: readonly {
  readonly latency: number
  readonly workload: SessionWorkload
  readonly goal: number
}[] = [
  { latency: 0, workload: 'read', goal: 1.4 },
  { latency: 0, workload: 'readOnly', goal: 2 },
  { latency: 1, workload: 'read', goal: 1.4 },
  { latency: 1, workload: 'readOnly', goal: 2.5 },
]
const GOAL_CALLERS = 20

const options = benchOptions()
const built = await buildContenders()
const server = await startBenchServer()
const sections: string[] = []
const byLatency = new Map<number, Measured>()
try {
  await using suite = new SuiteRun(SUITE, options, built)
  await suite.warmUp(server.url)
  for (const latency of options.latencies) {
    const proxied = latency === 0 ? undefined : await delayed(server.url, latency, built)
    process.stderr.write(`${String(latency)} ms `)
    const measured = await suite.run(proxied?.url ?? server.url, () => server.empty())
    process.stderr.write('\n')
    byLatency.set(latency, measured)
    const how =
      proxied === undefined
        ? 'Straight to the server over loopback.'
        : `Through a proxy (${proxied.by}) that added ${proxied.addedMillis.toFixed(3)} ms to an echo when it was started.`
    sections.push(section(`${String(latency)} ms of added latency`, how, measured))
    // The next address, or the end of the processes, closes what goes through it.
    if (proxied !== undefined) await suite.close()
    proxied?.stop()
  }
} finally {
  await server.stop()
}

const text = [
  '# Transactions, relative to hand-written node-postgres',
  'Written by `npm run session` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  [
    circumstances(server.version, PACKAGES),
    `- ${String(options.rounds)} rounds of ${String(options.millis)} ms slices, each between two slices of hand-written; 5 connections each`,
  ].join('\n'),
  ...sections,
  goals(),
].join('\n\n')
console.log(`\n${text}`)
if (options.publish) publish('session', text)

function section(title: string, how: string, measured: Measured): string {
  const { workloads } = SUITE
  return [
    `## ${title}`,
    how,
    ...options.callers.flatMap((callers) => [
      `### ${callers === 1 ? '1 caller' : `${String(callers)} callers`}`,
      'Throughput (more is better):',
      outcomeTable(measured, 'throughput', callers, workloads),
      'CPU time of the client per operation (less is better):',
      outcomeTable(measured, 'cpu', callers, workloads),
    ]),
    'What 1.00 was:',
    anchorTable('hand-written', measured, workloads),
  ].join('\n\n')
}

function goals(): string {
  const rows = GOALS.map(({ latency, workload, goal }) => {
    const outcomes = byLatency.get(latency)?.outcomes ?? []
    const got = find(outcomes, 'lifeguard', { workload, callers: GOAL_CALLERS })?.throughput.median
    const verdict = got === undefined ? 'not measured' : got >= goal ? 'reached' : 'missed'
    return [`${WORKLOADS[workload]}, ${String(latency)} ms`, goal.toFixed(1), got?.toFixed(2) ?? '-', verdict]
  })
  return [
    '## Goals',
    `Lifeguard with ${String(GOAL_CALLERS)} callers, against hand-written.`,
    table(['', 'goal', 'measured', ''], rows),
  ].join('\n\n')
}
