import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'tsup'

const DIST = fileURLToPath(new URL('dist', import.meta.url))
const INTEGRATIONS = fileURLToPath(new URL('src/integrations', import.meta.url))
const COMMAND = fileURLToPath(new URL('src/integrations/cli', import.meta.url))
const LONGEST_LINE = 160

/** `lifeguard/name` is `src/integrations/name.ts`; what stands in folders there belongs to the subpaths that import it. */
const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, unknown> }
const subpaths = Object.keys(exports)
  .filter((path) => path !== '.' && path !== './package.json')
  .map((path) => path.slice('./'.length))

const entry = {
  index: 'src/index.ts',
  ...Object.fromEntries(subpaths.map((name) => [name, `src/integrations/${name}.ts`])),
}

/** The command `lifeguard`, which nobody imports. */
const command = { cli: 'src/integrations/cli.ts' }

const code = defineConfig({
  entry: { ...entry, ...command },
  format: ['esm', 'cjs'],
  target: 'node20',
  splitting: false,
  // Maps with the source in them would be more than half of the package.
  sourcemap: false,
  treeshake: false,
  // tsup's default rewrites `node:events` to `events`; the prefix is what we mean.
  removeNodeProtocol: false,
  // Without comments and indentation the files are a third smaller. Names stay, for stacks and debuggers.
  esbuildOptions: (options) => {
    options.minifyWhitespace = true
    options.minifySyntax = true
    options.lineLimit = LONGEST_LINE
  },
  esbuildPlugins: [
    {
      name: 'a subpath loads the package itself, and the command lifeguard/introspect, not a copy of it',
      setup: (build) => {
        const path = build.initialOptions.format === 'cjs' ? './index.cjs' : './index.js'
        build.onResolve({ filter: /^\.\.\/introspect\.js$/ }, ({ importer }) =>
          importer.startsWith(COMMAND)
            ? { path: path.replace('index', 'introspect'), external: true }
            : undefined,
        )
        build.onResolve({ filter: /^(\.\.\/)+index\.js$/ }, ({ importer }) =>
          importer.startsWith(INTEGRATIONS) ? { path, external: true } : undefined,
        )
      },
    },
  ],
  onSuccess: () => {
    for (const name of Object.keys(entry))
      writeFileSync(`${DIST}/${name}.d.ts`, `export * from './${name}.cjs'\n`)
    return Promise.resolve()
  },
})

/** One set of types, which the declarations of the ES modules re-export: a class is the same type for both kinds of user. */
const types = defineConfig({ entry, format: ['cjs'], dts: { only: true } })

export default [code, types]
