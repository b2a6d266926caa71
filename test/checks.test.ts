/** The checks themselves: what they name exists, and none is run again until it passes. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import config from '../vitest.config.js'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

/** Without test/libraries, which has its own packages and may be installing them. */
const FILES = readdirSync(new URL('.', import.meta.url))
  .filter((name) => name !== 'libraries')
  .flatMap((name) => (name.endsWith('.ts') ? [name] : filesOf(name)))
  .map((path) => `test/${path}`)

function filesOf(folder: string): string[] {
  const paths = readdirSync(new URL(folder, import.meta.url), { recursive: true, encoding: 'utf8' })
  return paths.filter((path) => path.endsWith('.ts')).map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
}

const WORKFLOW = '.github/workflows/ci.yml'
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

test.each([WORKFLOW, 'CONTRIBUTING.md', 'README.md', '.ci/run', '.ci/everything.ts', '.ci/check.ts'])(
  'the npm scripts that %s names exist',
  (path) => {
    const named = [...read(path).matchAll(/npm (?:run (?:--silent )?([\w:]+)|(test)\b)/g)]
    const names = named.map(([, name, plain]) => name ?? plain ?? '')
    if (path === WORKFLOW) expect(names).toContain('test:database')
    expect(names.filter((name) => scripts[name] === undefined)).toEqual([])
  },
)

test('the workflow is indented as YAML has to be, and no mapping has a key twice', () => {
  const open: { indent: number; keys: Set<string> }[] = []
  const problems: string[] = []
  for (const [index, line] of read(WORKFLOW).split('\n').entries()) {
    if (line.trim() === '' || line.trim().startsWith('#')) continue
    const [, spaces = '', dash = '', key] = /^( *)(- )?(?:([\w-]+):(?: |$))?/.exec(line) ?? []
    // What follows a dash is a mapping of its own.
    const indent = spaces.length + dash.length
    if (line.includes('\t') || spaces.length % 2 === 1) problems.push(`${index + 1}: ${line}`)
    while ((open.at(-1)?.indent ?? -1) > spaces.length) open.pop()
    if (dash !== '' && open.at(-1)?.indent === indent) open.pop()
    if (open.at(-1)?.indent !== indent) open.push({ indent, keys: new Set() })
    const { keys } = open.at(-1) as { keys: Set<string> }
    if (key !== undefined && keys.has(key)) problems.push(`${index + 1}: ${key} again`)
    if (key !== undefined) keys.add(key)
  }
  expect(problems).toEqual([])
})

test('the workflow has every Node, PostgreSQL and system', () => {
  const text = read(WORKFLOW)
  const listOf = (name: string): string[] =>
    [...text.matchAll(new RegExp(`^ +(?:- )?${name}: (.*)$`, 'gm'))].flatMap(([, list = '']) =>
      list.replaceAll(/[[\]]/g, '').split(', '),
    )
  expect(listOf('node')).toEqual(expect.arrayContaining(['20', '22', '24']))
  expect(listOf('postgres')).toEqual(expect.arrayContaining(['14', '15', '16', '17', '18']))
  expect(listOf('os')).toEqual(['ubuntu-latest', 'macos-latest', 'windows-latest'])
})

test('the test files that .ci/everything.ts names exist', () => {
  const patterns = [...read('.ci/everything.ts').matchAll(/'(test\/[^'\s]+)'/g)]
    .map(([, one = '']) => one)
    .filter((one) => !one.includes('$'))
  expect(patterns.length).toBeGreaterThan(5)
  // Each name inside braces by itself.
  const named = patterns.flatMap((pattern) => {
    const [, before = pattern, names = '', after = ''] = /^(.*)\{(.*)\}(.*)$/.exec(pattern) ?? []
    return names.split(',').map((name) => `${before}${name}${after}`)
  })
  const [, left = ''] = /POSTGRES_LEAVES_OUT = \[(.*)\]/.exec(read('.ci/everything.ts')) ?? []
  named.push(...[...left.matchAll(/'([\w-]+)'/g)].map(([, name = '']) => `test/fault/${name}.test.ts`))
  expect(named.filter((name) => !FILES.some((file) => file.startsWith(name)))).toEqual([])
})

// What one test asks for is refused when it runs, by `test/helpers/worker-setup.ts`.
test('no test is run again until it passes', ({ task }) => {
  expect(task.retry ?? 0).toBe(0)
  expect(JSON.stringify(config)).not.toMatch(/"retry"/)
  expect(Object.values(scripts).join('\n')).not.toContain('--retry')
  for (const path of ['.ci/run', '.ci/everything.ts', '.ci/check.ts', '.ci/legs.ts', WORKFLOW]) {
    expect(read(path), path).not.toContain('--retry')
  }
})

/** Where a file that shares its process would change it for the others, or depend on them. */
const OF_THE_PROCESS =
  /\bvi\.(resetModules|(do)?mock|stubEnv|stubGlobal|useFakeTimers)\(|removeAllListeners\(|process\.env\[.*\] = |memoryUsage\(|\bgc(\?\.)?\(/

test('a test file that changes its process, measures it or collects garbage has one of its own', () => {
  const projects = (config.test?.projects ?? []).map(
    (one) => (one as { test: { name: string; include: string[] } }).test,
  )
  const isolated = (projects.find(({ name }) => name === 'isolated')?.include ?? []).flatMap((pattern) => {
    const [, before = pattern, names = '', after = ''] = /^(.*)\{(.*)\}(.*)$/.exec(pattern) ?? []
    return names.split(',').map((name) => `${before}${name}${after}`)
  })
  expect(isolated.filter((path) => !FILES.includes(path))).toEqual([])
  const shared = FILES.filter((path) =>
    /^test\/(?!unit|types|libraries|package|docs).*\.test\.ts$/.test(path),
  )
  expect(shared.length).toBeGreaterThan(200)
  const own = shared.filter((path) => path !== 'test/checks.test.ts' && OF_THE_PROCESS.test(read(path)))
  expect(own.filter((path) => !isolated.includes(path))).toEqual([])
})
