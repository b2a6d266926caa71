/**
 * `npm run check`: what needs no server, for the inner loop. Compiler, linter and prettier remember in `.cache/` what they have seen.
 * The linter looks only at files that have changed, so a type that changed elsewhere may escape it: `bash .ci/run` looks at all of them.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Leg, runLegs } from './legs.js'

const LEGS: readonly Leg[] = [
  { name: 'lint', command: 'npm run --silent lint -- --cache --cache-location .cache/eslint/' },
  { name: 'unit', command: 'npm run --silent test:unit --', tests: true },
  { name: 'types', command: 'npm run --silent types' },
  { name: 'knip', command: 'npm run --silent knip' },
  { name: 'format', command: 'npm run --silent format:check -- --cache --cache-location .cache/prettier' },
]

mkdirSync('.cache', { recursive: true })
const scratch = mkdtempSync(join('.cache', 'check-'))
process.exitCode = (await runLegs(LEGS, { scratch })) ? 0 : 1
rmSync(scratch, { recursive: true })
