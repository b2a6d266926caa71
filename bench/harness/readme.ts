/** The table of README.md, made of the published figures. */
import type { FigureGroup, Figures } from './figures.js'
import { table } from './report-table.js'

const BEGIN = '<!-- bench: what follows is written by `npm run bench -- --full --publish` -->'
const END = '<!-- bench: end -->'
const OURS = 'lifeguard'
const HAND_WRITTEN = 'hand-written'
const LATENCIES = [0, 1]

/** The fastest contender of a workload besides Lifeguard. */
interface Best {
  readonly name: string
  readonly median: number
}

/** The table, and a sentence about where Lifeguard is not ahead. */
export function readmeSection(session: Figures, orm: Figures): string {
  const behind: string[] = []
  const rows = [session, orm].flatMap((figures) => {
    const groups = LATENCIES.map((latency) => groupAt(figures, latency))
    const workloads = [...new Set(groups.flatMap((group) => group?.columns ?? []))]
    return workloads.map((workload) => [
      workload,
      ...groups.flatMap((group, at) => {
        const [ours, best] = [oursOf(group, workload), bestOf(group, workload)]
        if (ours === undefined || best === undefined) return ['-', '-']
        if (ours <= best.median) behind.push(`${workload} (${String(LATENCIES[at])} ms)`)
        return [ours.toFixed(2), `${best.median.toFixed(2)} ${best.name}`]
      }),
    ])
  })
  const head = ['', ...LATENCIES.flatMap((latency) => [`Lifeguard, ${String(latency)} ms`, 'best other'])]
  return [
    BEGIN,
    table(head, rows),
    behind.length === 0
      ? 'Lifeguard is ahead in every row.'
      : `Lifeguard is **not ahead** in: ${behind.join(', ')}.`,
    [session, orm].map(takenOn).join(' '),
    END,
  ].join('\n\n')
}

/** Of the first line of the circumstances: date and commit. */
function takenOn({ title, circumstances }: Figures): string {
  const [subject = title] = title.split(',')
  const [, date = '?', commit = '?'] = /Date: ([\d-]+), (.*)/.exec(circumstances) ?? []
  return `${subject}: ${date}, ${commit}.`
}

/** @throws Error If README has no place for it. */
export function withSection(readme: string, section: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`README.md has no part between "${BEGIN}" and "${END}"`)
  return readme.slice(0, begin) + section + readme.slice(end + END.length)
}

function groupAt({ groups }: Figures, latency: number): FigureGroup | undefined {
  return groups.find(({ id }) => id === `throughput-20-callers-${String(latency)}ms`)
}

function medianOf(group: FigureGroup, name: string, workload: string): number | undefined {
  const at = group.columns.indexOf(workload)
  return group.rows.find((row) => row.name === name)?.cells[at]?.median
}

function oursOf(group: FigureGroup | undefined, workload: string): number | undefined {
  return group && medianOf(group, OURS, workload)
}

/** Hand-written code is 1 by definition; its control only shows the noise. */
function bestOf(group: FigureGroup | undefined, workload: string): Best | undefined {
  if (group === undefined) return undefined
  const others = group.rows
    .filter(({ name }) => !name.startsWith(OURS) && !name.endsWith('(control)'))
    .map(({ name }) => ({ name, median: medianOf(group, name, workload) ?? NaN }))
    .filter(({ median }) => !Number.isNaN(median))
  return [{ name: HAND_WRITTEN, median: 1 }, ...others].reduce((best, one) =>
    one.median > best.median ? one : best,
  )
}
