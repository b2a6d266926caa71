/** What it costs to report an engine: `npm run telemetry`. What is measured and how to read it is in README.md. */
import { buildContenders } from './harness/build.js'
import { latencyGroups, latencySection, runAtLatencies } from './harness/latency-courses.js'
import { benchOptions } from './harness/options.js'
import { circumstances, publishFigures } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import type { SessionWorkload } from './harness/session-workloads.js'
import type { Suite } from './harness/suite.js'

const WORKLOADS: Partial<Record<SessionWorkload, string>> = { read: 'read', write: 'write' }
const TITLE = 'Lifeguard with telemetry, relative to itself without'
const PACKAGES = ['pg']

const MODULE = 'session/observed'
const SUITE: Suite = {
  anchor: { name: 'lifeguard', module: 'session/lifeguard' },
  contenders: [
    { name: 'prometheus', module: MODULE, variant: 'prometheus' },
    { name: 'opentelemetry, no trace sampled', module: MODULE, variant: 'unsampled' },
    { name: 'opentelemetry, every span recorded', module: MODULE, variant: 'recording' },
  ],
  workloads: new Map(Object.entries(WORKLOADS)),
  cycles: 1,
}

const options = benchOptions()
const built = await buildContenders('session')
const server = await startBenchServer()
try {
  const courses = await runAtLatencies(SUITE, server.url, options, built, server.empty)
  const course = circumstances(server.version, PACKAGES, options)
  const text = [
    `# ${TITLE}`,
    'Written by `npm run telemetry` (see [README.md](../README.md)): medians, and quartiles in brackets.',
    course,
    ...courses.map((one) => latencySection(one, SUITE, options)),
  ].join('\n\n')
  console.log(`\n${text}`)
  if (options.publish) {
    publishFigures(
      {
        name: 'telemetry',
        title: TITLE,
        circumstances: course,
        groups: latencyGroups(courses, SUITE, options),
      },
      text,
    )
  }
} finally {
  await server.stop()
}
