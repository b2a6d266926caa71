import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byLength } from '../helpers/length.js'
import { type InstalledPackage, installPackage } from './installed.js'
import { loadedBy, loadingLibraries, ownSizeOf, sizesIn, statedSizes } from './sizes.js'

/** Of the package itself with its declarations, compressed as in the tarball; the subpaths and the command beside it are not counted. */
const LARGEST_PACKAGE = 350_000
const LARGEST_TARBALL = 700_000
/** What the files of the build load of one another, besides themselves and the package itself. */
const LOADS: Readonly<Record<string, readonly string[]>> = { cli: ['introspect'] }
const PACKAGE_ITSELF = ['index', 'whole']
const LONGEST_LOAD_MILLIS = 100
/** How often loading is tried on a busy machine. */
const MOST_LOADS = 20

let installed: InstalledPackage
beforeAll(async () => {
  installed = await installPackage()
})
afterAll(() => installed.remove())

/** What a script prints as an ES module, and as CommonJS. @param script Gets what loads a package. */
async function bothWays(script: (load: (name: string) => string) => string): Promise<readonly string[]> {
  return await Promise.all([
    installed.node(
      'module',
      script((name) => `await import('${name}')`),
    ),
    installed.node(
      'commonjs',
      script((name) => `require('${name}')`),
    ),
  ])
}

test('the tarball is small and holds nothing but the build and the documents', () => {
  const root = join(installed.folder, 'node_modules', 'lifeguard')
  const size = ownSizeOf(root, installed.tarball.files)
  console.log(
    `Tarball: ${(installed.tarball.size / 1000).toFixed(0)} kB, of these the package itself ${(size / 1000).toFixed(0)} kB`,
  )
  expect(size).toBeLessThan(LARGEST_PACKAGE)
  expect(installed.tarball.size).toBeLessThan(LARGEST_TARBALL)
  const others = installed.tarball.files.filter((path) => !/^(dist|docs|examples)\//.test(path))
  expect(others.sort()).toEqual([
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'LICENSE',
    'README.md',
    'package.json',
  ])
  const documents = installed.tarball.files.filter((path) => path.startsWith('docs/'))
  expect(documents.sort()).toEqual(readdirSync('docs').map((name) => `docs/${name}`))
})

test('a subpath loads the package itself and no other subpath, and has the size that ARCHITECTURE states', () => {
  const dist = join(installed.folder, 'node_modules', 'lifeguard', 'dist')
  for (const [file, files] of Object.entries(loadedBy(dist))) {
    const name = stem(file)
    const others = new Set(
      files.map(stem).filter((other) => other !== name && !PACKAGE_ITSELF.includes(other)),
    )
    expect([...others].sort(), file).toEqual(LOADS[name] ?? [])
    expect(files, file).toContain('index.cjs')
  }
  const [sizes, stated] = [sizesIn(dist), statedSizes(readFileSync('ARCHITECTURE.md', 'utf8'))]
  expect(Object.keys(stated).sort()).toEqual(Object.keys(sizes).sort())
  for (const [name, limit] of Object.entries(stated)) {
    expect(sizes[name], name).toBeLessThanOrEqual(limit)
    expect(sizes[name], name).toBeGreaterThan(limit / 2)
  }
})

/** The name of a file of the build without its extension. */
function stem(file: string): string {
  return file.slice(0, file.indexOf('.'))
}

test('a program that imports and requires has each class and function once', async () => {
  // They load their library, in the form that the program uses.
  const inBothForms = loadingLibraries(join(installed.folder, 'node_modules/lifeguard/dist'))
  expect(inBothForms).toEqual(['drizzle', 'kysely', 'opentelemetry'])
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, unknown> }
  const paths = Object.keys(exports)
    .filter((path) => path !== './package.json')
    .filter((path) => !inBothForms.includes(path.slice('./'.length)))
    .map((path) => `lifeguard${path.slice(1)}`)
  const script = `
    import { createRequire } from 'node:module'
    const require = createRequire(import.meta.url)
    const different = []
    for (const path of ${JSON.stringify(paths)}) {
      const [imported, required] = [await import(path), require(path)]
      const names = Object.keys(required).sort()
      if (names.length === 0 || names.join() !== Object.keys(imported).sort().join()) different.push(path)
      different.push(...names.filter((name) => imported[name] !== required[name]))
    }
    console.log(JSON.stringify(different))`
  expect(JSON.parse(await installed.node('module', script))).toEqual([])
})

test('an error of one copy of the package is an instance of the class of another copy', async () => {
  const script = `
    const { cpSync } = require('node:fs')
    cpSync('node_modules/lifeguard', 'node_modules/lifeguard-again', { recursive: true })
    const [one, other] = [require('lifeguard'), require('lifeguard-again')]
    const error = new one.EngineDisposedError('gone')
    console.log(JSON.stringify([
      one.EngineDisposedError === other.EngineDisposedError,
      error instanceof other.EngineDisposedError,
      error instanceof other.LifeguardError,
      error instanceof other.SessionClosedError,
    ]))`
  expect(JSON.parse(await installed.node('commonjs', script))).toEqual([false, true, true, false])
})

test.each([
  ['module', "await import('lifeguard')", "await import('pg')"],
  ['commonjs', "require('lifeguard')", "require('pg')"],
] as const)('loading it as %s is quick and opens nothing', async (kind, load, loadPg) => {
  const loading = async (what: string): Promise<number> => {
    const script = `
      // The first access makes these two; they were open before.
      void [process.stdout, process.stderr]
      const before = process.getActiveResourcesInfo()
      const start = performance.now()
      ${what}
      const millis = performance.now() - start
      // The loader's own file requests end with the turn.
      setImmediate(() => console.log(JSON.stringify({ millis, before, after: process.getActiveResourcesInfo() })))`
    const report = JSON.parse(await installed.node(kind, script)) as LoadReport
    expect(report.after.filter((name) => name !== 'Immediate')).toEqual(report.before)
    return report.millis
  }
  const own: number[] = []
  const pgs: number[] = []
  // The fastest: what the package costs, and not what else the machine was doing. If it is busy throughout, what pg alone needs is the measure.
  const isSlow = (): boolean => Math.min(...own) >= Math.max(LONGEST_LOAD_MILLIS, 3 * Math.min(...pgs))
  for (let run = 0; run < byLength(3, 7) || (run < MOST_LOADS && isSlow()); run++) {
    own.push(await loading(load))
    pgs.push(await loading(loadPg))
  }
  console.log(
    `Loading (${kind}): fastest of ${own.length} ${Math.min(...own).toFixed(0)} ms, pg alone ${Math.min(...pgs).toFixed(0)} ms`,
  )
  expect(isSlow(), 'slow').toBe(false)
})

test.each([
  ['an ES module', 'NodeNext', ['module.mts']],
  ['CommonJS', 'NodeNext', ['common.cts']],
  ['a bundler', 'Bundler', ['module.mts']],
] as const)(
  'a project that is %s compiles against it, with declarations of its own',
  (_name, resolution, files) => {
    const module = resolution === 'NodeNext' ? 'NodeNext' : 'ESNext'
    // Without skipLibCheck: the declarations of the package are checked, too.
    const options = {
      target: 'ES2022',
      module,
      moduleResolution: resolution,
      strict: true,
      declaration: true,
    }
    // A bundler's project has the DOM; checking its declarations takes as long as everything else.
    installed.compile(resolution === 'Bundler' ? options : { ...options, ...NO_DOM }, files)
  },
)

/** The library of the target alone. */
const NO_DOM = { lib: ['ES2022'] }

// What users set, besides `strict`; without skipLibCheck.
const STRICTEST = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }
const STRICTNESS = byLength([STRICTEST], [STRICTEST, { strict: true }])

describe.each(STRICTNESS)('with %o', (strictness) => {
  test('entities in a module of their own compile, and so does code that uses their declarations', () => {
    const options = { target: 'ES2022', ...NO_DOM, module: 'NodeNext', declaration: true, ...strictness }
    installed.compile(options, ['entities.mts'])
    installed.compile({ ...options, noEmit: true }, ['uses-entities.mts'])
  })

  test.each(['Node16', 'CommonJS'])('entities in CommonJS compile as %s', (module) => {
    const moduleResolution = module === 'CommonJS' ? 'Node10' : module
    installed.compile(
      { target: 'ES2022', ...NO_DOM, module, moduleResolution, declaration: true, ...strictness },
      ['entities.cts'],
    )
  })
})

test('entities run as a compiled module, and as compiled CommonJS', async () => {
  const options = { target: 'ES2022', ...NO_DOM, module: 'NodeNext', strict: true }
  installed.compile(options, ['entities.mts', 'entities.cts'])
  const print = 'console.log(new Song({ title: "x" }).title, Base.metadata.ddl().length > 100)'
  const imported = `import { Base, Song } from './out/entities.mjs'; ${print}`
  const required = `const { Base, Song } = require('./out/entities.cjs'); ${print}`
  expect(await installed.node('module', imported)).toBe('x true\n')
  expect(await installed.node('commonjs', required)).toBe('x true\n')
})

test.each(['express', 'fastify', 'hono', 'koa', 'nestjs', 'serverless'])(
  'lifeguard/%s loads both ways without its framework, and uses the package itself',
  async (name) => {
    const print = 'console.log(subpath.errorAnswer(new NoResultError("x")).status)'
    const names = `import * as subpath from 'lifeguard/${name}'; import { NoResultError } from 'lifeguard'`
    const required = `const subpath = require('lifeguard/${name}'); const { NoResultError } = require('lifeguard')`
    expect(await installed.node('module', `${names}; ${print}`)).toBe('404\n')
    expect(await installed.node('commonjs', `${required}; ${print}`)).toBe('404\n')
  },
)

describe('lifeguard/kysely', () => {
  test('is Kysely on an engine, imported and required', async () => {
    installed.add('kysely')
    const script = (load: (name: string) => string): string => `
      const { createEngine } = ${load('lifeguard')}
      const { kyselyDialect } = ${load('lifeguard/kysely')}
      const { Kysely } = ${load('kysely')}
      const db = new Kysely({ dialect: kyselyDialect(createEngine({ host: 'localhost' })) })
      console.log(db.selectFrom('songs').select('id').compile().sql)`
    const sql = 'select "id" from "songs"\n'
    expect(await bothWays(script)).toEqual([sql, sql])
  })

  test('compiles in an ES module, in CommonJS and for a bundler', () => {
    installed.add('kysely')
    const options = { target: 'ES2022', lib: ['ES2022', 'DOM'], strict: true, skipLibCheck: true }
    installed.compile({ ...options, module: 'NodeNext' }, ['kysely.mts', 'kysely.cts'])
    installed.compile({ ...options, module: 'ESNext', moduleResolution: 'Bundler' }, ['kysely.mts'])
  })
})

describe('the command lifeguard', () => {
  const command = 'node_modules/lifeguard/dist/cli.js'
  const runs = (script: string): string => `
    const { spawnSync } = require('node:child_process')
    const { status, stdout, stderr } = spawnSync(process.execPath, ${script}, { encoding: 'utf8' })
    console.log(JSON.stringify({ status, stdout, stderr }))`
  const outcome = async (...args: readonly string[]): Promise<CommandOutcome> =>
    JSON.parse(await installed.node('commonjs', runs(JSON.stringify([command, ...args])))) as CommandOutcome

  test('is there, and helps', async () => {
    const { bin } = JSON.parse(
      readFileSync(join(installed.folder, 'node_modules/lifeguard/package.json'), 'utf8'),
    ) as { bin: Record<string, string> }
    expect(bin).toEqual({ lifeguard: './dist/cli.js' })
    expect(await outcome('--help')).toMatchObject({ status: 0, stderr: '' })
    expect(await outcome('check', 'nope.mjs')).toMatchObject({ status: 2 })
  })

  test('reads entities of an ES module and of CommonJS', async () => {
    const entity = 'Base.entity("songs", { id: serial().primaryKey() })'
    const files = {
      'entities.mjs': `import { declarativeBase, serial } from 'lifeguard'; export const Base = declarativeBase(); export const Song = ${entity}`,
      'entities.cjs': `const { declarativeBase, serial } = require('lifeguard'); const Base = declarativeBase(); module.exports = { Base, Song: ${entity} }`,
    }
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(installed.folder, name), text)
      // The entities are found; nothing listens at the address.
      const { status, stderr } = await outcome('check', name, '--url', 'postgres://u@127.0.0.1:1/x')
      expect({ status, stderr }).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('nothing listens there') as string,
      })
    }
  })
})

interface CommandOutcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

describe('lifeguard/pg-pool', () => {
  test.each([
    ['module', (name: string) => `await import('${name}')`],
    ['commonjs', (name: string) => `require('${name}')`],
  ] as const)('is a pool of pg as %s', async (kind, load) => {
    const script = `
      const { createEngine, IllegalStateError } = ${load('lifeguard')}
      const { poolFrom, Pool } = ${load('lifeguard/pg-pool')}
      const pg = ${load('pg')}
      const pool = poolFrom(createEngine({ host: 'localhost' }))
      const Theirs = (pg.default ?? pg).Pool
      console.log(pool instanceof Theirs, pool instanceof Pool, pool.constructor.name, pool.totalCount)
      void pool.end().then(() => pool.end()).catch((error) => console.log(error instanceof IllegalStateError))`
    expect(await installed.node(kind, script)).toBe('true true Pool 0\ntrue\n')
  })
})

test('lifeguard/pglite is an engine on a database in this process, imported and required', async () => {
  installed.add('@electric-sql/pglite')
  // One database for both: it takes seconds to start.
  const script = `
    import { createRequire } from 'node:module'
    import { PGlite } from '@electric-sql/pglite'
    const database = new PGlite()
    for (const { createPgliteEngine } of [
      await import('lifeguard/pglite'),
      createRequire(import.meta.url)('lifeguard/pglite'),
    ]) {
      const engine = createPgliteEngine(database)
      console.log(await engine.begin((connection) => connection.scalar("select 'here'")))
      await engine.dispose()
    }
    await database.close()`
  expect(await installed.node('module', script)).toBe('here\nhere\n')
})

test('lifeguard/opentelemetry is there, imported and required', async () => {
  installed.add('@opentelemetry/api')
  const script = (load: (name: string) => string): string => `
    const { createEngine } = ${load('lifeguard')}
    const { instrument } = ${load('lifeguard/opentelemetry')}
    console.log(typeof instrument(createEngine({ host: 'localhost' })))`
  expect(await bothWays(script)).toEqual(['function\n', 'function\n'])
})

test('lifeguard/drizzle is Drizzle on an engine, imported and required', async () => {
  installed.add('drizzle-orm')
  const script = (load: (name: string) => string): string => `
    const { createEngine } = ${load('lifeguard')}
    const { drizzleOn } = ${load('lifeguard/drizzle')}
    const { drizzle } = ${load('drizzle-orm/node-postgres')}
    const { pgTable, text } = ${load('drizzle-orm/pg-core')}
    const songs = pgTable('songs', { title: text('title') })
    const db = drizzleOn(createEngine({ host: 'localhost' }), (client) => drizzle({ client }))
    console.log(db.select().from(songs).toSQL().sql)`
  const sql = 'select "title" from "songs"\n'
  expect(await bothWays(script)).toEqual([sql, sql])
  const options = { target: 'ES2022', lib: ['ES2022', 'DOM'], strict: true, skipLibCheck: true }
  installed.compile({ ...options, module: 'NodeNext' }, ['drizzle.mts', 'drizzle.cts'])
  installed.compile({ ...options, module: 'ESNext', moduleResolution: 'Bundler' }, ['drizzle.mts'])
})

interface LoadReport {
  readonly millis: number
  readonly before: readonly string[]
  readonly after: readonly string[]
}

test('lifeguard/testing loads the package itself, imported and required', async () => {
  const script = (load: (name: string) => string): string => `
    const { Engine, createEngine } = ${load('lifeguard')}
    const { rollbackEach } = ${load('lifeguard/testing')}
    console.log(typeof rollbackEach(createEngine({ host: 'localhost' })).begin)`
  expect(await bothWays(script)).toEqual(['function\n', 'function\n'])
})
