/** The files of the build: what each loads of the others, and how large it is. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const IMPORT = /(?:from|require\(|import\()\s*["']\.\/([\w-]+)\.c?js["']/g

/** Compressed size of the package itself, in bytes: without the subpaths and the command. @param files Paths below `root`. */
export function ownSizeOf(root: string, files: readonly string[]): number {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
  const beside = ['cli', ...Object.keys(exports).map((path) => path.slice('./'.length))]
  const own = files.filter((path) => !beside.some((name) => name !== '' && path.startsWith(`dist/${name}.`)))
  return gzipSync(Buffer.concat(own.map((path) => readFileSync(join(root, path)))), { level: 9 }).length
}

/** Names of files of the build, and of those which each imports. */
export function loadedBy(dist: string): Record<string, readonly string[]> {
  const files = readdirSync(dist).filter((name) => /\.c?js$/.test(name))
  return Object.fromEntries(
    files.map((name) => {
      const code = readFileSync(join(dist, name), 'utf8')
      return [name, [...new Set([...code.matchAll(IMPORT)].map(([, loaded = '']) => loaded))]]
    }),
  )
}

/** Compressed sizes in kB of what `import` loads, by the names of ARCHITECTURE's table. */
export function sizesIn(dist: string): Record<string, number> {
  const files = readdirSync(dist).filter((name) => name.endsWith('.js'))
  return Object.fromEntries(
    files.map((name) => {
      const size = gzipSync(readFileSync(join(dist, name)), { level: 9 }).length / 1000
      return [nameOf(name.slice(0, -'.js'.length)), size]
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
