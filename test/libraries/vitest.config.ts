import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** As the project "database" of the root, for these files. */
export default defineConfig({
  root: ROOT,
  resolve: {
    alias: [
      { find: /^lifeguard$/, replacement: `${ROOT}src/index.ts` },
      { find: /^lifeguard\/(.+)$/, replacement: `${ROOT}src/integrations/$1.ts` },
    ],
  },
  test: {
    name: 'libraries',
    include: ['test/libraries/*.test.ts'],
    maxWorkers: 2,
    execArgv: ['--expose-gc'],
    setupFiles: ['test/helpers/worker-setup.ts'],
    globalSetup: ['test/helpers/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
