/** Transactions: `npm run session`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import {
  latencyGroups,
  latencySection,
  runAtLatencies,
  type LatencyCourse,
} from './harness/latency-courses.js'
import { benchOptions } from './harness/options.js'
import { circumstances, publishFigures, table } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import type { SessionWorkload } from './harness/session-workloads.js'
import type { Suite } from './harness/suite.js'

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
    { name: 'lifeguard alone', module: 'session/lifeguard', variant: 'alone' },
    { name: 'lifeguard, replicas', module: 'session/lifeguard', variant: 'replicas' },
    { name: 'hand-written, pipelining', module: 'session/hand-written', variant: 'pipelining' },
    { name: 'postgres.js', module: 'session/postgres-js' },
    { name: 'effect, multiplexed', module: 'session/effect' },
    { name: 'kysely', module: 'session/kysely' },
    { name: 'drizzle', module: 'session/drizzle' },
    { name: 'knex', module: 'session/knex' },
    { name: 'typeorm', module: 'session/typeorm' },
  ],
  workloads: new Map(Object.entries(WORKLOADS)),
  cycles: 1,
}

const PACKAGES = ['pg', 'postgres', '@effect/sql-pg', 'kysely', 'drizzle-orm', 'knex', 'typeorm']

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
const built = await buildContenders('session')
const server = await startBenchServer()
let courses: readonly LatencyCourse[]
try {
  courses = await runAtLatencies(SUITE, server.url, options, built, server.empty)
} finally {
  await server.stop()
}

const text = [
  '# Transactions, relative to hand-written node-postgres',
  'Written by `npm run session` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  circumstances(server.version, PACKAGES, options),
  ...courses.map((course) => latencySection(course, SUITE, options)),
  goals(),
].join('\n\n')
console.log(`\n${text}`)
if (options.publish) {
  publishFigures(
    {
      name: 'session',
      title: 'Transactions, relative to hand-written node-postgres',
      circumstances: circumstances(server.version, PACKAGES, options),
      groups: latencyGroups(courses, SUITE, options),
    },
    text,
  )
}

function goals(): string {
  const rows = GOALS.map(({ latency, workload, goal }) => {
    const course = courses.find((candidate) => candidate.latency === latency)
    const got = course?.measurements.ratios({ workload, callers: GOAL_CALLERS }, 'lifeguard')?.throughput
      .median
    const verdict = got === undefined ? 'not measured' : got >= goal ? 'reached' : 'missed'
    return [`${WORKLOADS[workload]}, ${String(latency)} ms`, goal.toFixed(1), got?.toFixed(2) ?? '-', verdict]
  })
  return [
    '## Goals',
    `Throughput of Lifeguard with ${String(GOAL_CALLERS)} callers, against hand-written.`,
    table(['', 'goal', 'measured', ''], rows),
  ].join('\n\n')
}
