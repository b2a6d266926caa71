/** What runs the legs of the checks side by side. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Leg, runLegs } from '../.ci/legs.js'

let scratch: string
let printed: string

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'lifeguard-legs-'))
  printed = ''
  vi.spyOn(console, 'log').mockImplementation((text: string) => void (printed += `${text}\n`))
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => (printed += String(text)).length > 0)
})
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(scratch, { recursive: true })
})

const node = (code: string): string => `node -e "${code}"`
const says = (text: string): string => node(`console.log('${text}')`)

const run = (legs: readonly Leg[]): Promise<boolean> => runLegs(legs, { scratch })

test('a leg that fails fails the run, the others run as well, and the end says what it said last', async () => {
  const legs = [
    { name: 'bad', command: node(`console.log('what was wrong'); process.exit(3)`) },
    { name: 'good', command: says('fine') },
  ]
  expect(await run(legs)).toBe(false)
  const end = printed.slice(printed.indexOf('=== Failures'))
  expect(end).toMatch(/--- bad\nwhat was wrong\n/)
  expect(end).toMatch(/FAILED: {2}bad: exit code 3\npassed: {2}good \(\d+ s\)\nTime: \d+ s\n$/)
})

test('what cannot be prepared is skipped with its reason, and so is what needs it', async () => {
  const legs = [
    {
      name: 'prepare',
      optional: true,
      command: node(`console.log('no such thing here'); process.exit(1)`),
    },
    { name: 'needs it', after: ['prepare'], command: says('never said') },
    { name: 'needs that', after: ['needs it'], command: says('never said') },
  ]
  expect(await run(legs)).toBe(true)
  expect(printed.match(/^skipped: .*$/gm)).toEqual([
    'skipped: prepare: no such thing here',
    'skipped: needs it: prepare: no such thing here',
    'skipped: needs that: needs it: prepare: no such thing here',
  ])
  expect(printed).not.toContain('\nnever said')
})

test('what needs a leg that failed is skipped, and the run fails', async () => {
  const legs = [
    { name: 'build', command: node('process.exit(1)') },
    { name: 'pack', after: ['build'], command: says('never said') },
  ]
  expect(await run(legs)).toBe(false)
  expect(printed).toContain('skipped: pack: build failed')
})

test('the output of each leg stays together, and a leg that is to be alone is', async () => {
  // Both wait for the other to have begun, and say something before and after.
  const meet = (own: string, other: string): string =>
    node(
      `const fs = require('fs'); console.log('${own} 1'); fs.writeFileSync('${own}', ''); ` +
        `const wait = () => fs.existsSync('${other}') ? console.log('${own} 2') : setTimeout(wait, 5); wait()`,
    )
  const [one, two] = [join(scratch, 'one'), join(scratch, 'two')].map((path) =>
    path.replaceAll('\\', '/'),
  ) as [string, string]
  const legs = [
    { name: 'alone', alone: true, command: says('alone') },
    { name: 'first', command: meet(one, two) },
    { name: 'second', command: meet(two, one) },
  ]
  expect(await run(legs)).toBe(true)
  expect(printed).toContain(`${one} 1\n${one} 2\n`)
  expect(printed).toContain(`${two} 1\n${two} 2\n`)
  expect(printed.indexOf('=== alone')).toBeGreaterThan(printed.indexOf(`${two} 2`))
})

test('tests are counted, and those that failed are named again', async () => {
  const report = {
    numPassedTests: 7,
    numFailedTests: 2,
    numPendingTests: 1,
    numTodoTests: 0,
    testResults: [
      {
        name: join(process.cwd(), 'test/a.test.ts'),
        status: 'failed',
        message: '',
        assertionResults: [
          { fullName: 'adds', status: 'failed', failureMessages: ['expected 1 to be 2\nat line 3'] },
          { fullName: 'subtracts', status: 'passed' },
        ],
      },
      { name: 'test/b.test.ts', status: 'failed', message: 'No such module', assertionResults: [] },
    ],
  }
  // Takes the place of vitest: writes the report where it is told to.
  const text = JSON.stringify(report).replaceAll('"', "'")
  const command = `node -e "const at = process.argv.at(-1).split('=')[1]; fs.writeFileSync(at, JSON.stringify(${text.replaceAll('\\n', '\\\\n')})); process.exit(1)" --`
  expect(await run([{ name: 'unit', command, tests: true }])).toBe(false)
  const end = printed.slice(printed.indexOf('=== Failures'))
  expect(end).toContain('FAIL test/a.test.ts > adds\n     expected 1 to be 2\n')
  expect(end).toContain('FAIL test/b.test.ts\n     No such module\n')
  expect(end).toMatch(/Tests: 7 passed, 2 failed, 1 skipped\n$/)
})
