/** The same measurements at several latencies: the courses of a suite that has to do with round trips. */
import { Measurements } from './measurements.js'
import type { BenchOptions } from './options.js'
import { delayed, type DelayedServer } from './proxy.js'
import { anchorTable, ratioTable } from './report.js'
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
