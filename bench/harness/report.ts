/** Tables in Markdown, on the terminal and in `results/`. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { POOL_SIZE } from './contender.js'
import type { Measurements, Ratios } from './measurements.js'
import { barChart, curveChart, type Theme } from './charts.js'
import { picturesOf, rounded, type FigureGroup, type Figures } from './figures.js'
import type { BenchOptions } from './options.js'
import { table } from './report-table.js'
import type { Summary } from './statistics.js'
import { contendersOf, type Suite } from './suite.js'

export { table } from './report-table.js'

const BENCH = fileURLToPath(new URL('..', import.meta.url))

/** `1.52 (1.45-1.58)`: median and quartiles. */
export function spread({ median, lower, upper }: Summary): string {
  return `${median.toFixed(2)} (${lower.toFixed(2)}-${upper.toFixed(2)})`
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

/** The same figures for charts and short tables. */
export function ratioGroup(
  measurements: Measurements,
  figure: keyof Ratios,
  callers: number,
  suite: Suite,
  { id, title, drawn }: Pick<FigureGroup, 'id' | 'title'> & { readonly drawn: boolean },
): FigureGroup {
  const measured = [...suite.workloads].filter(
    ([workload]) => measurements.anchor({ workload, callers }) !== undefined,
  )
  const rows = contendersOf(suite).map(({ name }) => ({
    name,
    cells: measured.map(([workload]) => {
      const ratios = measurements.ratios({ workload, callers }, name)
      return ratios === undefined ? null : rounded(ratios[figure])
    }),
  }))
  const better = figure === 'throughput' ? 'more' : 'less'
  return {
    id,
    title,
    unit: `${figure === 'throughput' ? 'throughput' : 'CPU'} divided by that of ${suite.anchor.name} (${better} is better)`,
    columns: measured.map(([, name]) => name),
    rows: rows.filter(({ cells }) => cells.some((cell) => cell !== null)),
    ...(drawn ? { baseline: 1 } : {}),
  }
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

/** Where results go: `bench/results`, or the folder that `LIFEGUARD_BENCH_RESULTS` names. */
function resultsFolder(): string {
  return process.env['LIFEGUARD_BENCH_RESULTS'] ?? `${BENCH}results`
}

/** Writes `NAME.md`. */
export function publish(name: string, text: string): void {
  write(`${name}.md`, `${text.trim()}\n`)
}

/** Writes `NAME.json`, a light and a dark chart of each group that has a baseline and of all curves, and `NAME.md` with them. */
export function publishFigures(figures: Figures, text: string): void {
  publish(figures.name, `${text}\n\n## Charts\n\n${picturesOf(figures)}`)
  write(`${figures.name}.json`, `${JSON.stringify(figures, undefined, 1)}\n`)
  for (const theme of ['light', 'dark'] satisfies Theme[]) {
    for (const group of figures.groups) {
      if (group.baseline === undefined) continue
      write(`${figures.name}-${group.id}-${theme}.svg`, barChart(drawn(figures, group), theme))
    }
    for (const curves of figures.curves ?? []) {
      write(`${figures.name}-${curves.id}-${theme}.svg`, curveChart(curves, theme))
    }
  }
}

/** As it is drawn: with what is measured in its title, and without the control, which would be taken for a contender. */
function drawn({ title }: Figures, group: FigureGroup): FigureGroup {
  const [subject = title] = title.split(',')
  const rows = group.rows.filter(({ name }) => !name.endsWith('(control)'))
  return { ...group, title: `${subject}: ${group.title}`, rows }
}

function write(file: string, text: string): void {
  const folder = resultsFolder()
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, file), text)
  console.log(`Written: ${relative(process.cwd(), join(folder, file))}`)
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
