/** `npm run bench` in the repository: all benchmarks one after the other, their tables in a short form, and their charts. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BENCHMARKS, type Benchmark } from './benches.js'
import { shortReport, type Figures } from './harness/figures.js'
import { readmeSection, withSection } from './harness/readme.js'

const BENCH = fileURLToPath(new URL('.', import.meta.url))
const ROOT = join(BENCH, '..')
const README = join(ROOT, 'README.md')
const ALL = BENCHMARKS.map(({ name }) => name).join(',')

const { values } = parseArgs({
  options: {
    medium: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    only: { type: 'string', default: ALL },
    help: { type: 'boolean', default: false },
  },
})
const chosen = values.only.split(',').map((name) => {
  const found = BENCHMARKS.find((one) => one.name === name)
  if (found === undefined) throw new Error(`No benchmark is called ${name}. There are: ${ALL}`)
  return found
})
type Length = 'short' | 'medium' | 'full'
const length: Length = values.full ? 'full' : values.medium ? 'medium' : 'short'
const minutesOf = (benchmarks: readonly Benchmark[], of: Length): number =>
  Math.ceil(benchmarks.reduce((sum, benchmark) => sum + optionsOf(benchmark, of).minutes, 0))
if (values.help) {
  console.log(`
npm run bench -- [options]

  --medium         all contenders and workloads, few samples: some ${String(minutesOf(BENCHMARKS, 'medium'))} minutes (otherwise some ${String(minutesOf(BENCHMARKS, 'short'))})
  --full           all of them, with all samples: some ${String(minutesOf(BENCHMARKS, 'full'))} minutes
  --publish        write the results to bench/results and to README.md; otherwise to .cache/bench
  --only a,b       only these: ${ALL}`)
  process.exit()
}

const folder = values.publish ? join(BENCH, 'results') : join(ROOT, '.cache/bench')
if (!values.publish) rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
console.log(
  `${chosen.map(({ name }) => name).join(', ')}: some ${String(minutesOf(chosen, length))} minutes. Results go to ${relative(process.cwd(), folder)}. Do not use the machine meanwhile.`,
)
if (!existsSync(join(BENCH, 'node_modules'))) run('npm', ['ci', '--no-audit', '--no-fund'])

const startedAt = performance.now()
const reports: string[] = []
const failed: string[] = []
for (const benchmark of chosen) {
  const { name } = benchmark
  const benchStartedAt = performance.now()
  console.log(`\n=== ${name}`)
  // The benchmark's own tables are long: they go to its file, and the short form is printed in the end.
  const succeeded = run('npm', ['run', '--silent', name, '--', ...optionsOf(benchmark, length).options], {
    LIFEGUARD_BENCH_RESULTS: folder,
  })
  console.log(`=== ${name}: ${succeeded ? 'done' : 'FAILED'} after ${seconds(benchStartedAt)}`)
  if (!succeeded) failed.push(name)
  const figures = figuresOf(name)
  if (succeeded && figures !== undefined) reports.push(shortReport(figures))
}
console.log(`\n${reports.join('\n\n')}`)
if (values.publish) publishInReadme()
console.log(
  `\nTime: ${seconds(startedAt)}. Whole tables (.md), figures (.json) and charts (.svg): ${relative(process.cwd(), folder)}`,
)
if (failed.length > 0) {
  console.log(`Failed: ${failed.join(', ')}`)
  process.exitCode = 1
}

function optionsOf(
  { short, shortSeconds, medium, mediumMinutes, fullMinutes }: Benchmark,
  of: Length,
): { readonly options: readonly string[]; readonly minutes: number } {
  switch (of) {
    case 'short':
      return { options: short, minutes: shortSeconds / 60 }
    case 'medium':
      return { options: medium, minutes: mediumMinutes }
    case 'full':
      return { options: [], minutes: fullMinutes }
  }
}

function run(
  command: string,
  options: readonly string[],
  env: Readonly<Record<string, string>> = {},
): boolean {
  const { status } = spawnSync(command, options, {
    cwd: BENCH,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return status === 0
}

/** Undefined if the benchmark writes no figures, or has not run. */
function figuresOf(name: string): Figures | undefined {
  const path = join(folder, `${name}.json`)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Figures) : undefined
}

function publishInReadme(): void {
  const [session, orm] = [figuresOf('session'), figuresOf('orm')]
  if (session === undefined || orm === undefined) return
  const before = readFileSync(README, 'utf8')
  writeFileSync(README, withSection(before, readmeSection(session, orm)))
  console.log('\nWritten: README.md, Benchmarks')
}

function seconds(since: number): string {
  return `${String(Math.round((performance.now() - since) / 1_000))} s`
}
