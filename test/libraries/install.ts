/**
 * Installs the libraries, if their lock has changed, and generates Prisma's client: `tsx test/libraries/install.ts`. It needs the registry
 * of npm.
 */
import { execSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('.', import.meta.url))
const inModules = (name: string): string => `${cwd}node_modules/${name}`

/** With these, the libraries find those of the root: one pg for all, as in an application, by which they can tell a pool. */
const OF_THE_ROOT = ['pg', '@types/pg', '@types/node']

const run = (command: string): void => {
  // Prisma would download an engine that only its migrations need.
  execSync(command, {
    cwd,
    stdio: 'inherit',
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true' },
  })
}

const stamp = inModules('.installed')
const wanted = ['package-lock.json', 'schema.prisma'].map((name) => readFileSync(cwd + name, 'utf8')).join('')
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  run('npm ci --ignore-scripts --no-audit --no-fund --loglevel=error')
  for (const name of OF_THE_ROOT) rmSync(inModules(name), { recursive: true, force: true })
  run('npx prisma generate --schema schema.prisma --no-hints')
  writeFileSync(stamp, wanted)
}
