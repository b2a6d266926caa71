import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { type Block, blocksOf } from './blocks.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const documents = ['.', 'docs']
  .filter((folder) => existsSync(join(ROOT, folder)))
  .flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: folder === 'docs', encoding: 'utf8' })
      .filter((path) => path.endsWith('.md'))
      .map((path) => join(folder, path)),
  )
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))

/** Files of expectations about types, which compile if they hold. */
const TYPES = readdirSync(join(ROOT, 'test/types')).map((name) => `test/types/${name}`)

describe('code in documents, and expectations about types', () => {
  // One program for all of them: the compiler reads its libraries, and the source of the package, once.
  const blocks = new Map<string, { readonly document: string; readonly block: Block }>()
  for (const { path, text } of documents) {
    for (const block of blocksOf(text))
      blocks.set(join(ROOT, `${path}.${block.line}.ts`), { document: path, block })
  }
  const problems = check(
    new Map([...blocks].map(([file, { block }]) => [file, source(block)])),
    TYPES.map((path) => join(ROOT, path)),
  )

  test.each(documents.map(({ path }) => path))('the ts blocks of %s compile', (path) => {
    const found = problems.flatMap(({ file, line, message }) => {
      const entry = blocks.get(file)
      if (entry === undefined || entry.document !== path) return []
      return [`${path}:${entry.block.line + line - 2}: ${message}`]
    })
    expect(found).toEqual([])
  })

  test.each(TYPES)('what %s expects of types holds', (path) => {
    expect(problems.filter(({ file }) => file === join(ROOT, path))).toEqual([])
  })
})

test.each(documents)('links of $path lead somewhere', ({ path, text }) => {
  const targets = [...text.matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target)
  expect(targets.filter((target) => !existsSync(join(ROOT, dirname(path), target)))).toEqual([])
})

test('docs/errors.md has a heading for every error code', () => {
  const [, union = ''] =
    /export type ErrorCode =([^]*?)\n\n/.exec(readFileSync(join(ROOT, 'src/errors.ts'), 'utf8')) ?? []
  const codes = [...union.matchAll(/'(\w+)'/g)].map(([, code = '']) => code)
  expect(codes).toContain('POOL_TIMEOUT')
  const text = documents.find(({ path }) => path === join('docs', 'errors.md'))?.text ?? ''
  expect(codes.filter((code) => !new RegExp(`^#+ .*\\b${code}\\b`, 'm').test(text))).toEqual([])
})

describe('the reader of blocks', () => {
  test('finds the code, its line and its prelude', () => {
    const markdown =
      'One\n\n<!-- ts:\nimport a\n-->\n\n```ts\nlet b\n```\n\n- item\n\n  ```ts\n  let c\n  ```\n\n```sh\nno\n```\n'
    expect(blocksOf(markdown)).toEqual([
      { line: 8, prelude: 'import a', code: 'let b\n' },
      { line: 14, prelude: '', code: 'let c\n' },
    ])
  })

  test('reports what does not compile', () => {
    const file = join(ROOT, 'wrong.md.1.ts')
    const problems = check(
      new Map([
        [file, source({ line: 1, prelude: 'declare const a: number', code: 'a\nconst b: string = a' })],
      ]),
    )
    expect(problems).toMatchObject([
      { file, line: 3, message: expect.stringContaining('not assignable') as string },
    ])
  })
})

/** The prelude comes last, so that lines can be counted: imports and declarations hold for the whole module. */
function source({ prelude, code }: Block): string {
  return `export {}\n${code}\n${prelude}`
}

interface Problem {
  readonly file: string
  /** From 1, in the source that was checked. */
  readonly line: number
  readonly message: string
}

/** Type-checks files that exist in memory only, and others, against the source of the package. */
function check(sources: ReadonlyMap<string, string>, others: readonly string[] = []): Problem[] {
  const config = ts.parseJsonConfigFileContent({ extends: './tsconfig.test.json', files: [] }, ts.sys, ROOT)
  const options = { ...config.options, noUnusedLocals: false, noUnusedParameters: false }
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  host.fileExists = (name) => sources.has(name) || fileExists(name)
  host.readFile = (name) => sources.get(name) ?? readFile(name)
  const files = [...sources.keys(), ...others]
  const program = ts.createProgram(files, options, host)
  return files.flatMap((file) => {
    const node = program.getSourceFile(file)
    return [...program.getSyntacticDiagnostics(node), ...program.getSemanticDiagnostics(node)].map(
      (diagnostic) => ({
        file,
        line: ts.getLineAndCharacterOfPosition(node as ts.SourceFile, diagnostic.start ?? 0).line + 1,
        message: ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n'),
      }),
    )
  })
}
