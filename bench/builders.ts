/** Query builders on Lifeguard, against the same on pg-pool: `npm run builders`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import { latencyGroups, latencySection, runAtLatencies } from './harness/latency-courses.js'
import type { FigureGroup } from './harness/figures.js'
import { benchOptions } from './harness/options.js'
import { circumstances, publishFigures } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import type { SessionWorkload } from './harness/session-workloads.js'
import type { Suite } from './harness/suite.js'

const WORKLOADS: Partial<Record<SessionWorkload, string>> = {
  autocommit: 'no transaction',
  read: 'read',
  write: 'write',
  savepoint: 'savepoint',
}

/** Each builder is its own anchor, so that a ratio says what the pool below it changes. */
function suiteOf(builder: 'kysely' | 'drizzle'): Suite {
  const module = `session/${builder}`
  return {
    anchor: { name: `${builder} on pg-pool`, module },
    contenders: [
      { name: `${builder} on lifeguard/pg-pool`, module, variant: 'face' },
      { name: `lifeguard/${builder}`, module, variant: 'lifeguard' },
    ],
    workloads: new Map(Object.entries(WORKLOADS)),
    cycles: 1,
  }
}

const options = benchOptions()
const built = await buildContenders('session')
const server = await startBenchServer()
const sections: string[] = []
const groups: FigureGroup[] = []
try {
  for (const builder of ['kysely', 'drizzle'] as const) {
    const suite = suiteOf(builder)
    const courses = await runAtLatencies(suite, server.url, options, built, server.empty)
    sections.push(`# ${builder}`, ...courses.map((course) => latencySection(course, suite, options)))
    for (const { id, title, ...group } of latencyGroups(courses, suite, options))
      groups.push({ id: `${builder}-${id}`, title: `${builder}, ${title}`, ...group })
  }
} finally {
  await server.stop()
}

const text = [
  '# Query builders, relative to themselves on pg-pool',
  'Written by `npm run builders` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  circumstances(server.version, ['pg', 'kysely', 'drizzle-orm'], options),
  ...sections,
].join('\n\n')
console.log(`\n${text}`)
if (options.publish) {
  publishFigures(
    {
      name: 'builders',
      title: 'Query builders, relative to themselves on pg-pool',
      circumstances: circumstances(server.version, ['pg', 'kysely', 'drizzle-orm'], options),
      groups,
    },
    text,
  )
}
