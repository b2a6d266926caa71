/** Runs commands side by side, prints the output of each whole, and tells in the end what passed, what was skipped and why, and what failed. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One command of a run. */
export interface Leg {
  readonly name: string
  /** A line for the shell. */
  readonly command: string
  readonly env?: Readonly<Record<string, string>>
  /** Names of legs that have to pass before. If one was skipped or failed, this one is skipped. */
  readonly after?: readonly string[]
  /** Runs with nothing beside it, in the order of the list: what keeps both cores busy, or measures time. */
  readonly alone?: boolean
  /** Prepares something that a machine may not have: if it fails, it counts as skipped, with its last lines as the reason. */
  readonly optional?: boolean
  /** The command is a vitest, whose tests are counted and whose failures are repeated at the end. */
  readonly tests?: boolean
}

interface Ended {
  readonly leg: Leg
  readonly state: 'passed' | 'skipped' | 'failed'
  readonly seconds: number
  readonly output: string
  readonly why: string
}

/** The parts of vitest's JSON report that are used here. */
interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

const LONGEST_FAILURES = 60
/** Legs beside each other: as many as the smallest machine has cores. */
const WIDTH = 2

/**
 * Runs all legs, at most two at a time, also after one that failed.
 * @param options.scratch A folder for the reports of vitest.
 * @param options.note Printed behind the time that it took.
 * @returns True if none failed.
 */
export async function runLegs(
  legs: readonly Leg[],
  { scratch, note }: { scratch: string; note?: string },
): Promise<boolean> {
  const startedAt = performance.now()
  const pending = [...legs]
  const running = new Map<Leg, Promise<void>>()
  const ended = new Map<string, Ended>()

  const next = (): Leg | undefined => {
    if (running.size >= WIDTH || [...running.keys()].some(({ alone }) => alone)) return undefined
    const isReady = ({ after = [] }: Leg): boolean => after.every((name) => ended.has(name))
    const beside = pending.find((leg) => leg.alone !== true && isReady(leg))
    if (beside !== undefined || running.size > 0) return beside
    return pending.find(isReady)
  }

  while (pending.length > 0 || running.size > 0) {
    const leg = next()
    if (leg === undefined) {
      if (running.size === 0)
        throw new Error(`Nothing leads to: ${pending.map(({ name }) => name).join(', ')}`)
      await Promise.race(running.values())
      continue
    }
    pending.splice(pending.indexOf(leg), 1)
    const missing = leg.after?.map((name) => ended.get(name)).find((one) => one?.state !== 'passed')
    if (missing !== undefined) {
      const why =
        missing.state === 'failed' ? `${missing.leg.name} failed` : `${missing.leg.name}: ${missing.why}`
      ended.set(leg.name, { leg, state: 'skipped', seconds: 0, output: '', why })
      console.log(`\n=== ${leg.name}: skipped: ${why}`)
      continue
    }
    const run = runLeg(leg, scratch).then((end) => {
      ended.set(leg.name, end)
      running.delete(leg)
    })
    running.set(leg, run)
  }

  summarize(
    [...legs].map(({ name }) => ended.get(name) as Ended),
    scratch,
    `Time: ${String(since(startedAt))} s${note === undefined ? '' : `\n${note}`}`,
  )
  return ![...ended.values()].some(({ state }) => state === 'failed')
}

async function runLeg(leg: Leg, scratch: string): Promise<Ended> {
  const { name, alone = false, optional = false, tests = false } = leg
  const options = `--reporter=default --reporter=json --outputFile.json="${reportOf(leg, scratch)}"`
  const command = tests ? `${leg.command} ${options}` : leg.command
  const startedAt = performance.now()
  console.log(alone ? `\n=== ${name}: ${leg.command}` : `... ${name} has started`)
  const child = spawn(command, {
    shell: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...leg.env },
  })
  let output = ''
  for (const [stream, target] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      // Nothing runs beside it, so that its lines cannot get between those of another.
      if (alone) target.write(text)
    })
  }
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', ({ message }) => resolve(message))
    child.once('close', (exitCode, signal) => resolve(exitCode ?? signal ?? 'no exit code'))
  })
  const seconds = since(startedAt)
  const state = code === 0 ? 'passed' : optional ? 'skipped' : 'failed'
  const why = state === 'skipped' ? lastLines(output, 3).join(' ') : `exit code ${String(code)}`
  if (!alone) console.log(`\n=== ${name}: ${leg.command}\n${output.trimEnd()}`)
  console.log(`=== ${name}: ${state} after ${String(seconds)} s${state === 'failed' ? ` (${why})` : ''}`)
  return { leg, state, seconds, output, why }
}

/** Failures first, so that the last hundred lines have them and the counts. */
function summarize(ends: readonly Ended[], scratch: string, time: string): void {
  const failed = ends.filter(({ state }) => state === 'failed')
  if (failed.length > 0) {
    const lines = failed.flatMap((end) => [`--- ${end.leg.name}`, ...failuresOf(end, scratch)])
    const left = lines.length - LONGEST_FAILURES
    console.log(['\n=== Failures', ...lines.slice(0, LONGEST_FAILURES)].join('\n'))
    if (left > 0) console.log(`... and ${String(left)} more lines of this kind`)
  }
  console.log('\n=== Summary')
  for (const { leg, state, seconds, why } of ends) {
    if (state === 'passed') console.log(`passed:  ${leg.name} (${String(seconds)} s)`)
    else console.log(`${state === 'failed' ? 'FAILED: ' : 'skipped:'} ${leg.name}: ${why}`)
  }
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const { leg } of ends) {
    const report = readReport(leg, scratch)
    if (report === undefined) continue
    sum.passed += report.numPassedTests
    sum.failed += report.numFailedTests
    sum.skipped += report.numPendingTests + report.numTodoTests
  }
  console.log(time)
  if (ends.some(({ leg }) => leg.tests)) {
    console.log(
      `Tests: ${String(sum.passed)} passed, ${String(sum.failed)} failed, ${String(sum.skipped)} skipped`,
    )
  }
}

/** Each failing test with the first lines of its message; of another command the end of its output. */
function failuresOf({ leg, output }: Ended, scratch: string): string[] {
  const results = readReport(leg, scratch)?.testResults ?? []
  const lines = results.flatMap(({ name, status, message, assertionResults }) => {
    const file = name.replace(`${process.cwd()}/`, '')
    const tests = assertionResults.filter((test) => test.status === 'failed')
    // A file that could not be loaded has no tests.
    if (tests.length === 0) return status === 'failed' ? [`FAIL ${file}`, ...firstLines(message)] : []
    return tests.flatMap(({ fullName, failureMessages = [] }) => [
      `FAIL ${file} > ${fullName}`,
      ...firstLines(failureMessages.join('\n')),
    ])
  })
  return lines.length > 0 ? lines : lastLines(output, 20)
}

function readReport(leg: Leg, scratch: string): Report | undefined {
  const path = reportOf(leg, scratch)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Report) : undefined
}

function reportOf({ name }: Leg, scratch: string): string {
  return join(scratch, `${name.replaceAll(/\W+/g, '-')}.json`)
}

function firstLines(text: string): string[] {
  return text
    .split('\n')
    .slice(0, 3)
    .map((line) => `     ${line.slice(0, 300)}`)
}

function lastLines(text: string, count: number): string[] {
  return text.trimEnd().split('\n').slice(-count)
}

function since(from: number): number {
  return Math.round((performance.now() - from) / 1000)
}
