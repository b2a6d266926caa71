/** The same measurements at several latencies: the courses of a suite that has to do with round trips. */
import { Measurements } from './measurements.js'
import type { BenchOptions } from './options.js'
import { delayed, type DelayedServer } from './proxy.js'
import type { FigureGroup } from './figures.js'
import { anchorTable, ratioGroup, ratioTable } from './report.js'
import { runSuite, type Course, type Suite } from './suite.js'

export interface LatencyCourse extends Course {
  /** Added to each round trip, in milliseconds. */
  readonly latency: number
  readonly proxy: DelayedServer | undefined
}

/**
 * Measures a suite at every latency of the options.
 *
 * @param url The server's.
 * @param built See `buildContenders`.
 * @param afterContender Called while nothing runs.
 */
export async function runAtLatencies(
  suite: Suite,
  url: string,
  options: BenchOptions,
  built: string,
  afterContender: () => Promise<void>,
): Promise<readonly LatencyCourse[]> {
  const courses: LatencyCourse[] = []
  try {
    for (const latency of options.latencies) {
      const proxy = latency === 0 ? undefined : await delayed(url, latency, built)
      courses.push({ latency, proxy, url: proxy?.url ?? url, measurements: new Measurements() })
    }
    await runSuite(suite, courses, options, built, afterContender)
  } finally {
    for (const { proxy } of courses) proxy?.stop()
  }
  return courses
}

/** All tables of one latency. */
export function latencySection(
  { latency, proxy, measurements }: LatencyCourse,
  suite: Suite,
  { callers }: BenchOptions,
): string {
  return [
    `## ${String(latency)} ms of added latency`,
    proxy === undefined
      ? 'Straight to the server over loopback.'
      : `Through a proxy (${proxy.by}) that added ${proxy.addedMillis.toFixed(3)} ms to an echo when it was started.`,
    ...callers.flatMap((count) => [
      `### ${count === 1 ? '1 caller' : `${String(count)} callers`}`,
      'Throughput (more is better):',
      ratioTable(measurements, 'throughput', count, suite),
      'CPU time of the client per operation (less is better):',
      ratioTable(measurements, 'cpu', count, suite),
    ]),
    '### What 1.00 was',
    anchorTable(measurements, callers, suite),
  ].join('\n\n')
}

/** The same for `publishFigures`. The throughput of the most callers is drawn. */
export function latencyGroups(
  courses: readonly LatencyCourse[],
  suite: Suite,
  { callers }: BenchOptions,
): FigureGroup[] {
  return courses.flatMap(({ latency, measurements }) =>
    callers.flatMap((count) => {
      const title = `${count === 1 ? '1 caller' : `${String(count)} callers`}, ${String(latency)} ms of added latency`
      const id = `${String(count)}-callers-${String(latency)}ms`
      const drawn = count === Math.max(...callers)
      return [
        ratioGroup(measurements, 'throughput', count, suite, { id: `throughput-${id}`, title, drawn }),
        ratioGroup(measurements, 'cpu', count, suite, { id: `cpu-${id}`, title, drawn: false }),
      ]
    }),
  )
}
