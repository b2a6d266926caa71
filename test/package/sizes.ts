/** The files of the build: what each loads of the others, and how large it is. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const IMPORT = /(?:from|require\(|import\()\s*["']\.\/([\w-]+\.c?js)["']/g

/**
 * Compressed size of the code of the package itself with its declarations, in bytes: without the subpaths, the command and the documents.
 * @param files Paths below `root`.
 */
export function ownSizeOf(root: string, files: readonly string[]): number {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
  const beside = ['cli', ...Object.keys(exports).map((path) => path.slice('./'.length))]
  const own = files
    .filter((path) => path.startsWith('dist/'))
    .filter((path) => !beside.some((name) => name !== '' && path.startsWith(`dist/${name}.`)))
  return gzipSync(Buffer.concat(own.map((path) => readFileSync(join(root, path)))), { level: 9 }).length
}

/** The names of the files of the build which each loads, itself included. */
export function loadedBy(dist: string): Record<string, readonly string[]> {
  const files = readdirSync(dist).filter((name) => /\.c?js$/.test(name))
  return Object.fromEntries(files.map((file) => [file, filesLoadedBy(dist, file)]))
}

function filesLoadedBy(dist: string, first: string): readonly string[] {
  const files = new Set([first])
  for (const file of files) {
    const code = readFileSync(join(dist, file), 'utf8')
    for (const [, loaded = ''] of code.matchAll(IMPORT)) files.add(loaded)
  }
  return [...files]
}

/** Names of the subpaths that load a library of the program when they are loaded. */
export function loadingLibraries(dist: string): string[] {
  const own = /^(?:node:.*|pg|pg\/lib\/utils\.js|generic-pool|\.\/index\.cjs)$/
  const files = readdirSync(dist).filter((name) => name.endsWith('.cjs') && name !== 'whole.cjs')
  return files
    .filter((name) =>
      [...readFileSync(join(dist, name), 'utf8').matchAll(/\brequire\("([^"]+)"\)/g)].some(
        ([, loaded = '']) => !own.test(loaded),
      ),
    )
    .map((name) => name.slice(0, -'.cjs'.length))
    .sort()
}

/** Compressed sizes in kB of what `import` loads, without the package itself, by the names of ARCHITECTURE's table. */
export function sizesIn(dist: string): Record<string, number> {
  const own = new Set(filesLoadedBy(dist, 'index.js'))
  const modules = readdirSync(dist).filter((name) => name.endsWith('.js'))
  return Object.fromEntries(
    modules.map((name) => {
      const files = filesLoadedBy(dist, name).filter((file) => name === 'index.js' || !own.has(file))
      const parts = name === 'cli.js' ? [name] : files
      const code = Buffer.concat(parts.map((file) => readFileSync(join(dist, file))))
      return [nameOf(name.slice(0, -'.js'.length)), gzipSync(code, { level: 9 }).length / 1000]
    }),
  )
}

function nameOf(file: string): string {
  if (file === 'cli') return 'npx lifeguard'
  return file === 'index' ? 'lifeguard' : `lifeguard/${file}`
}

/** The rows of the table of sizes in ARCHITECTURE.md. */
export function statedSizes(architecture: string): Record<string, number> {
  const rows = architecture.matchAll(/^\| `((?:npx )?lifeguard[\w/-]*)` +\| +(\d+) kB +\|$/gm)
  return Object.fromEntries([...rows].map(([, name = '', size]) => [name, Number(size)]))
}
