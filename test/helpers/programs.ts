/** TypeScript programs of the repository, compiled with all that they import: to start one through tsx costs six times the CPU time. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** In the repository, so that the programs find its packages. */
const FOLDER = join(ROOT, '.cache/programs')

/** By their path, what this process has compiled. */
const compiled = new Map<string, string>()

/**
 * Compiles a program, once for each process that runs tests.
 * @param path From the root of the repository. A program that looks for files beside itself does not find them.
 * @returns The path of an ES module.
 */
export function compileProgram(path: string): string {
  const known = compiled.get(path)
  if (known !== undefined) return known
  const { outputFiles } = buildSync({
    absWorkingDir: ROOT,
    entryPoints: [path],
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    tsconfig: 'tsconfig.test.json',
    write: false,
  })
  const program = join(FOLDER, `${path.replaceAll(/\W+/g, '-')}.mjs`)
  mkdirSync(FOLDER, { recursive: true })
  // Another process may compile the same program, or be about to start it.
  writeFileSync(`${program}.${String(process.pid)}`, outputFiles[0]?.contents ?? '')
  renameSync(`${program}.${String(process.pid)}`, program)
  compiled.set(path, program)
  return program
}
