import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { beforeAll, describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SRC = join(ROOT, 'src')

/** A file imports from its own layer and from layers with a lower rank, types included. */
const RANKS: Readonly<Record<string, number>> = {
  base: 0, // errors, statement forms, internal/
  driver: 1,
  codecs: 2,
  pool: 2,
  result: 2,
  schema: 3,
  pipeline: 3,
  query: 4,
  execution: 5,
  unit: 5,
  engine: 6,
  session: 7,
  index: 8,
  integrations: 9,
}
const BASE = ['errors.ts', 'database-errors.ts', 'sql.ts', 'internal']

/** The one layer that may import a package. */
const SINGLE_IMPORTERS: Readonly<Record<string, string>> = {
  pg: 'driver',
  'generic-pool': 'pool',
  'pg-copy-streams': 'execution',
  // Of a subpath that is of no use without it; `index.ts` never loads it.
  'drizzle-orm': 'integrations',
  '@opentelemetry/api': 'integrations',
  kysely: 'integrations',
}

const LONGEST_FILE = 350

interface Import {
  readonly from: string
  readonly typeOnly: boolean
}

interface SourceFile {
  /** Below src, with slashes. */
  readonly path: string
  readonly text: string
  readonly node: ts.SourceFile
  readonly imports: readonly Import[]
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path): SourceFile => {
    const text = readFileSync(join(SRC, path), 'utf8')
    const node = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true)
    return { path: path.replaceAll('\\', '/'), text, node, imports: [...importsOf(node)] }
  })

describe('layers', () => {
  test('every file belongs to one', () => {
    expect(files.map(({ path }) => path).filter((path) => RANKS[layerOf(path)] === undefined)).toEqual([])
  })

  test('imports point to the own layer or down', () => {
    expect(
      complaints(({ path, imports }) =>
        imports.flatMap(({ from }) => {
          if (!from.startsWith('.')) return []
          const [own, other] = [layerOf(path), layerOf(resolveImport(path, from))]
          return own === other || (RANKS[other] ?? 10) < (RANKS[own] ?? 0) ? [] : [`imports ${from}`]
        }),
      ),
    ).toEqual([])
  })

  test('a package is imported by the one layer that owns it', () => {
    expect(
      complaints(({ path, imports }) =>
        imports
          .filter(({ from }) => !from.startsWith('.') && !from.startsWith('node:'))
          .filter(({ from }) => SINGLE_IMPORTERS[packageOf(from)] !== layerOf(path))
          .map(({ from }) => `imports ${from}`),
      ),
    ).toEqual([])
  })

  // A subpath loads the package itself: other files would be copied into its build, with classes of their own.
  test('an integration takes what runs from the public surface, or from its own folder', () => {
    expect(
      complaints(({ path, imports }) =>
        imports
          .filter(
            ({ from, typeOnly }) => from.startsWith('.') && !typeOnly && layerOf(path) === 'integrations',
          )
          .map(({ from }) => resolveImport(path, from))
          .filter((target) => target !== 'index.ts' && layerOf(target) !== 'integrations')
          .map((target) => `imports ${target}`),
      ),
    ).toEqual([])
  })

  test('no two files import each other at run time, however far around', () => {
    expect(findCycle(graphOf(({ typeOnly }) => !typeOnly))).toEqual([])
  })

  // A class of entities and the registry that knows it know each other, as in SQLAlchemy.
  test('no two files import each other for types, but in schema', () => {
    const graph = graphOf(() => true)
    for (const path of graph.keys()) if (layerOf(path) === 'schema') graph.delete(path)
    expect(findCycle(graph)).toEqual([])
  })
})

describe('every file', () => {
  test('says what it means to import: node: for Node, .js for neighbours, never an `export *`', () => {
    expect(
      complaints(({ imports, node }) => [
        ...imports
          .filter(({ from }) => from.startsWith('.') && !from.endsWith('.js'))
          .map(({ from }) => `imports ${from}`),
        ...node.statements
          .filter((statement) => ts.isExportDeclaration(statement) && statement.exportClause === undefined)
          .map((statement) => statement.getText()),
      ]),
    ).toEqual([])
  })

  test('is short enough to be read in one go', () => {
    expect(
      files.filter(({ text }) => text.trimEnd().split('\n').length > LONGEST_FILE).map(({ path }) => path),
    ).toEqual([])
  })

  test('writes to no console', () => {
    expect(
      complaints(({ node }) =>
        descendants(node)
          .filter((at) => ts.isIdentifier(at) && at.text === 'console')
          .map(() => 'console'),
      ),
    ).toEqual([])
  })

  test('keeps no state in the module, which exists twice when it is both imported and required', () => {
    expect(
      complaints(({ node }) => node.statements.filter(ts.isVariableStatement).flatMap(mutableState)),
    ).toEqual([])
  })
})

describe('the public surface', () => {
  let exported: readonly ts.Symbol[]
  let checker: ts.TypeChecker

  beforeAll(() => {
    const config = ts.parseJsonConfigFileContent(
      { extends: './tsconfig.json', files: ['src/index.ts'] },
      ts.sys,
      ROOT,
    )
    const program = ts.createProgram(config.fileNames, config.options)
    checker = program.getTypeChecker()
    const index = program.getSourceFile(join(SRC, 'index.ts'))
    const module = index && checker.getSymbolAtLocation(index)
    exported = module === undefined ? [] : checker.getExportsOfModule(module)
  }, 60_000)

  test('exists', () => {
    expect(exported.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['createEngine', 'createSessionFactory', 'withSession']),
    )
  })

  test('explains every name in a docstring', () => {
    const bare = exported.filter((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      return target.getDocumentationComment(checker).length === 0
    })
    expect(bare.map(({ name }) => name)).toEqual([])
  })

  test('has a test at the level of types for every type', () => {
    const folder = join(ROOT, 'test/types')
    const tests = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    const types = exported.filter((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      return (target.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias)) !== 0
    })
    expect(types.length).toBeGreaterThan(80)
    const untested = types.filter(({ name }) => !tests.some((text) => new RegExp(`\\b${name}\\b`).test(text)))
    expect(untested.map(({ name }) => name)).toEqual([])
  })
})

function layerOf(path: string): string {
  const [top = ''] = path.split('/')
  return BASE.includes(top) ? 'base' : top.replace(/\.ts$/, '')
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function resolveImport(path: string, specifier: string): string {
  return relative(SRC, join(SRC, dirname(path), specifier))
    .replaceAll('\\', '/')
    .replace(/\.js$/, '.ts')
}

/** What each file imports of ours. */
function graphOf(counts: (one: Import) => boolean): Map<string, readonly string[]> {
  return new Map(
    files.map(({ path, imports }) => [
      path,
      imports
        .filter((one) => one.from.startsWith('.') && counts(one))
        .map(({ from }) => resolveImport(path, from)),
    ]),
  )
}

function complaints(find: (file: SourceFile) => readonly string[]): string[] {
  return files.flatMap((file) => find(file).map((complaint) => `${file.path}: ${complaint}`))
}

function descendants(node: ts.Node): ts.Node[] {
  const found: ts.Node[] = []
  const visit = (at: ts.Node): void => {
    found.push(at)
    ts.forEachChild(at, visit)
  }
  visit(node)
  return found
}

function* importsOf(file: ts.SourceFile): Iterable<Import> {
  for (const node of descendants(file)) {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      yield { from: node.moduleSpecifier.text, typeOnly: node.importClause?.isTypeOnly ?? false }
    } else if (
      ts.isExportDeclaration(node) &&
      node.moduleSpecifier !== undefined &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      yield { from: node.moduleSpecifier.text, typeOnly: node.isTypeOnly }
    } else if (
      ts.isImportTypeNode(node) &&
      ts.isLiteralTypeNode(node.argument) &&
      ts.isStringLiteral(node.argument.literal)
    ) {
      yield { from: node.argument.literal.text, typeOnly: true }
    } else if (ts.isCallExpression(node) && isImportOrRequire(node.expression)) {
      const [specifier] = node.arguments
      // A dynamic import runs later: it cannot close a cycle.
      if (specifier !== undefined && ts.isStringLiteral(specifier))
        yield { from: specifier.text, typeOnly: true }
    }
  }
}

function isImportOrRequire(callee: ts.Expression): boolean {
  return callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === 'require')
}

/**
 * Variables, and containers that start empty and so are there to be filled, unless their name says that they are
 * constants. A WeakMap only remembers, and may.
 */
function mutableState(statement: ts.VariableStatement): string[] {
  if (statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword) === true) return []
  if ((statement.declarationList.flags & ts.NodeFlags.Const) === 0) return [statement.getText()]
  return statement.declarationList.declarations
    .filter(
      ({ name, initializer }) =>
        !/^[A-Z_]+$/.test(name.getText()) && initializer !== undefined && isEmptyContainer(initializer),
    )
    .map((declaration) => declaration.getText())
}

function isEmptyContainer(node: ts.Expression): boolean {
  if (ts.isArrayLiteralExpression(node)) return node.elements.length === 0
  if (ts.isObjectLiteralExpression(node)) return node.properties.length === 0
  return (
    ts.isNewExpression(node) &&
    /^(Map|Set|Array)$/.test(node.expression.getText()) &&
    (node.arguments?.length ?? 0) === 0
  )
}

/** The files of one import cycle in order; empty if there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const finished = new Set<string>()
  const visit = (path: string, trail: readonly string[]): readonly string[] => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (finished.has(path)) return []
    for (const next of graph.get(path) ?? []) {
      const cycle = visit(next, [...trail, path])
      if (cycle.length > 0) return cycle
    }
    finished.add(path)
    return []
  }
  for (const path of graph.keys()) {
    const cycle = visit(path, [])
    if (cycle.length > 0) return cycle
  }
  return []
}
