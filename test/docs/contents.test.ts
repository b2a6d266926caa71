/** What the documents say exists, exists; and what exists is in the documents. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { blocksOf } from './blocks.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

const DOCUMENTS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

describe('docs/errors.md', () => {
  const text = read('docs/errors.md')

  test('has an entry for no code that does not exist', () => {
    const codes = new Set(literalsOf('src/errors.ts', 'ErrorCode'))
    const entries = [...text.matchAll(/^### `(\w+)`$/gm)].map(([, code = '']) => code)
    expect(entries.filter((code) => !codes.has(code))).toEqual([])
  })

  test('names every class of error that is exported', () => {
    const classes = [...read('src/index.ts').matchAll(/^ {2}(\w+Error),$/gm)].map(([, name = '']) => name)
    expect(classes.length).toBeGreaterThan(30)
    expect(classes.filter((name) => name !== 'LifeguardError' && !text.includes(`\`${name}\``))).toEqual([])
  })

  test('gives each class of PostgreSQL errors its SQLSTATE', () => {
    const states = [...read('src/database-errors.ts').matchAll(/^ {2}'(\w{5})': (\w+Error),$/gm)]
    expect(states.length).toBeGreaterThan(10)
    for (const [, state, name] of states)
      expect(text).toMatch(new RegExp(`\\| \`${name}\` +\\| ${state} +\\|`))
  })

  test('names every warning', () => {
    const codes = sources().flatMap((source) => source.match(/LIFEGUARD_[A-Z_]+/g) ?? [])
    expect(codes).toContain('LIFEGUARD_LEAK')
    expect(codes.filter((code) => !text.includes(`\`${code}\``))).toEqual([])
  })
})

describe('docs/observability.md', () => {
  const text = read('docs/observability.md')

  test('lists the events of the engine', () => {
    const events = text.slice(
      text.indexOf('## Events of the engine'),
      text.indexOf('## Channels of the process'),
    )
    const listed = [...events.matchAll(/^\| `(\w+)` +\| /gm)].map(([, name]) => name)
    expect(listed).toEqual([
      ...membersOf('src/pool/events.ts', 'PoolEvents'),
      ...membersOf('src/engine/events.ts', 'EngineEvents'),
      ...membersOf('src/engine/replica-stats.ts', 'ReplicationEvents'),
    ])
  })

  test.each(['PoolStats', 'PoolCounters'])('names every number of %s', (type) => {
    const unnamed = new Set(['name', 'poolSize', 'maxOverflow'])
    const members = membersOf('src/pool/stats.ts', type).filter((name) => !unnamed.has(name))
    expect(members.filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([])
  })

  test('names every reason for which a connection is closed', () => {
    const reasons = literalsOf('src/pool/stats.ts', 'CloseReason')
    expect(reasons.filter((reason) => !new RegExp(`\`(closed\\.)?${reason}\``).test(text))).toEqual([])
  })

  test('lists the channels that are published, and no other', () => {
    const published = [
      ...read('src/internal/channels.ts').matchAll(/const (\w+): .*\('(lifeguard:[\w:]+)'\)/g),
    ]
      .filter(([, constant = '']) =>
        sources().some((source) =>
          new RegExp(`${constant}\\.(tracePromise|publish|start\\.(publish|runStores))`).test(source),
        ),
      )
      .map(([, , name]) => name)
    const listed = [...text.matchAll(/^\| `(lifeguard:[\w:]+)` +\| /gm)].map(([, name]) => name)
    expect(listed.sort()).toEqual(published.sort())
  })
})

describe('README.md', () => {
  test('begins with the quick start, as it is run', () => {
    const [first] = blocksOf(read('README.md'))
    expect(first?.code).toBe(read('examples/quickstart.ts'))
  })

  test('has recipes that fit on a screen', () => {
    const recipes = read('README.md').split('## Recipes')[1]?.split('\n## ')[0] ?? ''
    const blocks = blocksOf(recipes)
    expect(blocks.length).toBeGreaterThanOrEqual(6)
    expect(blocks.filter(({ code }) => code.trimEnd().split('\n').length > 12)).toEqual([])
  })

  test('states the defaults of the pool as they are', () => {
    const stated = [...read('README.md').matchAll(/^\| `(\w+)` +\| `([\w']+)` +\| /gm)]
    const defaults = /const DEFAULTS = \{([^]*?)\n\}/.exec(read('src/pool/resolve-options.ts'))?.[1] ?? ''
    expect(stated.length).toBeGreaterThanOrEqual(10)
    for (const [, name, value] of stated)
      expect(defaults.replaceAll('_', '')).toContain(`  ${name}: ${value},\n`)
  })
})

test('docs/mapping.md declares the entities that its other examples use', () => {
  const [first] = blocksOf(read('docs/mapping.md'))
  expect(
    `/** The entities of docs/mapping.md, which shows this file without this line. */\n${first?.code ?? ''}`,
  ).toBe(read('test/docs/music.ts'))
})

test.each([
  ['docs/connecting.md', 'src/engine/options.ts', 'EngineOptions'],
  ['docs/connecting.md', 'src/driver/connect-options.ts', 'ConnectOptions'],
  ['docs/connecting.md', 'src/driver/connect-args.ts', 'ConnectArgs'],
  ['docs/transactions.md', 'src/pipeline/transaction-options.ts', 'TransactionOptions'],
  ['docs/sessions.md', 'src/session/session-options.ts', 'WithSessionOptions'],
  ['docs/sessions.md', 'src/session/session-options.ts', 'SessionOptions'],
  ['docs/sessions.md', 'src/session/session-factory.ts', 'SessionFactoryOptions'],
  ['docs/sessions.md', 'src/engine/retry.ts', 'RetryOptions'],
  ['docs/sessions.md', 'src/execution/statement-options.ts', 'StatementOptions'],
])('a table of %s has every option of %s, %s', (document, path, type) => {
  const cells = [...read(document).matchAll(/^\|([^|]*)\|/gm)].map(([, cell = '']) => cell)
  const names = cells.flatMap((cell) => cell.match(/\w+(?=[`.])/g) ?? [])
  expect(membersOf(path, type).filter((name) => !names.includes(name))).toEqual([])
})

test('docs/faults.md quotes tests that are there', () => {
  const cells = [...read('docs/faults.md').matchAll(/\| ("[^|]*") in `(test\/\w+\/[\w.-]+)` +\|$/gm)]
  expect(cells.length).toBeGreaterThan(25)
  const missing = cells.flatMap(([, quotes = '', path = '']) => {
    const source = read(path)
    const names = [...quotes.matchAll(/"([^"]*)"/g)].map(([, name = '']) => name)
    return names.filter((name) => !source.includes(name)).map((name) => `${path}: ${name}`)
  })
  expect(missing).toEqual([])
})

test.each(DOCUMENTS)('the files that %s names are there', (path) => {
  const named = [...read(path).matchAll(/\b(?:src|test|examples|docs|\.ci)\/[\w./-]*\w/g)].map(
    ([name]) => name,
  )
  // Imports name a module as it will be compiled.
  const isThere = (name: string): boolean =>
    existsSync(join(ROOT, name)) || existsSync(join(ROOT, name.replace(/\.js$/, '.ts')))
  expect(named.filter((name) => !isThere(name))).toEqual([])
})

test('links to headings lead to headings', () => {
  const broken = DOCUMENTS.flatMap((path) =>
    [...read(path).matchAll(/\]\(([^)#\s:]*)#([^)]*)\)/g)].flatMap(([link, target = '', anchor = '']) => {
      const headings = read(target === '' ? path : join(dirname(path), target)).matchAll(/^#+ (.*)$/gm)
      const anchors = [...headings].map(([, heading = '']) => anchorOf(heading))
      return anchors.includes(anchor) ? [] : [`${path}: ${link}`]
    }),
  )
  expect(broken).toEqual([])
})

/** As GitHub makes them. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}

function sources(): string[] {
  return readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => read(join('src', path)))
}

/** Names of the members of an interface. */
function membersOf(path: string, name: string): string[] {
  const declaration = statementsOf(path).find(
    (node) => ts.isInterfaceDeclaration(node) && node.name.text === name,
  ) as ts.InterfaceDeclaration | undefined
  return (declaration?.members ?? []).map((member) => member.name?.getText() ?? '')
}

/** The strings of a union type. */
function literalsOf(path: string, name: string): string[] {
  const declaration = statementsOf(path).find(
    (node) => ts.isTypeAliasDeclaration(node) && node.name.text === name,
  )
  return [...(declaration?.getText() ?? '').matchAll(/\| '(\w+)'/g)].map(([, literal = '']) => literal)
}

function statementsOf(path: string): readonly ts.Statement[] {
  return [...ts.createSourceFile(path, read(path), ts.ScriptTarget.ES2022, true).statements]
}
