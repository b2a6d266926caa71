/** Entities: `npm run orm`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import {
  latencyGroups,
  latencySection,
  runAtLatencies,
  type LatencyCourse,
} from './harness/latency-courses.js'
import { weighEntities } from './harness/memory.js'
import { benchOptions } from './harness/options.js'
import type { OrmWorkload } from './harness/orm-workloads.js'
import type { Entry } from './harness/processes.js'
import { circumstances, publishFigures, table } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import { createSongTables, restoreSongTables, SONGS } from './harness/song-tables.js'
import type { Suite } from './harness/suite.js'

const WORKLOADS: Readonly<Record<OrmWorkload, string>> = {
  insert: 'insert 1',
  insertMany: 'insert 100',
  change: 'load 10, change 10',
  load: 'load 1,000',
  graph: 'parent and 20 children',
}

const SUITE: Suite = {
  anchor: { name: 'hand-written', module: 'orm/hand-written' },
  contenders: [
    { name: 'lifeguard', module: 'orm/lifeguard' },
    { name: 'mikro-orm', module: 'orm/mikro-orm' },
    { name: 'typeorm', module: 'orm/typeorm' },
    { name: 'drizzle', module: 'orm/drizzle' },
    { name: 'prisma', module: 'orm/prisma' },
    { name: 'sequelize', module: 'orm/sequelize' },
    { name: 'objection', module: 'orm/objection' },
  ],
  workloads: new Map(Object.entries(WORKLOADS)),
  cycles: 1,
}

const PACKAGES = [
  'pg',
  '@mikro-orm/core',
  'typeorm',
  'drizzle-orm',
  '@prisma/client',
  'sequelize',
  'objection',
]

const [OURS] = SUITE.contenders as [Entry]
/** Where it is to be ahead of hand-written as well. */
const AHEAD: readonly OrmWorkload[] = ['insert', 'insertMany', 'change']

const options = benchOptions({ rounds: 8, generations: 2 })
const built = await buildContenders('orm')
const server = await startBenchServer()
let courses: readonly LatencyCourse[]
let weights: ReadonlyMap<string, number>
try {
  const { url } = server
  await createSongTables(url)
  courses = await runAtLatencies(SUITE, url, options, built, () => restoreSongTables(url))
  weights = await weighEntities(SUITE, url, options, built)
} finally {
  await server.stop()
}

const text = [
  '# Entities, relative to hand-written node-postgres',
  'Written by `npm run orm` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  circumstances(server.version, PACKAGES, options),
  ...courses.map((course) => latencySection(course, SUITE, options)),
  memory(),
  goals(),
].join('\n\n')
console.log(`\n${text}`)
if (options.publish) {
  publishFigures(
    {
      name: 'orm',
      title: 'Entities, relative to hand-written node-postgres',
      circumstances: circumstances(server.version, PACKAGES, options),
      groups: latencyGroups(courses, SUITE, options),
    },
    text,
  )
}

function memory(): string {
  return [
    '## Memory',
    `Heap per entity, while ${SONGS.toLocaleString('en')} loaded ones are held in an open transaction.`,
    table(
      ['', 'bytes'],
      [...weights].map(([name, bytes]) => [name, Math.round(bytes).toLocaleString('en')]),
    ),
  ].join('\n\n')
}

function goals(): string {
  const rows = courses.flatMap(({ latency, measurements }) =>
    options.callers.flatMap((callers) =>
      [...SUITE.workloads].map(([workload, title]) => {
        const speed = (name: string): number =>
          measurements.ratios({ workload, callers }, name)?.throughput.median ?? NaN
        const others = SUITE.contenders
          .filter((entry) => entry !== OURS && !Number.isNaN(speed(entry.name)))
          .map(({ name }) => ({ name, speed: speed(name) }))
        const best = others.sort((one, other) => other.speed - one.speed)[0]
        const got = speed(OURS.name)
        const goal = Math.max(best?.speed ?? 0, AHEAD.some((name) => name === workload) ? 1 : 0)
        return [
          `${title}, ${String(callers)} at once, ${String(latency)} ms`,
          best === undefined ? '-' : `${best.speed.toFixed(2)} (${best.name})`,
          Number.isNaN(got) ? '-' : got.toFixed(2),
          Number.isNaN(got) ? 'not measured' : got > goal ? 'reached' : 'missed',
        ]
      }),
    ),
  )
  return [
    '## Goals',
    `Throughput of Lifeguard: ahead of every other library, and in the first three ahead of hand-written.`,
    table(['', 'best other library', 'Lifeguard', ''], rows),
  ].join('\n\n')
}
