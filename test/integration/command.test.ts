/** The command `lifeguard`: what it prints, writes and ends with. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeAll } from '../../src/integrations/cli/files.js'
import { run } from '../../src/integrations/cli/run.js'
import { forgiving } from '../../src/integrations/cli/terminal.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table authors (id serial primary key, name text not null); create table books (id serial primary key, author_id int references authors)',
)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lifeguard-command-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const SCRIPT = fileURLToPath(new URL('../../src/integrations/cli.ts', import.meta.url))

interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function lifeguard(
  args: readonly string[],
  isTTY = false,
  env: Record<string, string> = {},
): Promise<Outcome> {
  let [out, err] = ['', '']
  const code = await run(args, {
    out: { write: (text) => (out += text), isTTY },
    err: { write: (text) => (err += text), isTTY },
    env: { DATABASE_URL: fixture.db.url, ...env },
    cwd: folder,
    script: SCRIPT,
  })
  return { code, out, err }
}

test('help is printed, of the command and of each of its parts', async () => {
  expect(await lifeguard(['--help'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('introspect') as string,
    err: '',
  })
  expect(await lifeguard([])).toMatchObject({ code: 2, out: expect.stringContaining('Usage') as string })
  expect(await lifeguard(['introspect', '--help'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('--layout') as string,
  })
  expect(await lifeguard(['check', '-h'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('--json') as string,
  })
})

test.each<[readonly string[], RegExp]>([
  [['bogus'], /^error: There is no command "bogus": introspect, check\n$/],
  [['introspect', '--oout', 'a.ts'], /lifeguard introspect has no option --oout; it has --url, .*--out, /],
  [['check', './a.js', '--josn'], /check has no option --josn; it has --url, .*, --sql, --json, --help\n$/],
  [['introspect', '--schema', 'nope'], /There is no schema "nope"\. There are: public/],
  [['introspect', '--table', 'nope'], /no table or view "nope"/],
  [['introspect', '--layout', 'table'], /need a folder/],
  [['introspect', '--out', 'folder', '--layout', 'odd'], /--layout takes schema or table/],
  [['introspect', '--import-extension', '.mjs'], /takes \.js, \.ts or none/],
  [['introspect', '--config', 'nope.json'], /There is no file nope\.json/],
  [['introspect', '--url', 'postgres://u:secret@127.0.0.1:1/x'], /nothing listens there/],
  [['introspect', '--url', ''], /--url is empty/],
  [['introspect', '--out', ''], /--out takes a file that ends with \.ts, or a folder, not ""/],
  [['introspect', '--out', 'entities.js'], /--out takes .*, not "entities\.js"/],
  [['check'], /Which entities\?/],
  [['check', 'nope.js'], /nope\.js cannot be loaded/],
])('%j ends with 2 and says why, on one line, without a secret', async (args, message) => {
  const { code, out, err } = await lifeguard(args)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toMatch(message)
  expect(err).not.toContain('secret')
  expect(readdirSync(folder)).toEqual([])
})

test('entities are written, a second run writes nothing, and --verify tells a difference', async () => {
  expect(await lifeguard(['introspect'])).toMatchObject({
    code: 0,
    out: '2 tables and 0 views in 1 file, 1 written\n',
    err: '',
  })
  const path = join(folder, 'entities.ts')
  const text = readFileSync(path, 'utf8')
  expect(text).toContain('class Author extends')
  expect(await lifeguard(['introspect'])).toMatchObject({
    code: 0,
    out: '2 tables and 0 views in 1 file, 0 written\n',
  })
  expect(await lifeguard(['introspect', '--verify'])).toMatchObject({ code: 0 })
  writeFileSync(path, text.replace('name: text()', 'name: integer()'))
  expect(await lifeguard(['introspect', '--verify'])).toMatchObject({
    code: 1,
    out: 'would change: entities.ts\n',
  })
  expect(readFileSync(path, 'utf8')).toContain('name: integer()')
})

test('a folder gets a file for each schema or each table', async () => {
  await lifeguard(['introspect', '--out', 'schemas'])
  expect(readdirSync(join(folder, 'schemas')).sort()).toEqual(['base.ts', 'index.ts', 'public.ts'])
  await lifeguard(['introspect', '--out', 'tables', '--layout', 'table'])
  expect(readdirSync(join(folder, 'tables', 'public')).sort()).toEqual(['author.ts', 'book.ts'])
  expect(readFileSync(join(folder, 'tables', 'public', 'book.ts'), 'utf8')).toContain(`from './author.js'`)
  const { err } = await lifeguard([
    'introspect',
    '--out',
    'tables',
    '--layout',
    'table',
    '--exclude-table',
    'books',
  ])
  expect(err).toContain(`left over ${join('tables', 'public', 'book.ts')}`)
})

test('files of other makers, and code whose class is gone, are not lost', async () => {
  const path = join(folder, 'entities.ts')
  writeFileSync(path, 'export const mine = 1\n')
  expect(await lifeguard(['introspect'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('was not written by this command') as string,
  })
  expect(readFileSync(path, 'utf8')).toBe('export const mine = 1\n')
  expect(await lifeguard(['introspect', '--force'])).toMatchObject({ code: 0 })
  const text = readFileSync(path, 'utf8').replace(
    '// #region custom Book\n',
    '// #region custom Book\n  get x() { return 1 }\n',
  )
  writeFileSync(path, text)
  expect(await lifeguard(['introspect', '--exclude-table', 'books'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('marked place "Book"') as string,
  })
  expect(await lifeguard(['introspect'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('0 written') as string,
  })
  expect(readFileSync(path, 'utf8')).toBe(text)
})

test('nothing is written unless all of it can be', async () => {
  mkdirSync(join(folder, 'out', 'public.ts'), { recursive: true })
  const { code, err } = await lifeguard(['introspect', '--out', 'out'])
  expect(code).toBe(2)
  expect(err).toMatch(/Cannot (write|read)/)
  expect(readdirSync(join(folder, 'out'))).toEqual(['public.ts'])
})

test('a terminal gets progress and colours, others and NO_COLOR do not', async () => {
  const hinted = ['introspect', '--stdout']
  const terminal = await lifeguard(['bogus'], true)
  expect(terminal.err).toContain('\u001b[31merror')
  expect((await lifeguard(['bogus'], true, { NO_COLOR: '1' })).err).not.toContain('\u001b[31m')
  expect((await lifeguard(hinted, true)).err).toContain('Reading the catalog')
  expect((await lifeguard(hinted)).err).toBe('')
  expect((await lifeguard(hinted)).out).toContain('class Author')
})

test('check says what differs, as text, JSON and SQL', async () => {
  const module = join(folder, 'entities.mjs')
  const source = new URL('../../src/index.ts', import.meta.url).href
  writeFileSync(
    module,
    `import { declarativeBase, integer, serial, text } from ${JSON.stringify(source)}
     export const Base = declarativeBase()
     export class Author extends Base.entity('authors', { id: serial().primaryKey(), name: text().notNull() }) {}
     export class Book extends Base.entity('books', { id: serial().primaryKey(), authorId: integer('author_id').references('authors.id') }) {}`,
  )
  expect(await lifeguard(['check', module])).toEqual({
    code: 0,
    out: 'ok: 2 tables and views agree with the database\n',
    err: '',
  })
  await fixture.db.query(
    'alter table books add column pages int not null default 1; alter table authors alter column name drop not null',
  )
  const { code, out } = await lifeguard(['check', module])
  expect(code).toBe(1)
  expect(out).toContain(
    'public.authors\n  ~ column name: the database allows NULL, the entity does not [breaks reading]\n',
  )
  expect(out).toContain('public.books\n  + column pages (integer) is not in the entity\n')
  expect((await lifeguard(['check', module, '--sql'])).out).toContain(
    'alter table "public"."authors" alter column "name" set not null;\n',
  )
  expect(JSON.parse((await lifeguard(['check', module, '--json'])).out)).toMatchObject({
    agrees: false,
    tables: 2,
  })
  expect(existsSync(join(folder, 'entities.ts'))).toBe(false)
})

test('a database without tables gets a hint', async () => {
  const { code, err } = await lifeguard(['introspect', '--stdout', '--exclude-schema', 'public'])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect((await lifeguard(['introspect', '--exclude-schema', 'public'])).err).toMatch(
    /no table or view .* right database/,
  )
})

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly version: string
  }
  expect(await lifeguard(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' })
})

test('a place where no folder can be made ends the command, and folders that it made are gone', async () => {
  if (existsSync('/proc/self'))
    expect(await lifeguard(['introspect', '--out', '/proc/nowhere/deep/entities.ts'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('Nothing was changed') as string,
    })
  writeFileSync(join(folder, 'plain'), '')
  expect((await lifeguard(['introspect', '--out', 'plain'])).err).toMatch(/plain is a file: --out takes/)
  const files = ['new/deep/a.ts', 'plain/b.ts'].map((path) => ({ path: join(folder, path), text: '' }))
  expect(() => {
    writeAll(files)
  }).toThrow(/Nothing was changed/)
  expect(readdirSync(folder)).toEqual(['plain'])
})

test('a reader that leaves before the end is no error', () => {
  const fail = (code: string) => () =>
    forgiving(new Writable()).emit('error', Object.assign(new Error(code), { code }))
  expect(fail('EPIPE')).not.toThrow()
  expect(fail('ENOSPC')).toThrow('ENOSPC')
})

function checkedModule(): string {
  const module = join(folder, 'entities.mjs')
  const source = new URL('../../src/index.ts', import.meta.url).href
  writeFileSync(
    module,
    `import { declarativeBase, serial } from ${JSON.stringify(source)}
     export const Base = declarativeBase()
     export class Author extends Base.entity('authors', { id: serial().primaryKey() }) {}`,
  )
  return module
}

test('check --json says in JSON why it could not be done', async () => {
  const module = checkedModule()
  const { code, out } = await lifeguard([
    'check',
    module,
    '--json',
    '--url',
    'postgres://u:secret@127.0.0.1:1/x',
  ])
  expect(code).toBe(2)
  expect(JSON.parse(out)).toMatchObject({
    error: { message: expect.stringMatching(/nothing listens/) as string },
  })
  expect(out).not.toContain('secret')
})

test('check names the privilege that it needs', async () => {
  const module = checkedModule()
  const role = `reader_${Date.now()}`
  await fixture.db.query(`create role ${role} login password 'x'`)
  try {
    const url = new URL(fixture.db.url)
    url.username = role
    url.password = 'x'
    const { code, err } = await lifeguard(['check', module, '--url', url.href])
    expect(code).toBe(2)
    expect(err).toMatch(/permission denied for database .*privilege CREATE on the database/)
  } finally {
    await fixture.db.query(`drop role ${role}`)
  }
})
