/** `lifeguard/testing` in jest: two files of tests, in a worker and with a database each. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { useDatabase } from '../integration/session-support.js'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const fixture = useDatabase()

test('tests are rolled back, leaks are told, and each worker has a copy of the template', async () => {
  mkdirSync(`${ROOT}.cache`, { recursive: true })
  // Below the root, where pg is found.
  const folder = mkdtempSync(`${ROOT}.cache/jest-`)
  try {
    const names = ['first', 'second']
    for (const name of names)
      await build({
        entryPoints: [`${HERE}songs.fixture.ts`],
        outfile: `${folder}/${name}.test.cjs`,
        bundle: true,
        platform: 'node',
        format: 'cjs',
        target: 'node20',
        external: ['@jest/globals', 'pg', 'generic-pool', 'pg-copy-streams', '@testcontainers/postgresql'],
        alias: { lifeguard: `${ROOT}src/index.ts` },
        plugins: [
          {
            name: 'subpaths',
            setup: ({ onResolve }) =>
              onResolve({ filter: /^lifeguard\// }, ({ path }) => ({
                path: `${ROOT}src/integrations/${path.slice('lifeguard/'.length)}.ts`,
              })),
          },
        ],
        logLevel: 'error',
      })
    const config = { testMatch: ['**/*.test.cjs'], testEnvironment: 'node', transform: {} }
    writeFileSync(`${folder}/jest.config.json`, JSON.stringify(config))
    const args = [`${HERE}node_modules/jest/bin/jest.js`, '--rootDir', folder, '--config']
    const options = ['--maxWorkers', '2', '--json', '--testTimeout', '60000']
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...args, `${folder}/jest.config.json`, ...options],
      { cwd: folder, env: { ...process.env, DATABASE_URL: fixture.db.url } },
    ).catch((error: unknown) => error as { stdout: string })
    const report = JSON.parse(stdout) as { numPassedTests: number; testResults: { message: string }[] }
    expect(report.testResults.map(({ message }) => message)).toEqual(['', ''])
    expect(report.numPassedTests).toBe(10)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
