import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const SRC = fileURLToPath(new URL('src/', import.meta.url))

/** Longer than all others: the first. */
const LONGEST = /\/test\/package\/package\.test\.ts$/
/** Long files, which begin first of their project: a clone that has never run does not know, and would wait for one of them in the end. */
const LONG = /\/test\/(fault|property)\/|\/check-proposals\.test\.ts$/

/** Vitest takes a sequencer of the configuration to ignore these, and does not tell it of the second. */
const IS_SHUFFLED = process.argv.some((word) => /^--sequence\.shuffle(?:\.files)?(?:=true)?$/.test(word))

/** Keeps the files of a project together, because they may share a process. Within a project `--sequence.shuffle` draws their order. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const projects = [...new Set(sorted.map(({ project }) => project))]
    if (IS_SHUFFLED) {
      const { seed = Date.now() } = this.ctx.config.sequence
      console.log(`Order of the files: --sequence.seed=${String(seed)}`)
      const draw = ({ moduleId, project }: TestSpecification): string =>
        `${String(projects.indexOf(project))} ${hash(`${String(seed)} ${moduleId}`)}`
      return sorted.sort((one, other) => (draw(one) < draw(other) ? -1 : 1))
    }
    const place = ({ moduleId, project }: TestSpecification): number =>
      LONGEST.test(moduleId) ? -1 : projects.indexOf(project) * 2 + (LONG.test(moduleId) ? 0 : 1)
    return sorted.sort((one, other) => place(one) - place(other))
  }
}

function hash(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}

/**
 * Files with a process of their own, because they change the process (modules, environment, listeners), measure its memory, or wait
 * for the garbage collector. `test/checks.test.ts` finds others that do.
 */
const ISOLATED = [
  'test/conformance/pool.test.ts',
  'test/examples/next.test.ts',
  'test/fault/{consistency,pool-leaks,soak,wire-fuzz}.test.ts',
  'test/helpers/{local-server,runs}.test.ts',
  'test/integration/{array-parameter,connecting-tls,connecting-unsaid,entities-instances,entities-unawaited,hazards-endings}.test.ts',
  'test/integration/{opentelemetry,opentelemetry-metrics,options,pg-pool-clients,session-lifetime,session-sharing}.test.ts',
  'test/integration/{testing-database,testing-pglite,waiting-memory}.test.ts',
  'test/property/{pool,pool-soak,session}.test.ts',
]

/** Both need a server, and each starts one. */
const WITH_SERVER = {
  globalSetup: ['test/helpers/global-setup.ts'],
  testTimeout: 60_000,
  hookTimeout: 120_000,
}

export default defineConfig({
  resolve: {
    // Examples and documentation import the package by its name; here that is the source.
    alias: [
      { find: /^lifeguard$/, replacement: `${SRC}index.ts` },
      { find: /^lifeguard\/(.+)$/, replacement: `${SRC}integrations/$1.ts` },
    ],
  },
  test: {
    // More than the two cores of a small machine: tests of time and of servers that stop mostly wait.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // No retries: a test that fails now and then is wrong, or what it tests is.
    // Garbage-collected leases and sessions are part of the contract, so tests must be able to collect.
    execArgv: ['--expose-gc'],
    setupFiles: ['test/helpers/worker-setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/*.test.ts'],
          // They leave nothing behind, and loading the modules again for each of them would take longer than the tests.
          isolate: false,
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'database',
          include: ['test/{conformance,examples,fault,helpers,integration,property}/**/*.test.ts'],
          exclude: ISOLATED,
          isolate: false,
          ...WITH_SERVER,
        },
      },
      { extends: true, test: { name: 'isolated', include: ISOLATED, ...WITH_SERVER } },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/{docs,package}/**/*.test.ts'],
          globalSetup: ['test/package/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
