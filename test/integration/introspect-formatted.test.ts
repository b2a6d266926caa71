/** Generated files that a formatter has rewritten: what differs only in layout is no change, everything else is one. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { format, type Options } from 'prettier'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../../src/integrations/cli/run.js'
import { introspect } from '../../src/integrations/introspect.js'
import { useDatabase } from './session-support.js'

const SCHEMA = String.raw`
create schema odd;
create type odd.mood as enum ('it''s', 'a"b', 'c\d', 'both '' and "', 'back\''s', ';', ',}', '// no', '/*', 'tick \u0060');
create domain odd.email as text check (value ~ '@' and length(value) < 100) check (value <> 'a;  b');
create type odd.place as ("it's" int, "a""b" text, plain odd.mood[]);
create table odd.people (
  id int primary key, "constructor" text, "1st" text, "it's" text default E'it''s; \n  two lines\n', email odd.email, boss_id int references odd.people,
  mood odd.mood default 'it''s', place odd.place, "a \u0060tick\u0060" text default '\u0060; // no comment, }', long_name_of_a_column_that_takes_much_room text not null default 'a default that does not fit into a short line',
  constraint "it's odd" check ("1st" <> E'{ a: ''b'', }\\' or boss_id > 0), unique ("1st", "it's"));
comment on table odd.people is E'All of them;\n  * "double", ''single'' and \u0060ticks\u0060\n\n      indented, */ and // more';
comment on column odd.people.email is E'a;  b,\t}';
create table odd.groups (id serial primary key); create table odd.members (group_id int references odd.groups, person_id int references odd.people on delete cascade, primary key (group_id, person_id));
create index a_rather_long_name_of_an_index on odd.people (lower("it's"), mood) where "1st" is not null and email <> 'guest@example.org';
create sequence odd.numbers start with 7; alter table odd.people add number int default nextval('odd.numbers');
`.replaceAll('\\u0060', '`')

const fixture = useDatabase(SCHEMA)
const CUSTOM = `  /** Said by 'a person' in "quotes"; with a pattern: \`/["']/\`. */
  get loud(): string { return \`\${this.email}  ;,}\`.replace(/['"\`]/g, '') }
`

const STYLES: readonly (readonly [name: string, Options])[] = [
  ['the defaults', {}],
  ['single quotes without semicolons', { singleQuote: true, semi: false }],
  ['no commas at the end, keys in quotes', { trailingComma: 'none', quoteProps: 'consistent' }],
  ['tabs, narrow lines, CRLF', { useTabs: true, printWidth: 40, endOfLine: 'crlf' }],
  [
    'wide lines, no blanks in braces',
    { printWidth: 250, bracketSpacing: false, objectWrap: 'collapse', tabWidth: 8 },
  ],
  ['keys as written', { quoteProps: 'preserve', arrowParens: 'avoid', trailingComma: 'es5' }],
]

const formatted = (text: string, style: Options): Promise<string> =>
  format(text, { ...style, parser: 'typescript' })

/** The files as they are made, with code of a person in them. */
async function edited(layout: 'file' | 'schema' | 'table'): Promise<readonly string[]> {
  const { files } = await introspect(fixture.engine(), { schemas: ['odd'], layout })
  return files.map(({ text }) => text.replace('// #region custom Person\n', (line) => `${line}${CUSTOM}`))
}

test.each(STYLES)('after Prettier with %s a second run gives the formatted files', async (_name, style) => {
  for (const layout of ['file', 'schema', 'table'] as const) {
    const existing = await Promise.all((await edited(layout)).map((text) => formatted(text, style)))
    const again = await introspect(fixture.engine(), { schemas: ['odd'], layout, existing })
    expect(again.files.map(({ text }) => text)).toEqual(existing)
    expect(again.orphans).toEqual([])
    expect(existing.join('').match(/get loud/g)).toHaveLength(1)
  }
})

test.each([
  ['a label', "'a\"b'", "'a\"c'"],
  ['a label with a backslash', "'c\\\\d'", "'c\\d'"],
  ['a blank in a label', "'// no'", "'//  no'"],
  ['a semicolon in a label', "';'", "''"],
  ['a blank in SQL', "'a;  b'", "'a; b'"],
  ['a semicolon in SQL', 'two lines', 'two lines;'],
  ['a blank at the beginning of a line of SQL', '\n  two lines', '\ntwo lines'],
  ['a comment', 'All of them;', 'All of them'],
  ['a blank in a comment', 'a;  b', 'a; b'],
  ['the quotes of SQL', "'it''s'", '"it\'\'s"'],
  ['the name of a property', 'bossId:', 'bossid:'],
  ['an option', "onDelete: 'cascade'", "onDelete: 'restrict'"],
  ['a modifier', '.notNull()', ''],
  ['a string that becomes a name', "hasMany(() => Person, 'bossId')", 'hasMany(() => Person, bossId)'],
])('%s is seen', async (_name, before, after) => {
  const [text = ''] = await edited('file')
  const changed = text.replace(before, () => after)
  expect(changed, `${before} is in the file`).not.toBe(text)
  const again = await introspect(fixture.engine(), { schemas: ['odd'], existing: [changed] })
  expect(again.files.map((file) => file.text)).toEqual([text])
})

test('code in a marked place is never lost: one without an end, and two files that disagree, are refused', async () => {
  const [text = ''] = await edited('file')
  const engine = fixture.engine()
  for (const [existing, message] of [
    [
      [text.replace(/ *\/\/ #endregion custom Person\n/, '')],
      /"#region custom Person" has no "#endregion custom Person"/,
    ],
    [[text, text.replace('get loud', 'get quiet')], /different code in the marked place "Person"/],
    [
      ['/* a,b */', '/* a\nb */'].map((comment) => text.replace('get loud', `${comment} get loud`)),
      /different code in the marked place "Person"/,
    ],
  ] as const)
    await expect(introspect(engine, { schemas: ['odd'], existing })).rejects.toThrow(message)
  const twice = await introspect(engine, { schemas: ['odd'], existing: [text, text] })
  expect(twice.files.map((file) => file.text)).toEqual([text])
})

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lifeguard-formatted-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('the command leaves a formatted file as it is, and writes one whose table has changed', async () => {
  const lifeguard = async (...args: readonly string[]): Promise<string> => {
    let said = ''
    const stream = { write: (text: string) => (said += text) }
    const env = { DATABASE_URL: fixture.db.url }
    const code = await run(['introspect', ...args], {
      out: stream,
      err: stream,
      env,
      cwd: folder,
      script: '',
    })
    return `${code}: ${said.split('\n').at(-2) ?? ''}`
  }
  expect(await lifeguard()).toMatch(/^0: 3 tables .* 1 written$/)
  const path = join(folder, 'entities.ts')
  const text = `\uFEFF${await formatted(readFileSync(path, 'utf8'), {})}`
  writeFileSync(path, text)
  expect(await lifeguard('--verify')).toMatch(/^0: .* up to date$/)
  expect(await lifeguard()).toMatch(/^0: .* 0 written$/)
  expect(readFileSync(path, 'utf8')).toBe(text)
  await fixture.db.query('alter table odd.groups add title text')
  try {
    expect(await lifeguard('--verify')).toBe('1: would change: entities.ts')
    expect(await lifeguard()).toMatch(/^0: .* 1 written$/)
    expect(readFileSync(path, 'utf8')).toContain('title: text()')
  } finally {
    await fixture.db.query('alter table odd.groups drop title')
  }
})
