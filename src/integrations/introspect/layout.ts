/** Distributes entities to files: one file for all, one for each schema, or one for each table. */
import type { CatalogSequence } from './catalog-model.js'
import type { EntityPlan } from './entity-plan.js'
import type { EntityPrinter } from './entity-printer.js'
import { HEADER } from './marked-places.js'
import { lineComment, quote } from './source-text.js'
import { Imports } from './imports.js'
import type { TypePrinter } from './type-printer.js'
import { wordsOf } from './words.js'

/** One for everything, one for each schema beside one for what they share, or one for each table. */
export type Layout = 'file' | 'schema' | 'table'

/** A file that was made. */
export interface GeneratedFile {
  /** Below the folder of the output, with slashes; the name alone with the layout `file`. */
  readonly path: string
  readonly text: string
}

/** How files are called and refer to each other. */
export interface FileNames {
  readonly layout: Layout
  /** Of the only file. */
  readonly single: string
  /** What an import of a file ends with: `'.js'`, `'.ts'`, or nothing. */
  readonly importExtension: string
  /** Extensions that the base names. */
  readonly extensions: readonly string[]
  /** Sequences that the base names. */
  readonly sequences: readonly CatalogSequence[]
  /** What has to be there before ddl() creates the tables. */
  readonly needs: readonly string[]
}

/** @param custom What people have written, by place. */
export function layOut(
  plans: readonly EntityPlan[],
  types: TypePrinter,
  printer: EntityPrinter,
  names: FileNames,
  custom: ReadonlyMap<string, readonly string[]>,
): GeneratedFile[] {
  const fileOf = fileNamer(plans, names.layout)
  const files = new Map<string, { readonly imports: Imports; readonly classes: string[][] }>()
  for (const plan of plans) {
    const path = fileOf(plan)
    const file = files.get(path) ?? { imports: new Imports(), classes: [] }
    files.set(path, file)
    file.classes.push(printer.print(plan, file.imports, custom.get(plan.className) ?? []))
  }
  const place = (name: string): string[] => [
    `// #region custom ${name}`,
    ...(custom.get(name) ?? []),
    `// #endregion custom ${name}`,
  ]
  types.imports.add('lifeguard', 'declarativeBase')
  const shared = [...baseOf(names, types.imports), ...types.declared.flatMap(({ lines }) => ['', ...lines])]
  if (names.layout === 'file') {
    const all = new Imports()
    all.addAll(types.imports)
    for (const { imports } of files.values()) all.addAll(imports)
    const classes = [...files.values()].flatMap((file) => file.classes)
    return [
      {
        path: names.single,
        text: textOf([
          ...all.lines(() => null),
          ...place('file'),
          '',
          ...shared,
          ...classes.flatMap((lines) => ['', ...lines]),
        ]),
      },
    ]
  }
  const classFiles = new Map(plans.map((plan) => [`#${plan.className}`, fileOf(plan)]))
  const ending = names.importExtension
  const entities = [...files].map(([path, { imports, classes }]): GeneratedFile => {
    imports.add('', 'Base')
    const lines = imports.lines((from) => {
      const target = from === '' ? 'base' : (classFiles.get(from) ?? '')
      return target === path ? null : relative(path, target) + ending
    })
    const text = textOf([...lines, ...place(path), ...classes.flatMap((one) => ['', ...one])])
    return { path: `${path}.ts`, text }
  })
  const base = textOf([...types.imports.lines(() => null), ...place('base'), '', ...shared])
  const exported = ['base', ...files.keys()].map((path) => `export * from ${quote(`./${path}${ending}`)}`)
  return [{ path: 'base.ts', text: base }, ...entities, { path: 'index.ts', text: textOf(exported) }]
}

/** The declaration of the base. */
function baseOf({ extensions, sequences, needs }: FileNames, imports: Imports): string[] {
  const comment =
    needs.length === 0
      ? []
      : [
          '// These must exist before ddl() or createAll() creates the tables; they do not create them:',
          ...needs.map((need) => lineComment(`- ${need}`)),
        ]
  const named = `extensions: [${extensions.map(quote).join(', ')}]`
  if (sequences.length === 0)
    return [
      ...comment,
      `export const Base = declarativeBase(${extensions.length === 0 ? '' : `{ ${named} }`})`,
    ]
  imports.add('lifeguard', 'sql')
  return [
    ...comment,
    'export const Base = declarativeBase({',
    ...(extensions.length === 0 ? [] : [`  ${named},`]),
    '  sequences: {',
    ...sequences.map(
      ({ schema, name, definition }) => `    ${quote(`${schema}.${name}`)}: sql\`${definition}\`,`,
    ),
    '  },',
    '})',
  ]
}

function textOf(lines: readonly string[]): string {
  return `${[HEADER, ...lines].join('\n')}\n`
}

/** The path of the file of an entity, without its ending. */
function fileNamer(plans: readonly EntityPlan[], layout: Layout): (plan: EntityPlan) => string {
  if (layout === 'file') return () => ''
  const made = new Map<string, string>()
  const taken = new Set(['base', 'index'])
  const choose = (id: string, words: readonly string[], folder = ''): void => {
    if (made.has(id)) return
    const wanted = `${folder}${words.join('-') || 'unnamed'}`
    let path = wanted
    for (let count = 2; taken.has(path) || DEVICE.test(path); count++) path = `${wanted}-${count}`
    taken.add(path)
    made.set(id, path)
  }
  for (const { table } of plans) choose(table.schema, wordsOf(table.schema))
  if (layout === 'schema') return ({ table }) => made.get(table.schema) as string
  for (const { table, className } of plans)
    choose(`#${className}`, wordsOf(className), `${made.get(table.schema)}/`)
  return ({ className }) => made.get(`#${className}`) as string
}

/** Names that Windows takes for devices, whatever follows them. */
const DEVICE = /(?:^|\/)(?:con|prn|aux|nul|com\d|lpt\d)$/

/** How a file names another one. */
function relative(from: string, to: string): string {
  const [folder, up] = [from.slice(0, from.lastIndexOf('/') + 1), from.split('/').length - 1]
  if (folder !== '' && to.startsWith(folder)) return `./${to.slice(folder.length)}`
  return up === 0 ? `./${to}` : `${'../'.repeat(up)}${to}`
}
