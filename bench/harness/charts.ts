/** Charts as SVG files: bars with quartiles, and curves on logarithmic axes. Small, readable as text, without scripts or fonts of their own. */
import type { Curves, FigureGroup } from './figures.js'

export type Theme = 'light' | 'dark'

interface Colours {
  readonly background: string
  readonly text: string
  readonly faint: string
  /** Of the first contender, which is Lifeguard, and of all others. */
  readonly series: readonly string[]
}

const COLOURS: Readonly<Record<Theme, Colours>> = {
  light: {
    background: '#ffffff',
    text: '#1f2328',
    faint: '#d1d9e0',
    series: ['#0969da', '#8c959f', '#bf8700', '#1a7f37', '#8250df', '#cf222e', '#0a7ea4', '#bc4c00'],
  },
  dark: {
    background: '#0d1117',
    text: '#e6edf3',
    faint: '#3d444d',
    series: ['#4493f8', '#9198a1', '#d29922', '#3fb950', '#ab7df8', '#f85149', '#39c5cf', '#db6d28'],
  },
}

const WIDTH = 860
const LEFT = 60
const RIGHT = 20
const TOP = 64
const PLOT = 260
const LINE = 18

/** Bars of each contender, by workload. A thin line spans the quartiles; the bold horizontal line is `baseline`. */
export function barChart(group: FigureGroup, theme: Theme): string {
  const colours = COLOURS[theme]
  const { columns, baseline } = group
  const rows = group.rows.filter(({ cells }) => cells.some((cell) => cell !== null))
  const highest = Math.max(
    baseline ?? 0,
    ...rows.flatMap(({ cells }) => cells.map((cell) => cell?.upper ?? 0)),
  )
  const step = niceStep(highest)
  const ceiling = Math.max(step, Math.ceil(highest / step) * step)
  const y = (value: number): number => TOP + PLOT * (1 - value / ceiling)
  const span = (WIDTH - LEFT - RIGHT) / Math.max(1, columns.length)
  const bar = (span * 0.86) / Math.max(1, rows.length)

  const grid = steps(0, ceiling, step).map((value) =>
    [
      line(LEFT, y(value), WIDTH - RIGHT, y(value), colours.faint),
      text(LEFT - 8, y(value) + 4, label(value), colours.text, 'end'),
    ].join('\n'),
  )
  const bars = columns.flatMap((_, column) =>
    rows.flatMap(({ cells }, row) => {
      const cell = cells[column]
      if (cell === null || cell === undefined) return []
      const x = LEFT + span * (column + 0.07) + bar * row
      const middle = x + bar / 2 - 0.5
      return [
        `<rect x="${at(x)}" y="${at(y(cell.median))}" width="${at(bar - 1)}" height="${at(y(0) - y(cell.median))}" fill="${colourOf(colours, row)}"/>`,
        line(middle, y(cell.lower), middle, y(cell.upper), colours.text),
      ]
    }),
  )
  const titles = columns.map((column, index) =>
    text(LEFT + span * (index + 0.5), TOP + PLOT + LINE, column, colours.text, 'middle'),
  )
  const base =
    baseline === undefined ? [] : [line(LEFT, y(baseline), WIDTH - RIGHT, y(baseline), colours.text, 2)]
  const { legend, height } = legendOf(
    rows.map(({ name }) => name),
    TOP + PLOT + 2 * LINE,
    colours,
  )
  return picture(group.title, group.unit, height, colours, [...grid, ...bars, ...base, ...titles, ...legend])
}

/** Curves on logarithmic axes, with the quartiles as vertical lines. A cost per unit that is proportional to the size is a horizontal line. */
export function curveChart(curves: Curves, theme: Theme): string {
  const colours = COLOURS[theme]
  const points = curves.lines.flatMap((one) => one.points).filter(({ x, lower }) => x > 0 && lower > 0)
  const xs = decades(points.map(({ x }) => x))
  const ys = decades(points.flatMap(({ lower, upper }) => [lower, upper]))
  const x = (value: number): number => LEFT + (WIDTH - LEFT - RIGHT) * share(value, xs.from, xs.to)
  const y = (value: number): number => TOP + PLOT * (1 - share(value, ys.from, ys.to))

  const grid = [
    ...ys.all.map((value) =>
      [
        line(LEFT, y(value), WIDTH - RIGHT, y(value), colours.faint),
        text(LEFT - 8, y(value) + 4, label(value), colours.text, 'end'),
      ].join('\n'),
    ),
    ...xs.all.map((value) =>
      [
        line(x(value), TOP, x(value), TOP + PLOT, colours.faint),
        text(x(value), TOP + PLOT + LINE, label(value), colours.text, 'middle'),
      ].join('\n'),
    ),
  ]
  const drawn = curves.lines.flatMap((one, index) => {
    const colour = colourOf(colours, index)
    const shown = one.points.filter((point) => point.x > 0 && point.lower > 0)
    const path = shown.map((point) => `${at(x(point.x))},${at(y(point.median))}`).join(' ')
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...shown.map((point) => line(x(point.x), y(point.lower), x(point.x), y(point.upper), colour)),
      ...shown.map(
        (point) => `<circle cx="${at(x(point.x))}" cy="${at(y(point.median))}" r="3" fill="${colour}"/>`,
      ),
    ]
  })
  const { legend, height } = legendOf(
    curves.lines.map(({ name }) => name),
    TOP + PLOT + 3 * LINE,
    colours,
  )
  const xTitle = text(
    LEFT + (WIDTH - LEFT - RIGHT) / 2,
    TOP + PLOT + 2 * LINE,
    curves.xTitle,
    colours.text,
    'middle',
  )
  return picture(curves.title, curves.yTitle, height, colours, [...grid, ...drawn, xTitle, ...legend])
}

function picture(
  title: string,
  subtitle: string,
  height: number,
  colours: Colours,
  parts: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(WIDTH)} ${String(height)}" width="${String(WIDTH)}" height="${String(height)}" role="img" aria-label="${escaped(`${title}: ${subtitle}`)}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${String(WIDTH)}" height="${String(height)}" fill="${colours.background}"/>`,
    `<text x="${String(LEFT)}" y="24" font-size="16" font-weight="600" fill="${colours.text}">${escaped(title)}</text>`,
    text(LEFT, 44, subtitle, colours.text, 'start'),
    ...parts,
    '</svg>\n',
  ].join('\n')
}

/** Names with a square of their colour, four in a row. */
function legendOf(
  names: readonly string[],
  top: number,
  colours: Colours,
): { readonly legend: readonly string[]; readonly height: number } {
  const perRow = 4
  const width = (WIDTH - LEFT - RIGHT) / perRow
  const legend = names.map((name, index) => {
    const x = LEFT + width * (index % perRow)
    const y = top + LINE * Math.floor(index / perRow) + 8
    return [
      `<rect x="${at(x)}" y="${at(y)}" width="10" height="10" fill="${colourOf(colours, index)}"/>`,
      text(x + 16, y + 9, name, colours.text, 'start'),
    ].join('\n')
  })
  return { legend, height: top + LINE * Math.ceil(names.length / perRow) + 16 }
}

function colourOf({ series, text: other }: Colours, index: number): string {
  return series[index % series.length] ?? other
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, width = 1): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${colour}" stroke-width="${String(width)}"/>`
}

function text(
  x: number,
  y: number,
  content: string,
  colour: string,
  anchor: 'start' | 'middle' | 'end',
): string {
  return `<text x="${at(x)}" y="${at(y)}" fill="${colour}" text-anchor="${anchor}">${escaped(content)}</text>`
}

/** A coordinate. One digit is a tenth of a pixel. */
function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escaped(content: string): string {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

function label(value: number): string {
  if (value >= 1_000_000) return `${String(value / 1_000_000)}M`
  if (value >= 1_000) return `${String(value / 1_000)}k`
  return String(Number(value.toPrecision(3)))
}

/** 1, 2 or 5 times a power of ten, so that some five of them reach `highest`. */
export function niceStep(highest: number): number {
  if (!(highest > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(highest / 5))
  const factor = [1, 2, 5, 10].find((one) => one * power >= highest / 5) ?? 10
  return factor * power
}

function steps(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.round((to - from) / step) + 1 }, (_, index) => from + index * step)
}

/** The powers of ten around the values. */
function decades(values: readonly number[]): { from: number; to: number; all: number[] } {
  if (values.length === 0) return { from: 1, to: 10, all: [1, 10] }
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9)
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9))
  const all = Array.from({ length: high - low + 1 }, (_, index) =>
    Number((10 ** (low + index)).toPrecision(3)),
  )
  return { from: 10 ** low, to: 10 ** high, all }
}

function share(value: number, from: number, to: number): number {
  return Math.log(value / from) / Math.log(to / from)
}
