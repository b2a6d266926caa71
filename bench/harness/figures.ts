/** Figures in a form for programs: `results/NAME.json`, of which the short tables, the charts and README's table are made. */
import { table } from './report-table.js'
import type { Summary } from './statistics.js'

/** Figures of one kind: contenders in rows, workloads in columns. */
export interface FigureGroup {
  /** One word, part of file names. */
  readonly id: string
  readonly title: string
  /** What the figures are: `times hand-written (more is better)`. */
  readonly unit: string
  readonly columns: readonly string[]
  readonly rows: readonly FigureRow[]
  /** Also drawn as a chart of bars around this value, which stands for what everything is compared with. */
  readonly baseline?: number
}

export interface FigureRow {
  readonly name: string
  /** Null: the contender does not do that. */
  readonly cells: readonly (Summary | null)[]
}

/** The curves of one picture of `scale`. */
export interface Curves {
  readonly id: string
  readonly title: string
  readonly xTitle: string
  readonly yTitle: string
  readonly lines: readonly CurveLine[]
}

export interface CurveLine {
  readonly name: string
  readonly points: readonly ({ readonly x: number } & Summary)[]
}

/** What one benchmark showed. */
export interface Figures {
  readonly name: string
  readonly title: string
  /** Markdown: date, commit, machine, versions. */
  readonly circumstances: string
  readonly groups: readonly FigureGroup[]
  readonly curves?: readonly Curves[]
  /** Sentences, for example about what grows faster than linearly. */
  readonly remarks?: readonly string[]
}

/** Rounds for files that people compare: three significant digits say more than the noise allows. */
export function rounded({ median, lower, upper }: Summary): Summary {
  const three = (value: number): number => Number(value.toPrecision(3))
  return { median: three(median), lower: three(lower), upper: three(upper) }
}

/** The group as a table: medians with quartiles in brackets. */
export function figureTable({ columns, rows }: FigureGroup): string {
  const body = rows
    .filter(({ cells }) => cells.some((cell) => cell !== null))
    .map(({ name, cells }) => [name, ...cells.map((cell) => (cell === null ? '-' : spreadOf(cell)))])
  return table(['', ...columns], body)
}

/** All groups, for the terminal. */
export function shortReport({ title, groups, remarks = [] }: Figures): string {
  return [
    `# ${title}`,
    ...groups.map((group) => `${group.title}, ${group.unit}:\n\n${figureTable(group)}`),
    ...remarks,
  ].join('\n\n')
}

/** `1.52 (1.45-1.58)`, with fewer digits for larger figures. */
export function spreadOf({ median, lower, upper }: Summary): string {
  const text = (value: number): string =>
    median < 10
      ? value.toFixed(2)
      : median < 1_000
        ? value.toFixed(1)
        : Math.round(value).toLocaleString('en')
  return `${text(median)} (${text(lower)}-${text(upper)})`
}

/** A chart in Markdown or HTML, light or dark as the page is. @param path Below the document's folder, without `-light.svg`. */
export function pictureOf(path: string, description: string): string {
  return [
    '<picture>',
    `  <source media="(prefers-color-scheme: dark)" srcset="${path}-dark.svg">`,
    `  <img src="${path}-light.svg" alt="${description}">`,
    '</picture>',
  ].join('\n')
}

/** All charts of a benchmark, for its page of results. */
export function picturesOf({ name, title, groups, curves = [] }: Figures): string {
  const [subject = title] = title.split(',')
  return [
    ...groups
      .filter(({ baseline }) => baseline !== undefined)
      .map((group) => pictureOf(`${name}-${group.id}`, `${subject}: ${group.title}, ${group.unit}`)),
    ...curves.map(({ id, title: one, yTitle }) => pictureOf(`${name}-${id}`, `${one}: ${yTitle}`)),
  ].join('\n\n')
}
