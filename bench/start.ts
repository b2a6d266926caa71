/** Fresh processes: `npm run start`. What is measured and how to read it is in README.md. */
import { parseArgs } from 'node:util'
import { buildContenders } from './harness/build.js'
import { namesOf } from './harness/options.js'
import { POOL_SIZE } from './harness/contender.js'
import { rounded, type FigureGroup } from './harness/figures.js'
import { circumstancesOf, publishFigures, spread, table } from './harness/report.js'
import { startBenchServer } from './harness/server.js'
import { createSongTables, restoreSongTables } from './harness/song-tables.js'
import type { StartSample } from './harness/start-child.js'
import { compared, figure, runStarts, type StartGroup, type Starts } from './harness/start-runs.js'

const HAND_WRITTEN = 'hand-written'
const MARKS = [1, 200, 2_000]
const LONG_MARKS = [...MARKS, 20_000]
const WEIGH_AT = 2_000

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    'entity-rounds': { type: 'string', default: '1' },
    'long-rounds': { type: 'string', default: '1' },
    callers: { type: 'string', default: '20' },
    contenders: { type: 'string' },
    'print-only': { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const entityRounds = Number(values['entity-rounds'])
const longRounds = Number(values['long-rounds'])
const callers = Number(values.callers)
const chosen = values.contenders === undefined ? undefined : namesOf(values.contenders)

const bySql = (name: string, module = name) => ({ name, module: `session/${module}` })
const byEntities = (name: string, module = name) => ({ name, module: `orm/${module}` })

const SQL = [bySql(HAND_WRITTEN), bySql(`${HAND_WRITTEN} (control)`, HAND_WRITTEN), bySql('lifeguard')]
const SQL_PEERS = [bySql('postgres.js', 'postgres-js')]
const ENTITIES = [
  byEntities(HAND_WRITTEN),
  byEntities(`${HAND_WRITTEN} (control)`, HAND_WRITTEN),
  byEntities('lifeguard'),
]
const ENTITY_PEERS = ['mikro-orm', 'typeorm', 'drizzle', 'prisma', 'sequelize', 'objection'].map((name) =>
  byEntities(name),
)

const READ_AND_WRITE = ['read', 'write']
const INSERT_AND_CHANGE = ['insert', 'change']
const GROUPS: readonly StartGroup[] = [
  group('SQL: `read` and `write` in turn', [...SQL, ...SQL_PEERS], READ_AND_WRITE, MARKS, rounds),
  group(
    'Entities: `insert` and `change` in turn',
    [...ENTITIES, ...ENTITY_PEERS],
    INSERT_AND_CHANGE,
    MARKS,
    entityRounds,
  ),
  group('SQL, 20,000 transactions', withoutControl(SQL), READ_AND_WRITE, LONG_MARKS, longRounds),
  group('Entities, 20,000 transactions', withoutControl(ENTITIES), INSERT_AND_CHANGE, LONG_MARKS, longRounds),
].filter((one) => one.rounds > 0)

const PACKAGES = [
  'pg',
  'postgres',
  '@mikro-orm/core',
  'typeorm',
  'drizzle-orm',
  '@prisma/client',
  'sequelize',
  'objection',
]

const built = new Map<string, string>()
const server = await startBenchServer()
const sections: string[] = []
const figureGroups: FigureGroup[] = []
const goals: string[][] = []
try {
  const { url } = server
  await createSongTables(url)
  for (const one of GROUPS) {
    const folder = one.contenders[0]?.module.split('/')[0] ?? ''
    if (!built.has(folder))
      built.set(folder, await buildContenders(folder, { whole: true, outdir: `dist/start-${folder}` }))
    const starts = await runStarts(one, url, built.get(folder) ?? '')
    await server.empty()
    if (folder === 'orm') await restoreSongTables(url)
    sections.push(section(one, starts))
    figureGroups.push(figureGroup(one, starts, `${folder}-${String(figureGroups.length)}`))
    console.log(`\n${sections.at(-1) ?? ''}`)
    goals.push(...goalsOf(folder, one, starts))
  }
} finally {
  await server.stop()
}
process.stderr.write('\n')

const goalTable = ['## Goals', table(['', 'goal', 'measured', ''], goals)].join('\n\n')
const title = 'Fresh processes, relative to hand-written node-postgres'
const course = circumstancesOf(server.version, PACKAGES, [
  `Processes of each contender: ${String(rounds)} by SQL, ${String(entityRounds)} with entities, ${String(longRounds)} for 20,000 transactions; ${String(callers)} callers, ${String(POOL_SIZE)} connections`,
])
const report = [
  `# ${title}`,
  'Written by `npm run start` (see [README.md](../README.md)): medians, and quartiles in brackets. Less is better.',
  course,
  ...sections,
  goalTable,
].join('\n\n')
console.log(`\n${goalTable}`)
if (!values['print-only'] && chosen === undefined)
  publishFigures({ name: 'start', title, circumstances: course, groups: figureGroups }, report)

function group(
  title: string,
  contenders: StartGroup['contenders'],
  workloads: readonly string[],
  marks: readonly number[],
  times: number,
): StartGroup {
  const taking = contenders.filter(({ name }) => chosen?.includes(name) ?? true)
  return {
    title,
    contenders: taking,
    rounds: times,
    schedule: { workloads, callers, marks, weighAt: WEIGH_AT },
  }
}

function withoutControl(contenders: StartGroup['contenders']): StartGroup['contenders'] {
  return contenders.filter(({ name }) => !name.includes('control'))
}

function section({ title, contenders, schedule: { marks } }: StartGroup, starts: Starts): string {
  const names = contenders.map(({ name }) => name)
  const counts = marks.map((mark) =>
    mark === 1 ? 'first transaction' : `first ${mark.toLocaleString('en')}`,
  )
  const whole = (name: string, of: (sample: StartSample) => number): string =>
    Math.round(figure(starts, name, of).median).toLocaleString('en')
  const ratio = (name: string, of: (sample: StartSample) => number): string =>
    spread(compared(starts, name, HAND_WRITTEN, (sample, other) => of(sample) / of(other)))
  const atMark = (at: number) => (sample: StartSample) => sample.millis[at] ?? NaN
  return [
    `## ${title}`,
    'Milliseconds (import; from the connect to the end of so many transactions; CPU from the start of the process to the end of 2,000), and MB then:',
    table(
      ['', 'import', ...counts, 'CPU', 'rss', 'heap'],
      names.map((name) => [
        name,
        whole(name, ({ importMillis }) => importMillis),
        ...marks.map((_, at) => whole(name, atMark(at))),
        whole(name, ({ cpuMillis }) => cpuMillis),
        whole(name, ({ rssMegabytes }) => rssMegabytes),
        whole(name, ({ heapMegabytes }) => heapMegabytes),
      ]),
    ),
    'The same, divided by hand-written in the same round:',
    table(
      ['', 'import', ...counts, 'CPU', 'rss'],
      names
        .filter((name) => name !== HAND_WRITTEN)
        .map((name) => [
          name,
          ratio(name, ({ importMillis }) => importMillis),
          ...marks.map((_, at) => ratio(name, atMark(at))),
          ratio(name, ({ cpuMillis }) => cpuMillis),
          ratio(name, ({ rssMegabytes }) => rssMegabytes),
        ]),
    ),
  ].join('\n\n')
}

/** The ratios of a section. The first two, of short runs, are drawn. */
function figureGroup(
  { title, contenders, schedule: { marks } }: StartGroup,
  starts: Starts,
  id: string,
): FigureGroup {
  const parts: [string, (sample: StartSample) => number][] = [
    ['import', ({ importMillis }) => importMillis],
    ...marks.map((mark, at): [string, (sample: StartSample) => number] => [
      `first ${mark.toLocaleString('en')}`,
      ({ millis }) => millis[at] ?? NaN,
    ]),
    ['CPU', ({ cpuMillis }) => cpuMillis],
    ['rss', ({ rssMegabytes }) => rssMegabytes],
  ]
  return {
    id,
    title: title.replaceAll('`', ''),
    unit: 'time, CPU and memory divided by those of hand-written (less is better)',
    columns: parts.map(([name]) => name),
    rows: contenders
      .filter(({ name }) => name !== HAND_WRITTEN)
      .map(({ name }) => ({
        name,
        cells: parts.map(([, of]) =>
          rounded(compared(starts, name, HAND_WRITTEN, (sample, other) => of(sample) / of(other))),
        ),
      })),
    ...(marks.length > MARKS.length ? {} : { baseline: 1 }),
  }
}

/** What the project has set itself. */
function goalsOf(folder: string, { schedule: { marks } }: StartGroup, starts: Starts): string[][] {
  if (marks.length > MARKS.length || !starts.has('lifeguard') || !starts.has(HAND_WRITTEN)) return []
  const verdict = (got: number, goal: number): string => (got <= goal ? 'reached' : 'missed')
  const last = MARKS.length - 1
  const of = ({ millis }: StartSample): number => millis[last] ?? NaN
  const got = compared(starts, 'lifeguard', HAND_WRITTEN, (sample, other) => of(sample) / of(other)).median
  const goal = folder === 'orm' ? 1.15 : 1
  const rows = [
    [
      `first 2,000, ${folder === 'orm' ? 'entities' : 'SQL'}`,
      goal.toFixed(2),
      got.toFixed(2),
      verdict(got, goal),
    ],
  ]
  if (folder === 'orm') return rows
  const more = compared(
    starts,
    'lifeguard',
    HAND_WRITTEN,
    (sample, other) => sample.importMillis - other.importMillis,
  )
  return [
    ['import, more than `pg`', '40 ms', `${more.median.toFixed(0)} ms`, verdict(more.median, 40)],
    ...rows,
  ]
}
