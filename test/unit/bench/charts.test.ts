import { describe, expect, test } from 'vitest'
import { barChart, curveChart, niceStep } from '../../../bench/harness/charts.js'
import {
  figureTable,
  rounded,
  shortReport,
  spreadOf,
  type Curves,
  type FigureGroup,
} from '../../../bench/harness/figures.js'

const GROUP: FigureGroup = {
  id: 'throughput',
  title: 'Transactions <&> "more"',
  unit: 'times hand-written',
  columns: ['read', 'write'],
  rows: [
    { name: 'lifeguard', cells: [summary(2, 1.5, 2.5), summary(1.2, 1.1, 1.3)] },
    { name: 'other', cells: [null, summary(0.5, 0.4, 0.6)] },
    { name: 'absent', cells: [null, null] },
  ],
  baseline: 1,
}

const CURVES: Curves = {
  id: 'flush',
  title: 'Flush',
  xTitle: 'objects',
  yTitle: 'microseconds per object',
  lines: [
    {
      name: 'lifeguard',
      points: [
        { x: 10, ...summary(100, 50, 200) },
        { x: 100_000, ...summary(10, 9, 11) },
      ],
    },
  ],
}

function summary(median: number, lower: number, upper: number) {
  return { median, lower, upper }
}

/** Values of an attribute of all elements of this name. */
function attributes(svg: string, element: string, attribute: string): number[] {
  return [...svg.matchAll(new RegExp(`<${element} [^>]*\\b${attribute}="([^"]*)"`, 'g'))].map(([, value]) =>
    Number(value),
  )
}

/** Every element is closed, and nothing but text is inside of one. */
function requireWellFormed(svg: string): void {
  const open: string[] = []
  for (const [, closing, name = '', selfClosing] of svg.matchAll(/<(\/?)(\w+)(?:[^<>"]|"[^"<]*")*?(\/?)>/g)) {
    if (closing === '/') expect(open.pop()).toBe(name)
    else if (selfClosing !== '/') open.push(name)
  }
  expect(open).toEqual([])
  expect(svg.replaceAll(/<[^<>]*>/g, '')).not.toMatch(/[<>]|&(?!amp;|lt;|gt;|quot;)/)
  expect(svg).not.toMatch(/NaN|Infinity|undefined/)
}

describe.each(['light', 'dark'] as const)('a chart for a %s page', (theme) => {
  test('is a small well-formed document that needs nothing from elsewhere', () => {
    for (const svg of [barChart(GROUP, theme), curveChart(CURVES, theme)]) {
      requireWellFormed(svg)
      expect(svg.length).toBeLessThan(10_000)
      expect(svg).not.toMatch(/<script|<image|href|url\(|@import|on\w+=/)
      expect(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg" viewBox=')).toBe(true)
    }
  })

  test('says in a text for screen readers what it shows', () => {
    expect(barChart(GROUP, theme)).toContain(
      'aria-label="Transactions &lt;&amp;&gt; &quot;more&quot;: times hand-written"',
    )
  })
})

test('the charts for light and dark pages differ in colours only', () => {
  const shape = (svg: string): string => svg.replaceAll(/#[0-9a-f]{6}/g, '#')
  expect(shape(barChart(GROUP, 'light'))).toBe(shape(barChart(GROUP, 'dark')))
  expect(barChart(GROUP, 'light')).not.toBe(barChart(GROUP, 'dark'))
  expect(shape(curveChart(CURVES, 'light'))).toBe(shape(curveChart(CURVES, 'dark')))
})

describe('bars', () => {
  test('are as high as their medians, and no bar is drawn where nothing was measured', () => {
    // The first rectangle is the background, the small ones belong to the legend.
    const heights = attributes(barChart(GROUP, 'light'), 'rect', 'height')
      .slice(1)
      .filter((one) => one !== 10)
    expect(heights).toHaveLength(3)
    const [two = 0, lower = 0, half = 0] = heights
    expect(two / lower).toBeCloseTo(2 / 1.2, 1)
    expect(two / half).toBeCloseTo(4, 1)
  })

  test('have the quartiles as a line around the median', () => {
    const svg = barChart(
      { ...GROUP, columns: ['read'], rows: [{ name: 'one', cells: [summary(2, 1, 3)] }] },
      'light',
    )
    const [top = 0] = attributes(svg, 'rect', 'y')
    const vertical = [...svg.matchAll(/<line x1="([\d.]+)" y1="([\d.]+)" x2="\1" y2="([\d.]+)"/g)]
    expect(vertical).toHaveLength(1)
    const [, , from, to] = vertical[0] ?? []
    expect(Number(from) - top).toBeCloseTo(top - Number(to), 0)
  })

  test('of contenders that measured nothing are left out of the legend', () => {
    expect(barChart(GROUP, 'light')).not.toContain('absent')
  })

  test('of nothing are an empty chart', () => {
    requireWellFormed(barChart({ ...GROUP, rows: [], columns: [] }, 'light'))
    requireWellFormed(curveChart({ ...CURVES, lines: [] }, 'light'))
    requireWellFormed(
      curveChart({ ...CURVES, lines: [{ name: 'zero', points: [{ x: 1, ...summary(0, 0, 0) }] }] }, 'light'),
    )
  })
})

test('curves are drawn on logarithmic axes inside of the picture', () => {
  const svg = curveChart(CURVES, 'light')
  const [x1 = 0, x2 = 0] = attributes(svg, 'circle', 'cx')
  const [y1 = 0, y2 = 0] = attributes(svg, 'circle', 'cy')
  expect(x1).toBe(60)
  expect(x2).toBe(840)
  // 100 lies a decade above 10.
  expect(y2).toBeGreaterThan(y1)
  expect(svg).toContain('>100k</text>')
})

test.each([
  [10, 2],
  [3, 1],
  [2.5, 0.5],
  [0.9, 0.2],
  [0, 1],
  [NaN, 1],
])('the lines of an axis up to %d are %d apart', (highest, step) => {
  expect(niceStep(highest)).toBeCloseTo(step, 10)
})

describe('tables of figures', () => {
  test('have medians with quartiles, and a dash where nothing was measured', () => {
    expect(figureTable(GROUP)).toBe(
      [
        '|           |             read |            write |',
        '| --------- | ---------------: | ---------------: |',
        '| lifeguard | 2.00 (1.50-2.50) | 1.20 (1.10-1.30) |',
        '| other     |                - | 0.50 (0.40-0.60) |',
      ].join('\n'),
    )
  })

  test('have fewer digits for larger figures', () => {
    expect(spreadOf(summary(12.345, 11, 13))).toBe('12.3 (11.0-13.0)')
    expect(spreadOf(summary(12_345.6, 11_000, 13_000))).toBe('12,346 (11,000-13,000)')
    expect(rounded(summary(1.23456, 0.0123456, 98_765))).toEqual(summary(1.23, 0.0123, 98_800))
  })

  test('follow the title in the short report, and the remarks come last', () => {
    const report = shortReport({
      name: 'a',
      title: 'A',
      circumstances: '',
      groups: [GROUP],
      remarks: ['Last.'],
    })
    expect(report.startsWith('# A\n\nTransactions')).toBe(true)
    expect(report.endsWith('\n\nLast.')).toBe(true)
  })
})
