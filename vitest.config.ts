import { defineConfig } from 'vitest/config'

// Garbage-collected leases and sessions are part of the contract, so tests must be able to collect.
const execArgv = ['--expose-gc']

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/{unit,package,docs}/**/*.test.ts', 'test/*.test.ts'],
          execArgv,
        },
      },
      {
        test: {
          name: 'database',
          include: ['test/{conformance,integration,fault,property,helpers}/**/*.test.ts'],
          globalSetup: ['test/helpers/global-setup.ts'],
          execArgv,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
