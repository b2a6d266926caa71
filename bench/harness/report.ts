/** Tables in Markdown, on the terminal and in `results/`. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { POOL_SIZE } from './contender.js'
import type { Measurements, Ratios } from './measurements.js'
import type { BenchOptions } from './options.js'
import type { Summary } from './statistics.js'
import { contendersOf, type Suite } from './suite.js'

const BENCH = fileURLToPath(new URL('..', import.meta.url))

/** `1.52 (1.45-1.58)`: median and quartiles. */
export function spread({ median, lower, upper }: Summary): string {
  return `${median.toFixed(2)} (${lower.toFixed(2)}-${upper.toFixed(2)})`
}

/** A table whose columns line up in plain text as well. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, at) => (at === 0 ? (cells[at] ?? '').padEnd(width) : (cells[at] ?? '').padStart(width))).join(' | ')} |`
  const rule = `| ${widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** One figure of every contender (rows) in every workload (columns, by title), for so many callers. */
export function ratioTable(
  measurements: Measurements,
  figure: keyof Ratios,
  callers: number,
  suite: Suite,
): string {
  const measured = [...suite.workloads].filter(
    ([workload]) => measurements.anchor({ workload, callers }) !== undefined,
  )
  const rows = contendersOf(suite).map(({ name }) => [
    name,
    ...measured.map(([workload]) => {
      const ratios = measurements.ratios({ workload, callers }, name)
      return ratios === undefined ? '-' : spread(ratios[figure])
    }),
  ])
  const ran = rows.filter((row) => row.slice(1).some((text) => text !== '-'))
  return table(['', ...measured.map(([, title]) => title)], ran)
}

/** What 1.00 stands for. */
export function anchorTable(measurements: Measurements, callers: readonly number[], suite: Suite): string {
  const rows: string[][] = []
  for (const [workload, title] of suite.workloads) {
    for (const count of callers) {
      const figures = measurements.anchor({ workload, callers: count })
      if (figures === undefined) continue
      const { operationsPerSecond, cpuMicros } = figures
      const digits = cpuMicros.median < 10 ? 2 : 0
      rows.push([title, String(count), whole(operationsPerSecond), cpuMicros.median.toFixed(digits)])
    }
  }
  return table([suite.anchor.name, 'callers', 'per second', 'client CPU us'], rows)
}

/** When, on what, with what and how the figures were taken. `packages` are the contenders'. */
export function circumstances(
  serverVersion: string,
  packages: readonly string[],
  { rounds, generations, millis }: BenchOptions,
): string {
  return circumstancesOf(serverVersion, packages, [
    `${String(rounds)} rounds in ${String(generations)} generations of processes, slices of ${String(millis)} ms, ${String(POOL_SIZE)} connections each`,
  ])
}

/** The same. @param course How the benchmark ran. */
export function circumstancesOf(
  serverVersion: string,
  packages: readonly string[],
  course: readonly string[],
): string {
  const [cpu] = cpus()
  const load = loadavg().map((value) => value.toFixed(1))
  return [
    `- Date: ${new Date().toISOString().slice(0, 10)}, commit ${commit()}`,
    `- Machine: ${String(cpus().length)} x ${cpu?.model.trim() ?? '?'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform} ${release()}; load average ${load.join(', ')} at the end`,
    `- Node ${process.versions.node}, PostgreSQL ${serverVersion} on the same machine (durability off, TLS off, TCP)`,
    `- Packages: ${packages.map((name) => `${name} ${versionOf(name)}`).join(', ')}`,
    ...course.map((line) => `- ${line}`),
  ].join('\n')
}

/** Writes `results/NAME.md`. */
export function publish(name: string, text: string): void {
  mkdirSync(`${BENCH}results`, { recursive: true })
  writeFileSync(`${BENCH}results/${name}.md`, `${text.trim()}\n`)
  console.log(`Written: bench/results/${name}.md`)
}

function whole({ median }: Summary): string {
  return Math.round(median).toLocaleString('en')
}

function versionOf(name: string): string {
  return (
    JSON.parse(readFileSync(`${BENCH}node_modules/${name}/package.json`, 'utf8')) as { version: string }
  ).version
}

function commit(): string {
  const git = (...options: string[]): string =>
    execFileSync('git', options, { cwd: BENCH, encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--', '../src') === '' ? '' : ' with changes'
  return `${git('rev-parse', '--short', 'HEAD')}${changed}`
}
