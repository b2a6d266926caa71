/**
 * The packed documents: their links, the quick start of the README, as a user pastes it, and the command of "An existing database", which
 * connects where the PG* variables say.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngine } from '../../src/index.js'
import { createTestDatabase, startDatabase, type StartedDatabase } from '../../src/integrations/testing.js'
import { blocksOf } from '../docs/blocks.js'
import { type InstalledPackage, installPackage } from './installed.js'

const TSX = 'node_modules/tsx/dist/loader.mjs'

let installed: InstalledPackage
let server: StartedDatabase
beforeAll(async () => {
  ;[installed, server] = await Promise.all([installPackage(), startDatabase()])
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  installed.remove()
})

test.each(['module', 'commonjs'] as const)(
  'errors have the names that the documents show: %s',
  async (kind) => {
    const load = kind === 'module' ? "await import('lifeguard')" : "require('lifeguard')"
    const script = `
    const all = Object.entries(${load}).filter(([name]) => name.endsWith('Error'))
    console.log(all.length > 20, all.filter(([name, { name: own }]) => name !== own).map(([name]) => name))`
    expect((await installed.node(kind, script)).trim()).toBe('true []')
  },
)

test('links of the documents lead to files of the package', () => {
  const root = join(installed.folder, 'node_modules', 'lifeguard')
  const documents = installed.tarball.files.filter((path) => path.endsWith('.md'))
  const dead = documents.flatMap((path) =>
    [...readFileSync(join(root, path), 'utf8').matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)]
      .filter(([, target = '']) => !existsSync(join(root, dirname(path), target)))
      .map(([link]) => `${path}: ${link}`),
  )
  expect(dead).toEqual([])
})

test.each([
  ['quickstart.mjs', 'node'],
  ['quickstart.mts', 'tsx'],
  ['module/quickstart.ts', 'tsx'],
] as const)('the quick start of the README runs when it is pasted into %s', async (path, runner) => {
  const [quickstart] = blocksOf(
    readFileSync(join(installed.folder, 'node_modules/lifeguard/README.md'), 'utf8'),
  )
  await using database = await createTestDatabase(server.url)
  const file = join(installed.folder, path)
  mkdirSync(dirname(file), { recursive: true })
  if (path.startsWith('module/')) writeFileSync(join(dirname(file), 'package.json'), '{ "type": "module" }')
  writeFileSync(file, quickstart?.code ?? '')
  expect(await installed.run(runner, file, { DATABASE_URL: database.url })).toBe('Buy strings\n')
})

/** What a command prints that is run in the folder with these variables and no others that say where to connect. */
async function commandOutput(
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  // For `check` of a file in TypeScript.
  const loader = args.includes('entities.ts') ? ['--import', pathToFileURL(resolve(TSX)).href] : []
  const others = Object.entries(process.env).filter(([name]) => !/^(PG|DATABASE_URL)/.test(name))
  const env = { ...Object.fromEntries(others), ...variables }
  const command = spawn(process.execPath, [...loader, 'node_modules/lifeguard/dist/cli.js', ...args], {
    cwd: installed.folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [status]] = await Promise.all([
    text(command.stdout),
    text(command.stderr),
    once(command, 'close') as Promise<[number]>,
  ])
  return { status, stdout, stderr }
}

test('introspect and check connect as an engine does, with nothing but the PG* variables', async () => {
  await using database = await createTestDatabase(server.url)
  const engine = createEngine({ url: database.url })
  await engine.begin((connection) =>
    connection.executeScript(`
      create role reader login superuser password 'se cret';
      create table songs (id int primary key); create schema shop; create table shop.songs (id int primary key)`),
  )
  await engine.dispose()
  const { hostname, port, pathname } = new URL(database.url)
  const variables = {
    PGHOST: hostname,
    PGPORT: port,
    PGDATABASE: pathname.slice(1),
    PGUSER: 'reader',
    PGPASSWORD: 'se cret',
    PGOPTIONS: '-c search_path=shop',
    PGSSLMODE: 'disable',
  }
  const out = ['--out', 'entities.ts', '--quiet']
  expect(await commandOutput(['introspect', ...out], variables)).toEqual({
    status: 0,
    stdout: '2 tables and 0 views in 1 file, 1 written\n',
    stderr: '',
  })
  // The classes of the current schema, which PGOPTIONS sets, have the plain names.
  expect(readFileSync(join(installed.folder, 'entities.ts'), 'utf8')).toMatch(
    /class Song extends Base\.entity\([^}]*},\s*{\s*schema: 'shop'/,
  )
  expect(await commandOutput(['check', 'entities.ts'], variables)).toEqual({
    status: 0,
    stdout: 'ok: 2 tables and views agree with the database\n',
    stderr: '',
  })
  // No entity has to be compiled to find out that there is no connection.
  writeFileSync(
    join(installed.folder, 'entities.mjs'),
    "import { declarativeBase } from 'lifeguard'; export const Base = declarativeBase()",
  )
  for (const [name, value, message] of [
    ['PGHOST', '127.0.0.256', /127\.0\.0\.256/],
    ['PGPORT', '1', /nothing listens there/],
    ['PGDATABASE', 'nope', /database "nope" does not exist/],
    ['PGUSER', 'guest', /role "guest" does not exist|authentication failed for user "guest"/],
    ['PGOPTIONS', '-c no_such_setting=1', /no_such_setting/],
    ['PGSSLMODE', 'require', /TLS|SSL/],
    ['PGSSLMODE', 'yes', /sslmode 'yes'/],
  ] as const)
    for (const command of [
      ['introspect', ...out],
      ['check', 'entities.mjs'],
    ]) {
      const { status, stdout, stderr } = await commandOutput(command, { ...variables, [name]: value })
      expect({ status, stdout }, `${name}=${value}`).toEqual({ status: 2, stdout: '' })
      expect(stderr, `${name}=${value}`).toMatch(message)
      expect(stderr).not.toContain('se cret')
    }
})
