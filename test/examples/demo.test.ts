import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { database } from '../helpers/database.js'
import { ExampleProcess } from './processes.js'

function expectTheMainJob(output: string): void {
  expect(output).toContain('200 committed, 100 rolled back')
  expect(output).toContain('Accounts hold 98600 cents, 1400 were paid: 100000')
  expect(Number(/Never more than (\d+) connections/.exec(output)?.[1])).toBeLessThanOrEqual(15)
  expect(output).toMatch(/an await is missing.*update accounts set cents = 0/)
  expect(output).toMatch(/held for \d+ ms, last statement: select count\(\*\) from accounts/)
  expect(output).toContain('ran 2 times and was stored once')
  expect(output).toContain('0 in use')
  expect(output).toContain('0 by force')
  expect(output).toContain('The server counts 0 connections of this demo')
}

test('the demo does its job on a server of its own and leaves nothing running', async () => {
  // Whatever it starts works in a folder below this one.
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-demo-'))
  chmodSync(folder, 0o755)
  await using demo = new ExampleProcess('npm', ['run', '--silent', 'demo'], { TMPDIR: folder })
  expect(await demo.exitCode(), demo.output).toBe(0)
  expect(demo.output).toContain('Started a PostgreSQL')
  expectTheMainJob(demo.output)
  expect(readdirSync(folder).filter((name) => name.startsWith('lifeguard-'))).toEqual([])
  expect(processesThatMention(folder)).toEqual([])
  rmSync(folder, { recursive: true })
})

test('the demo uses DATABASE_URL and leaves nothing in that database', async () => {
  const db = await database()
  const schemas = "select nspname from pg_namespace where nspname !~ '^pg_' order by 1"
  const before = await db.query(schemas)
  await using demo = new ExampleProcess('npm', ['run', '--silent', 'demo'], { DATABASE_URL: db.url })
  expect(await demo.exitCode(), demo.output).toBe(0)
  expect(demo.output).toContain('Using DATABASE_URL')
  expectTheMainJob(demo.output)
  expect(await db.query(schemas)).toEqual(before)
  await db.drop()
})

/** Command lines of running processes, where the system shows them. */
function processesThatMention(text: string): string[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine)
    .filter((line) => line.includes(text))
}

function commandLine(processId: string): string {
  try {
    return readFileSync(`/proc/${processId}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    // It has ended meanwhile.
    return ''
  }
}
