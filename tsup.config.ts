import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Options } from 'tsup'

const DIST = fileURLToPath(new URL('dist', import.meta.url))
const INTEGRATIONS = fileURLToPath(new URL('src/integrations', import.meta.url))
const COMMAND = fileURLToPath(new URL('src/integrations/cli', import.meta.url))
const LONGEST_LINE = 160

/** `lifeguard/name` is `src/integrations/name.ts`; what stands in folders there belongs to the subpaths that import it. */
const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, unknown> }
const subpaths = Object.keys(exports)
  .filter((path) => path !== '.' && path !== './package.json')
  .map((path) => path.slice('./'.length))

const sourceOf = (name: string): string => (name === 'index' ? 'src/index.ts' : `src/integrations/${name}.ts`)
const entriesOf = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, sourceOf(name)]))

/** They import their library when they are loaded, in the form that the program uses: that of the other form has other classes. */
const IN_BOTH_FORMS: ReadonlySet<string> = new Set(['drizzle', 'kysely', 'opentelemetry'])
const names = ['index', ...subpaths]
/** The others are CommonJS, and their ES modules hand on the same values. */
const handedOn = names.filter((name) => !IN_BOTH_FORMS.has(name))

const code = {
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
} satisfies Options

const commonJs = defineConfig({
  ...code,
  entry: entriesOf(names),
  format: ['cjs'],
  onSuccess: () => {
    for (const name of handedOn) writeFileSync(`${DIST}/${name}.js`, moduleOf(name))
    for (const name of names) writeFileSync(`${DIST}/${name}.d.ts`, `export * from './${name}.cjs'\n`)
    // Node looks for names in a CommonJS file that an ES module imports, which takes long in a large one.
    writeFileSync(`${DIST}/whole.cjs`, `const whole = require('./index.cjs')\nmodule.exports = whole\n`)
    return Promise.resolve()
  },
})

/** An ES module with the values of the CommonJS file: a program that imports and requires has each class once. */
function moduleOf(name: string): string {
  const values = createRequire(import.meta.url)(`${DIST}/${name}.cjs`) as object
  const file = name === 'index' ? 'whole' : name
  return `import values from './${file}.cjs'\nexport const {${Object.keys(values).join()}} = values\n`
}

/** The subpaths that need an ES module of their own, and the command `lifeguard`, which is run and not imported. */
const modules = defineConfig({
  ...code,
  entry: entriesOf([...IN_BOTH_FORMS, 'cli']),
  format: ['esm'],
})

/** One set of types, which the declarations of the ES modules re-export: a class is the same type for both kinds of user. */
const types = defineConfig({ entry: entriesOf(names), format: ['cjs'], dts: { only: true } })

export default [commonJs, modules, types]
