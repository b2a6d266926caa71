import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { BENCHMARKS } from '../../../bench/benches.js'
import { pictureOf, picturesOf, type FigureGroup, type Figures } from '../../../bench/harness/figures.js'
import { readmeSection, withSection } from '../../../bench/harness/readme.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const RESULTS = join(ROOT, 'bench/results')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const figuresOf = (name: string): Figures => JSON.parse(read(`bench/results/${name}.json`)) as Figures

const group = (
  latency: number,
  cells: Readonly<Record<string, readonly (number | null)[]>>,
): FigureGroup => ({
  id: `throughput-20-callers-${String(latency)}ms`,
  title: `20 callers, ${String(latency)} ms`,
  unit: '',
  columns: ['read', 'write'],
  rows: Object.entries(cells).map(([name, medians]) => ({
    name,
    cells: medians.map((median) => (median === null ? null : { median, lower: median, upper: median })),
  })),
  baseline: 1,
})
const session: Figures = {
  name: 'session',
  title: 'Transactions, relative',
  circumstances: '- Date: 2026-01-02, commit abc\n- Machine: one',
  groups: [
    group(0, { 'hand-written (control)': [9, 9], lifeguard: [2, 0.9], kysely: [0.5, 1.1] }),
    group(1, { lifeguard: [1.5, 1], kysely: [0.7, null] }),
  ],
}
const orm: Figures = { ...session, name: 'orm', title: 'Entities', groups: [] }

describe("README's table", () => {
  const section = readmeSection(session, orm)

  test('has Lifeguard and the fastest other contender, of which the control is none', () => {
    expect(section).toContain(
      '| read  |            2.00 | 1.00 hand-written |            1.50 | 1.00 hand-written |',
    )
    expect(section).toContain(
      '| write |            0.90 |       1.10 kysely |            1.00 | 1.00 hand-written |',
    )
  })

  test('says where Lifeguard is not ahead: where it is slower or level', () => {
    expect(section).toContain('**not ahead** in: write (0 ms), write (1 ms).')
    const ahead = readmeSection({ ...session, groups: [group(0, { lifeguard: [2, 1.2] })] }, orm)
    expect(ahead).toContain('Lifeguard is ahead in every row.')
  })

  test('says when and of which commit', () => {
    expect(section).toContain('Transactions: 2026-01-02, commit abc.')
  })

  test('replaces the one before, and nothing else', () => {
    const readme = `Before\n\n${section}\n\nAfter\n`
    const other = readmeSection({ ...session, groups: [] }, orm)
    const replaced = withSection(readme, other)
    expect(replaced).toBe(`Before\n\n${other}\n\nAfter\n`)
    expect(withSection(replaced, section)).toBe(readme)
    expect(() => withSection('Before\n', section)).toThrow('README.md has no part between')
  })

  test('in README.md is the one of the published results', () => {
    expect(read('README.md')).toContain(readmeSection(figuresOf('session'), figuresOf('orm')))
  })
})

describe('charts', () => {
  const documents = [
    'README.md',
    'bench/README.md',
    ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
    ...readdirSync(RESULTS).map((name) => `bench/results/${name}`),
  ].filter((name) => name.endsWith('.md'))

  test.each(documents)('that %s shows are there, light and dark', (path) => {
    const named = [...read(path).matchAll(/(?:src|srcset)="([^"]+)"/g)].map(([, name = '']) => name)
    expect(named.filter((name) => !existsSync(join(ROOT, dirname(path), name)))).toEqual([])
  })

  test('of the published results are small', () => {
    const charts = readdirSync(RESULTS).filter((name) => name.endsWith('.svg'))
    expect(charts.length).toBeGreaterThan(0)
    for (const name of charts) {
      expect(read(`bench/results/${name}`).length, name).toBeLessThan(25_000)
      const other = name.replace(/-(light|dark)\.svg$/, (_, theme) =>
        theme === 'light' ? '-dark.svg' : '-light.svg',
      )
      expect(charts).toContain(other)
    }
  })

  test('are shown in the colours of the page, with a text for those who do not see them', () => {
    const picture = pictureOf('results/a', 'What it shows')
    expect(picture).toContain('media="(prefers-color-scheme: dark)" srcset="results/a-dark.svg"')
    expect(picture).toContain('<img src="results/a-light.svg" alt="What it shows">')
    expect(picturesOf(session).match(/<picture>/g)).toHaveLength(2)
  })
})

test('each benchmark has a file, a script, a place in the description, and a short run of less than 10 minutes for all', () => {
  const { scripts } = JSON.parse(read('bench/package.json')) as { scripts: Record<string, string> }
  for (const { name } of BENCHMARKS) {
    expect(existsSync(join(ROOT, `bench/${name}.ts`)), name).toBe(true)
    expect(scripts[name]).toBe(`tsx ${name}.ts`)
    expect(read('bench/README.md')).toContain(`- **\`${name}\`**`)
  }
  const listed = readdirSync(join(ROOT, 'bench')).filter((file) => file.endsWith('.ts'))
  const programs = listed
    .filter((file) => !['benches.ts', 'run.ts'].includes(file))
    .map((file) => file.slice(0, -3))
  expect(BENCHMARKS.map(({ name }) => name).sort()).toEqual(programs.sort())
  expect(BENCHMARKS.reduce((sum, { shortSeconds }) => sum + shortSeconds, 0)).toBeLessThan(600)
})
