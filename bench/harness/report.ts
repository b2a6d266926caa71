/** Tables in Markdown, on the terminal and in `results/`. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { AnchorFigures, Cell, Measured, Outcome } from './interleave.js'
import type { Summary } from './statistics.js'

const BENCH = fileURLToPath(new URL('..', import.meta.url))

/** `1.52 (1.45-1.58)`: median and quartiles. */
export function cell({ median, lower, upper }: Summary): string {
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

/** One figure of every contender (rows) in every workload (columns), for so many callers. */
export function outcomeTable(
  { outcomes }: Measured,
  figure: 'throughput' | 'cpu',
  callers: number,
  workloads: ReadonlyMap<string, string>,
): string {
  const here = outcomes.filter((outcome) => outcome.callers === callers)
  const contenders = [...new Set(here.map(({ contender }) => contender))]
  const measured = [...workloads].filter(([name]) => here.some(({ workload }) => workload === name))
  return table(
    ['', ...measured.map(([, title]) => title)],
    contenders.map((contender) => [
      contender,
      ...measured.map(([workload]) => {
        const outcome = find(here, contender, { workload, callers })
        return outcome === undefined ? '-' : cell(outcome[figure])
      }),
    ]),
  )
}

/** What 1.00 stands for. */
export function anchorTable(
  name: string,
  { anchors }: Measured,
  workloads: ReadonlyMap<string, string>,
): string {
  return table(
    [name, 'callers', 'per second', 'client CPU us'],
    anchors.map(({ workload, callers, operationsPerSecond, cpuMicros }: AnchorFigures) => [
      workloads.get(workload) ?? workload,
      String(callers),
      whole(operationsPerSecond),
      `${cpuMicros.median.toFixed(cpuMicros.median < 10 ? 2 : 0)}`,
    ]),
  )
}

export function find(
  outcomes: readonly Outcome[],
  contender: string,
  { workload, callers }: Cell,
): Outcome | undefined {
  return outcomes.find(
    (outcome) =>
      outcome.contender === contender && outcome.workload === workload && outcome.callers === callers,
  )
}

/** When, on what and with what the figures were taken. `packages` are the contenders'. */
export function circumstances(serverVersion: string, packages: readonly string[]): string {
  const [cpu] = cpus()
  const load = loadavg().map((value) => value.toFixed(1))
  return [
    `- Date: ${new Date().toISOString().slice(0, 10)}, commit ${commit()}`,
    `- Machine: ${String(cpus().length)} x ${cpu?.model.trim() ?? '?'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform} ${release()}; load average ${load.join(', ')} at the end`,
    `- Node ${process.versions.node}, PostgreSQL ${serverVersion} on the same machine (durability off, TLS off, TCP)`,
    `- Packages: ${packages.map((name) => `${name} ${versionOf(name)}`).join(', ')}`,
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
