/** How the cost grows with the size of the work: `npm run scale`. What is measured and how to read it is in README.md. */
import { parseArgs } from 'node:util'
import { buildContenders } from './harness/build.js'
import { rounded, type Curves, type Figures } from './harness/figures.js'
import { circumstancesOf, publishFigures, table } from './harness/report.js'
import type { ScaleRequest } from './harness/scale-child.js'
import { createScaleTables, tidyScaleTables } from './harness/scale-tables.js'
import { SCALE_POOL_SIZE, SERIES, type Cost, type Series, type SeriesName } from './harness/scale-work.js'
import { growsFasterThanLinearly, LINEAR_UP_TO, topSlope } from './harness/scaling.js'
import { startBenchServer } from './harness/server.js'
import { summarise, type Summary } from './harness/statistics.js'
import { Worker } from './harness/worker.js'

const CONTENDERS = ['lifeguard', 'hand-written'] as const
type Contender = (typeof CONTENDERS)[number]

/** What each picture shows. */
const PICTURES: Readonly<
  Record<string, { readonly title: string; readonly x: string; readonly series: readonly SeriesName[] }>
> = {
  objects: {
    title: 'Entities in one session',
    x: 'objects in the session',
    series: ['flushNew', 'flushChanged', 'flushUnchanged', 'load'],
  },
  sessions: { title: 'Sessions at once on 10 connections', x: 'sessions at once', series: ['sessions'] },
  columns: { title: 'Columns', x: 'columns of the table', series: ['columnsLoad', 'columnsFlush'] },
  values: { title: 'Large values', x: 'MB', series: ['text', 'bytea'] },
}

/** What is measured: how to read it of a cost, in the unit of its tables. */
const MEASURES = {
  time: { title: 'us', of: ({ millis }: Cost) => millis * 1_000 },
  cpu: { title: 'us of client CPU', of: ({ cpuMicros }: Cost) => cpuMicros },
  memory: { title: 'bytes held', of: ({ bytes }: Cost) => bytes },
} as const
type Measure = keyof typeof MEASURES
const MEASURE_NAMES = Object.keys(MEASURES) as Measure[]

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    largest: { type: 'string', default: '100000' },
    series: { type: 'string' },
    'print-only': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const names = (Object.keys(SERIES) as SeriesName[]).filter(
  (name) => values.series?.split(',').includes(name) ?? true,
)
if (values.help) {
  console.log(`
  --rounds N       samples per figure (default 7); one more is measured first and discarded
  --largest N      leave out larger sizes (default 100000)
  --series a,b     only these: ${Object.keys(SERIES).join(', ')}
  --print-only     leave results/ alone; so does a choice of series`)
  process.exit()
}
const rounds = Number(values.rounds)
const largest = Number(values.largest)

/** Costs of each round, by contender, series and size. */
const costs = new Map<string, Cost[]>()
const keyOf = (contender: Contender, series: SeriesName, size: number): string =>
  `${contender} ${series} ${String(size)}`
const sizesOf = (series: SeriesName): number[] => SERIES[series].sizes.filter((size) => size <= largest)

const built = await buildContenders('scale')
const server = await startBenchServer()
const { url } = server
const workers = new Map<Contender, Worker<ScaleRequest>>()
try {
  await createScaleTables(url)
  const able = new Map<Contender, readonly string[]>()
  for (const name of CONTENDERS) {
    const path = `${built}/contenders/scale/${name}.js`
    const worker = new Worker<ScaleRequest>(
      name,
      `${built}/harness/scale-child.js`,
      [path, url],
      ['--expose-gc'],
    )
    workers.set(name, worker)
    able.set(name, await worker.ask<readonly string[]>({ kind: 'series' }))
  }
  for (const series of names) {
    for (let round = 0; round <= rounds; round += 1) {
      for (const size of sizesOf(series)) {
        for (const [contender, worker] of workers) {
          if (able.get(contender)?.includes(series) !== true) continue
          const cost = await worker.ask<Cost>({ kind: 'measure', series, size })
          const key = keyOf(contender, series, size)
          if (round > 0) costs.set(key, [...(costs.get(key) ?? []), cost])
          await tidyScaleTables(url)
        }
      }
    }
    process.stderr.write('.')
  }
} finally {
  for (const worker of workers.values()) await worker.end()
  await server.stop()
}
process.stderr.write('\n')

const lines = names.flatMap((series) =>
  CONTENDERS.filter((contender) => costs.has(keyOf(contender, series, sizesOf(series)[0] ?? 0))).map(
    (contender) => ({ series, contender, slopes: slopesOf(contender, series) }),
  ),
)
const remarks = lines.flatMap(({ series, contender, slopes }) =>
  MEASURE_NAMES.filter((measure) => growsFasterThanLinearly(slopes[measure])).map(
    (measure) =>
      `${contender}, ${SERIES[series].title}: ${measure} grows faster than linearly (slope ${slopeText(slopes[measure])} over the three largest sizes).`,
  ),
)
if (remarks.length === 0)
  remarks.push(
    `Nothing grows faster than linearly: no lower quartile of a slope is above ${String(LINEAR_UP_TO)}.`,
  )

const figures: Figures = {
  name: 'scale',
  title: 'Cost against the size of the work',
  circumstances: circumstancesOf(
    server.version,
    ['pg'],
    [`${String(rounds)} rounds, one process for each contender, ${String(SCALE_POOL_SIZE)} connections each`],
  ),
  groups: [
    {
      id: 'slopes',
      title: 'Slope of the cost on logarithmic axes, over the three largest sizes',
      unit: '1 is linear',
      columns: MEASURE_NAMES,
      rows: lines.map(({ series, contender, slopes }) => ({
        name: `${SERIES[series].title}, ${contender}`,
        cells: MEASURE_NAMES.map((measure) => orNull(slopes[measure])),
      })),
    },
  ],
  curves: Object.entries(PICTURES).flatMap(([id, picture]) =>
    (['time', 'memory'] as const).flatMap((measure) => curvesOf(id, picture, measure)),
  ),
  remarks,
}

const text = [
  `# ${figures.title}`,
  'Written by `npm run scale` (see [README.md](../README.md)): medians, and quartiles in brackets.',
  figures.circumstances,
  '## Slopes',
  `The exponent of the growth over the three largest sizes, by least squares of the logarithms: 1 if the cost is proportional to the size. A cost is named if the lower quartile is above ${String(LINEAR_UP_TO)}.`,
  table(
    ['', ...MEASURE_NAMES],
    lines.map(({ series, contender, slopes }) => [
      `${SERIES[series].title}, ${contender}`,
      ...MEASURE_NAMES.map((measure) => slopeText(slopes[measure])),
    ]),
  ),
  ...remarks,
  ...names.flatMap((series) => [`## ${capitalised(SERIES[series].title)}`, sizesTable(series)]),
].join('\n\n')
console.log(`\n${text}`)
const inFolder = process.env['LIFEGUARD_BENCH_RESULTS'] !== undefined
if (!values['print-only'] && (values.series === undefined || inFolder)) {
  publishFigures(figures, text)
}

function slopesOf(contender: Contender, series: SeriesName): Readonly<Record<Measure, Summary>> {
  const slopeOf = (measure: Measure): Summary =>
    topSlope(
      Array.from({ length: rounds }, (_, round) =>
        sizesOf(series).map((size) => {
          const cost = costs.get(keyOf(contender, series, size))?.[round]
          return { size, cost: cost === undefined ? NaN : MEASURES[measure].of(cost) }
        }),
      ),
    )
  return { time: slopeOf('time'), cpu: slopeOf('cpu'), memory: slopeOf('memory') }
}

/** Cost per unit. */
function perUnit(contender: Contender, series: SeriesName, size: number, measure: Measure): Summary {
  const { unit }: Series = SERIES[series]
  // Values of a table with so many columns: one more is the key.
  const units = unit === 'value' ? size + 1 : size
  return summarise(
    (costs.get(keyOf(contender, series, size)) ?? []).map((cost) => MEASURES[measure].of(cost) / units),
  )
}

function sizesTable(series: SeriesName): string {
  const { unit } = SERIES[series]
  const per = unit === 'value' ? '500 values' : unit
  const rows = sizesOf(series).flatMap((size) =>
    CONTENDERS.filter((contender) => costs.has(keyOf(contender, series, size))).map((contender) => [
      size.toLocaleString('en'),
      contender,
      ...MEASURE_NAMES.map((measure) => perUnitText(perUnit(contender, series, size, measure))),
    ]),
  )
  return table(['size', '', ...MEASURE_NAMES.map((measure) => `${MEASURES[measure].title} per ${per}`)], rows)
}

function curvesOf(
  id: string,
  { title, x, series }: (typeof PICTURES)[string],
  measure: 'time' | 'memory',
): Curves[] {
  const curves = names
    .filter((name) => series.includes(name))
    .flatMap((name) =>
      CONTENDERS.map((contender) => ({
        name: `${SERIES[name].title}, ${contender}`,
        points: sizesOf(name)
          .map((size) => ({ x: size, ...rounded(perUnit(contender, name, size, measure)) }))
          .filter(({ median }) => !Number.isNaN(median)),
      })),
    )
    .filter(({ points }) => points.length > 0)
  if (curves.length === 0) return []
  const unit = SERIES[series[0] ?? 'load'].unit
  const per = unit === 'value' ? '500 values (one column)' : unit
  return [
    {
      id: `${id}-${measure}`,
      title,
      xTitle: x,
      yTitle: `${measure === 'time' ? 'microseconds' : 'bytes held'} per ${per} (less is better; horizontal: grows linearly)`,
      lines: curves,
    },
  ]
}

function perUnitText(one: Summary): string {
  // Less than what other garbage weighs.
  if (!(one.lower > 0)) return '-'
  const digits = one.median < 10 ? 2 : one.median < 100 ? 1 : 0
  const figure = (value: number): string =>
    value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return `${figure(one.median)} (${figure(one.lower)}-${figure(one.upper)})`
}

function slopeText(one: Summary): string {
  return Number.isNaN(one.median)
    ? '-'
    : `${one.median.toFixed(2)} (${one.lower.toFixed(2)}-${one.upper.toFixed(2)})`
}

function orNull(one: Summary): Summary | null {
  return Number.isNaN(one.median) ? null : one
}

function capitalised(title: string): string {
  return title.charAt(0).toUpperCase() + title.slice(1)
}
