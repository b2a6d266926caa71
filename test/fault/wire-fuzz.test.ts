/**
 * Programs of every kind, while a proxy spoils what the server says: wrong lengths, messages that are missing, come twice, too early, or
 * are none.
 *
 *   LIFEGUARD_FUZZ_CASES=4000 npx vitest run test/fault/wire-fuzz.test.ts
 *   LIFEGUARD_FUZZ_SEED=1234 LIFEGUARD_FUZZ_CASES=1 npx vitest run test/fault/wire-fuzz.test.ts
 *
 * The cases run in a process of their own: one that ends, or whose event loop is busy for ever, is seen from outside.
 */
import { spawn } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileProgram } from '../helpers/programs.js'
import { type TestDatabase, database } from '../helpers/database.js'
import { byLength } from '../helpers/length.js'
import { SCHEMA } from './wire-fuzz-work.js'

const CASES = Number(process.env['LIFEGUARD_FUZZ_CASES'] ?? byLength(60, 200))
const SEED = Number(process.env['LIFEGUARD_FUZZ_SEED'] ?? 1)
/** A process that says nothing for so long is busy for ever: its slowest case ends within two minutes. */
const SILENCE_MILLIS = 120_000
const MILLIS_PER_CASE = 2_000

let db: TestDatabase
beforeAll(async () => {
  db = await database()
  for (const statement of SCHEMA.split(';')) await db.query(statement)
})
afterAll(() => db.drop())

interface Line {
  readonly begins?: number
  readonly seed?: number
  readonly work?: string
  readonly mutation?: string
  readonly told?: string
  readonly faults?: readonly string[]
  readonly fault?: string
  readonly busy?: readonly number[]
  readonly over?: boolean
}

test(
  'whatever the server says: no process ends or hangs, no wrong value or outcome is told, pool and dispose are clean',
  { timeout: SILENCE_MILLIS + CASES * MILLIS_PER_CASE },
  async () => {
    const { lines, end } = await runCases()
    const faults = lines.flatMap((line) => {
      const { seed, work, mutation, told } = line
      const texts = [...(line.faults ?? []), ...(line.fault === undefined ? [] : [line.fault])]
      return texts.map((fault) => ({ seed: seed ?? line.busy, work, mutation, told, fault }))
    })
    const done = lines.filter(({ told }) => told !== undefined)
    report(done)
    expect(faults, 'run a case again with LIFEGUARD_FUZZ_SEED=<seed> LIFEGUARD_FUZZ_CASES=1').toEqual([])
    expect(end).toBe('over')
    expect(done).toHaveLength(CASES)
    // The proxy has spoiled something, and Lifeguard has noticed.
    const isSpoiled = ({ mutation }: Line): boolean => mutation !== 'nothing'
    expect(done.filter(isSpoiled).length).toBeGreaterThan(CASES / 3)
  },
)

/** Runs them; says what each has said, and how the process ended. */
function runCases(): Promise<{ readonly lines: readonly Line[]; readonly end: string }> {
  const program = compileProgram('test/fault/wire-fuzz.fixture.ts')
  const child = spawn(process.execPath, [program, String(SEED), String(CASES)], {
    env: { ...process.env, DATABASE_URL: db.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: Line[] = []
  const busy = new Set<number>()
  let [rest, errors] = ['', '']
  let isSilent = false
  return new Promise((resolve) => {
    const onSilence = (): void => {
      isSilent = true
      child.kill('SIGKILL')
    }
    let silence = setTimeout(onSilence, SILENCE_MILLIS)
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      clearTimeout(silence)
      silence = setTimeout(onSilence, SILENCE_MILLIS)
      const [last = '', ...whole] = (rest + text).split('\n').reverse()
      rest = last
      for (const line of whole.reverse()) {
        const said = JSON.parse(line) as Line
        lines.push(said)
        if (said.begins !== undefined) busy.add(said.begins)
        if (said.seed !== undefined) busy.delete(said.seed)
      }
    })
    child.once('close', (code, signal) => {
      clearTimeout(silence)
      const isOver = lines.some(({ over }) => over === true)
      const how = isSilent ? 'was busy for ever' : `ended with ${String(code ?? signal)}`
      resolve({
        lines,
        end: isOver ? 'over' : `the process ${how}, busy with ${[...busy].join(', ')}\n${errors}`,
      })
    })
  })
}

/** What was done and told, printed if many cases are asked for. */
function report(done: readonly Line[]): void {
  if (process.env['LIFEGUARD_FUZZ_CASES'] === undefined) return
  const counts = new Map<string, number>()
  for (const { told = '', mutation = '' } of done) {
    for (const name of [`told ${told}`, mutation.replace(/^'.': /, '')])
      counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const figures = [...counts].sort(([one], [other]) => one.localeCompare(other))
  process.stdout.write(
    `${done.length} cases from seed ${SEED}: ${JSON.stringify(Object.fromEntries(figures), undefined, 2)}\n`,
  )
}
