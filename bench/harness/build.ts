/** Builds what the contenders' processes run, the way the package is built: bundled, and nothing injected for names. */
import { readdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'

const BENCH = fileURLToPath(new URL('..', import.meta.url))

export interface BuildOptions {
  /** True: the contenders import all of Lifeguard from one file, as it is published. Default: what they need of it is a part of them. */
  readonly whole?: boolean
  /** Default `dist`. */
  readonly outdir?: string
}

/**
 * Lifeguard comes from `../src` (see tsconfig.json), every other package from `node_modules`. Returns the folder.
 *
 * @param folder Whose contenders, below `contenders/`.
 */
export async function buildContenders(
  folder: string,
  { whole = false, outdir: name = 'dist' }: BuildOptions = {},
): Promise<string> {
  const outdir = `${BENCH}${name}`
  rmSync(outdir, { recursive: true, force: true })
  const contenders = readdirSync(`${BENCH}contenders/${folder}`)
  await build({
    entryPoints: [
      `${BENCH}harness/child.ts`,
      `${BENCH}harness/start-child.ts`,
      `${BENCH}harness/slow-proxy.ts`,
      `${BENCH}harness/service-child.ts`,
      `${BENCH}harness/load-child.ts`,
      `${BENCH}harness/scale-child.ts`,
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
    plugins: whole ? [publishedFile(`${outdir}/lifeguard.js`)] : [],
  })
  if (whole) await buildPublished(`${outdir}/lifeguard.js`)
  return outdir
}

function publishedFile(path: string): Plugin {
  return {
    name: 'Lifeguard in a file of its own',
    setup: ({ onResolve }) => onResolve({ filter: /^lifeguard$/ }, () => ({ path, external: true })),
  }
}

/** The file `index.js` of the package: see tsup.config.ts. */
async function buildPublished(outfile: string): Promise<void> {
  await build({
    entryPoints: [`${BENCH}../src/index.ts`],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    treeShaking: false,
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 160,
  })
}
