/** What the tests of introspection share: generated source is compiled, imported, and used on the database that it came from. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import {
  eq,
  select,
  update,
  type ColumnRef,
  type AnyEntity,
  type DeclarativeBase,
  type Engine,
  createSessionFactory,
} from '../../src/index.js'
import { introspect, type Introspection, type IntrospectOptions } from '../../src/integrations/introspect.js'
import type { EntityDeclaration } from '../../src/schema/entity-types.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const ENTITY = Symbol.for('lifeguard.entity')

/** Files of generated source, in a folder of their own below the repository, so that they find the package. */
export class GeneratedEntities {
  readonly folder: string
  readonly introspection: Introspection

  private constructor(folder: string, introspection: Introspection) {
    this.folder = folder
    this.introspection = introspection
  }

  static async from(
    engine: Engine,
    name: string,
    options: IntrospectOptions = {},
  ): Promise<GeneratedEntities> {
    const introspection = await introspect(engine, options)
    const folder = join(ROOT, '.cache', 'generated', name)
    rmSync(folder, { recursive: true, force: true })
    for (const { path, text } of introspection.files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    return new GeneratedEntities(folder, introspection)
  }

  get text(): string {
    return this.introspection.files.map(({ text }) => text).join('\n')
  }

  /** What the compiler says under the strictest settings. */
  problems(): string[] {
    return compile(this.introspection.files.map(({ path }) => join(this.folder, path)))
  }

  /** The module, as a program would import it. */
  async load(file = this.introspection.files.at(-1)?.path ?? ''): Promise<LoadedEntities> {
    const url = pathToFileURL(join(this.folder, file)).href
    const module = (await import(/* @vite-ignore */ `${url}?${Date.now()}`)) as Record<string, unknown>
    const entities = Object.values(module).filter(
      (one): one is AnyEntity => typeof one === 'function' && ENTITY in one,
    )
    return { Base: module['Base'] as DeclarativeBase, entities, module }
  }
}

export interface LoadedEntities {
  readonly Base: DeclarativeBase
  readonly entities: readonly AnyEntity[]
  readonly module: Readonly<Record<string, unknown>>
}

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.esnext.disposable.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  baseUrl: ROOT,
  paths: { lifeguard: ['./src/index.ts'], 'lifeguard/*': ['./src/integrations/*.ts'] },
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  noPropertyAccessFromIndexSignature: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  declaration: true,
  skipLibCheck: true,
  noEmit: true,
}

/** Files that do not change: the libraries and the package are parsed once for all calls. */
const parsed = new Map<string, ts.SourceFile | undefined>()

/** The problems of files, as `file:line: message`. What they import is read, and not checked itself. */
export function compile(files: readonly string[]): string[] {
  const host = ts.createCompilerHost(OPTIONS)
  const parse = host.getSourceFile.bind(host)
  host.getSourceFile = (name, ...how) => {
    if (files.includes(name)) return parse(name, ...how)
    if (!parsed.has(name)) parsed.set(name, parse(name, ...how))
    return parsed.get(name)
  }
  const program = ts.createProgram([...files], OPTIONS, host)
  const found = files.flatMap((file) => ts.getPreEmitDiagnostics(program, program.getSourceFile(file)))
  return ts
    .sortAndDeduplicateDiagnostics(found)
    .filter(({ file }) => file === undefined || files.includes(file.fileName))
    .map(({ file, start = 0, messageText }) => {
      const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1
      return `${relative(ROOT, file?.fileName ?? '')}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    })
}

/** Loads every row of every entity with its relations, and says in which tables that changed something, and how many rows there were. */
export async function loadAll(
  engine: Engine,
  { entities }: LoadedEntities,
): Promise<{ readonly rows: number; readonly changed: readonly string[] }> {
  const { withSession } = createSessionFactory({ bind: engine })
  let rows = 0
  const changed: string[] = []
  for (const entity of entities) {
    const { table } = entity[ENTITY as never] as EntityDeclaration
    const relations = Object.keys((entity as { relations?: object }).relations ?? {})
    await withSession(async (session) => {
      const query = select(entity).load(...(relations as never[]))
      const found: readonly object[] = await session.scalars(query)
      rows += found.length
      if (session.dirty.length > 0) changed.push(table.key)
    })
  }
  return { rows, changed }
}

/** Writes every row of every table with a key back as it was read: all columns that can be written, in one UPDATE for each row. */
export async function writeBack(engine: Engine, { entities }: LoadedEntities): Promise<number> {
  const { withSession } = createSessionFactory({ bind: engine })
  let rows = 0
  for (const entity of entities) {
    const { table } = entity[ENTITY as never] as EntityDeclaration
    if (table.isView || table.isKeyless) continue
    const { c } = entity as unknown as { readonly c: Readonly<Record<string, ColumnRef<unknown>>> }
    const written = table.columns.filter(
      // Dates have no microseconds, which keys may have.
      ({ definition, namesRows }) =>
        definition.generated === undefined && definition.identity === undefined && !namesRows,
    )
    await withSession(async (session) => {
      const found = (await session.scalars(select(entity))) as readonly Readonly<Record<string, unknown>>[]
      for (const one of found) {
        const values = Object.fromEntries(written.map(({ property }) => [property, one[property]]))
        const key = table.primaryKey.map(({ property }) =>
          eq(c[property] as ColumnRef<unknown>, one[property]),
        )
        if (written.length > 0)
          await session.execute(
            update(entity)
              .set(values as never)
              .where(...key),
          )
        rows += 1
      }
    })
  }
  return rows
}

/** Creates the entities on an empty database, introspects that, and gives both texts, which ought to be the same. */
export async function roundTrip(
  engine: Engine,
  { Base }: LoadedEntities,
  options: IntrospectOptions = {},
): Promise<string> {
  await engine.begin((connection) => connection.executeScript(Base.metadata.ddl()))
  const { files } = await introspect(engine, options)
  return files.map(({ text }) => text).join('\n')
}
