/** Builds what the contenders' processes run, the way the package is built: bundled, and nothing injected for names. */
import { readdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const BENCH = fileURLToPath(new URL('..', import.meta.url))

/**
 * Lifeguard comes from `../src` (see tsconfig.json), every other package from `node_modules`. Returns the folder.
 *
 * @param folder Whose contenders, below `contenders/`.
 */
export async function buildContenders(folder: string): Promise<string> {
  const outdir = `${BENCH}dist`
  rmSync(outdir, { recursive: true, force: true })
  const contenders = readdirSync(`${BENCH}contenders/${folder}`)
  await build({
    entryPoints: [
      `${BENCH}harness/child.ts`,
      `${BENCH}harness/slow-proxy.ts`,
      ...contenders
        .filter((name) => name.endsWith('.ts'))
        .map((name) => `${BENCH}contenders/${folder}/${name}`),
    ],
    outdir,
    outbase: BENCH,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // tsup's setting: not `keepNames`, which wraps every closure.
    keepNames: false,
  })
  return outdir
}
