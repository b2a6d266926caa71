/** What happens to a whole test run: these tests start runs of their own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { isAlive } from './local-process.js'
import { waitUntil } from './wait-until.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

test('a test run that is killed leaves neither a server nor a test process', async () => {
  const { child, output } = startRun('hanging', 'default')
  const [, report = ''] = await waitUntil(() => /HANGING (.*)/.exec(output()), {
    deadlineMillis: 30_000,
    message: output,
  })
  const { processId, data } = JSON.parse(report) as { processId: number; data: string }
  expect(existsSync(data)).toBe(true)

  child.kill('SIGKILL')
  await waitUntil(() => !isAlive(processId), { deadlineMillis: 15_000, message: 'the test process to end' })
  // The watchdog deletes the folder after it has ended the server.
  await waitUntil(() => !existsSync(data), { deadlineMillis: 15_000, message: 'the server to be cleaned up' })
})

test('the leak guard fails the test that leaked, and no other', async () => {
  const { child, output } = startRun('leaking', 'json')
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(1)
  const report = JSON.parse(/^\{.*\}$/m.exec(output())?.[0] ?? '{}') as JsonReport
  const failed = report.testResults.flatMap(({ assertionResults }) => assertionResults)
  expect(
    Object.fromEntries(
      failed.map(({ title, failureMessages: [message = ''] }) => [title, message.split('\n')[0]]),
    ),
  ).toEqual({
    'leaves nothing': '',
    'leaves a connection': expect.stringContaining('given back: {"borrowed":1,"waiting":0}') as string,
    'leaves a waiter': expect.stringContaining('given back: {"borrowed":0,"waiting":1}') as string,
    'leaves a socket': expect.stringContaining('TCPServerWrap') as string,
    'leaves a rejection': expect.stringContaining('rejected unheard') as string,
  })
})

function startRun(fixture: string, reporter: string): { child: ChildProcess; output(): string } {
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
  const options = [
    'run',
    '--config',
    'test/helpers/fixtures/vitest.config.ts',
    `--reporter=${reporter}`,
    fixture,
  ]
  // With a server on this machine, whatever this run itself uses.
  const env = { ...process.env, LIFEGUARD_PG: 'local', NO_COLOR: '1' }
  const child = spawn(process.execPath, [vitest, ...options], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  return { child, output: () => output }
}

interface JsonReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly title: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}
