/** The package as a user gets it: packed, and installed from the tarball into an empty folder. */
import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { inject } from 'vitest'
import { waitUntil } from '../helpers/wait-until.js'
import { compileProject } from './compiler.js'

const run = promisify(execFile)
/** On Windows npm is a script for the shell. */
const shell = process.platform === 'win32'
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CONSUMER = fileURLToPath(new URL('consumer', import.meta.url))

export interface InstalledPackage {
  readonly folder: string
  /** What `npm pack` says about the tarball. */
  readonly tarball: { readonly size: number; readonly files: readonly string[] }
  /** Runs a script in the folder and gives what it prints. */
  node(kind: 'module' | 'commonjs', script: string): Promise<string>
  /** Runs a file by its path, TypeScript with the repository's tsx, and gives what it prints. */
  run(runner: 'node' | 'tsx', file: string, environment: NodeJS.ProcessEnv): Promise<string>
  /** Makes packages of the repository available, as if the user had installed them: the optional peers of a subpath. */
  add(...names: readonly string[]): void
  /** Compiles the consumer's files with the compiler of the repository into `out`. Throws what the compiler prints. */
  compile(compilerOptions: Readonly<Record<string, unknown>>, files: readonly string[]): void
  remove(): void
}

/** Installs the tarball. Needs the registry, or npm's cache, for the two dependencies. */
export async function installPackage(): Promise<InstalledPackage> {
  const packed = await pack(inject('packedFolder'))
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-package-'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true }))
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts']
  cpSync(join(inject('packedFolder'), packed.filename), join(folder, packed.filename))
  await run('npm', ['install', ...quiet, `./${packed.filename}`], { cwd: folder, shell })
  cpSync(CONSUMER, folder, { recursive: true })
  return {
    folder,
    tarball: { size: packed.size, files: packed.files.map(({ path }) => path) },
    node: async (kind, script) => {
      const result = await run(process.execPath, [`--input-type=${kind}`, '--eval', script], { cwd: folder })
      return result.stdout
    },
    run: async (runner, file, environment) => {
      const first = runner === 'tsx' ? [join(ROOT, 'node_modules/tsx/dist/cli.mjs')] : []
      const env = { ...process.env, ...environment }
      return (await run(process.execPath, [...first, file], { cwd: folder, env })).stdout
    },
    add: (...names) => {
      for (const name of names) {
        const target = join(folder, 'node_modules', name)
        if (existsSync(target)) continue
        mkdirSync(dirname(target), { recursive: true })
        symlinkSync(join(ROOT, 'node_modules', name), target, 'junction')
      }
    },
    compile: (compilerOptions, files) => {
      const typeRoots = [join(ROOT, 'node_modules/@types')]
      const options = { ...compilerOptions, types: ['node'], typeRoots, outDir: 'out' }
      const problems = compileProject(folder, { compilerOptions: options, files })
      if (problems !== '') throw new Error(problems)
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Builds and packs, once for all test files of a run: the first one does it, and the others wait. */
async function pack(folder: string): Promise<PackReport> {
  const report = join(folder, 'pack.json')
  if (!existsSync(report) && isFirst(folder)) {
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: ROOT,
      shell,
    })
    writeFileSync(`${report}.new`, stdout)
    renameSync(`${report}.new`, report)
  }
  await waitUntil(() => existsSync(report), { deadlineMillis: 110_000, message: `${report} of another file` })
  const text = readFileSync(report, 'utf8')
  // The build may write to the same stream before.
  const [packed] = JSON.parse(text.slice(text.search(/^\[/m))) as [PackReport]
  return packed
}

function isFirst(folder: string): boolean {
  try {
    mkdirSync(join(folder, 'begun'))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

interface PackReport {
  readonly filename: string
  readonly size: number
  readonly files: readonly { readonly path: string }[]
}
