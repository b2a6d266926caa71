/** `lifeguard introspect` */
import { basename, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { introspect, isGenerated, type IntrospectOptions, type Layout } from '../introspect.js'
import { parsed } from './arguments.js'
import { withEngine } from './connect.js'
import { filesBelow, isFolder, read, writeAll } from './files.js'
import { colours, CommandError, printable, Progress, type Surroundings } from './terminal.js'

export const INTROSPECT_HELP = `Usage: lifeguard introspect [options]

Writes entities for the tables, views and types of a database. Reads only.

Where to connect:
  --url <url>               address; default: DATABASE_URL, or the PG* variables

What to read:
  --schema <name>           only this schema (repeat for more); default: all
  --exclude-schema <name>   not this one
  --table <name>            only this table or view, also as schema.name (repeat for more)
  --exclude-table <name>    not this one

What to write:
  --out <path>              a file ending with .ts, or a folder; default: entities.ts
  --layout <layout>         in a folder: schema (one file for each schema) or table; default: schema
  --import-extension <ext>  what imports between files end with: .js, .ts or none; default: .js
  --config <file>           JSON with "names" and "keys", for what should be called or told apart otherwise
  --stdout                  print the files instead of writing them
  --verify                  write nothing; exit with 1 if a file would change
  --force                   replace files that were not generated, drop code in marked places of tables that are gone
  --strict                  exit with 1 if something of the database was left out
  --quiet                   do not list what was renamed, left out, or needs attention

Exit codes: 0 done, 1 --verify or --strict found something, 2 it could not be done.
`

const OPTIONS = {
  url: { type: 'string' },
  schema: { type: 'string', multiple: true },
  'exclude-schema': { type: 'string', multiple: true },
  table: { type: 'string', multiple: true },
  'exclude-table': { type: 'string', multiple: true },
  out: { type: 'string' },
  layout: { type: 'string' },
  'import-extension': { type: 'string' },
  config: { type: 'string' },
  stdout: { type: 'boolean' },
  verify: { type: 'boolean' },
  force: { type: 'boolean' },
  strict: { type: 'boolean' },
  quiet: { type: 'boolean' },
} as const

export async function introspectCommand(
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const { out, err, env, cwd } = surroundings
  const { values } = parsed('introspect', Object.keys(OPTIONS), () =>
    parseArgs({ args: [...args], options: OPTIONS }),
  )
  const target = targetOf(values.out ?? 'entities.ts', cwd)
  const isFile = target.endsWith('.ts')
  const layout = layoutOf(values.layout, isFile)
  const folder = isFile ? resolve(target, '..') : target
  const present = (isFile ? [target] : filesBelow(target)).flatMap((path) => {
    const text = read(path)
    return text === undefined ? [] : [{ path, text }]
  })
  const options: IntrospectOptions = {
    ...configOf(values.config, cwd),
    schemas: values.schema,
    excludeSchemas: values['exclude-schema'],
    tables: values.table,
    excludeTables: values['exclude-table'],
    layout,
    fileName: basename(target),
    importExtension: extensionOf(values['import-extension']),
    existing: present.filter(({ text }) => isGenerated(text)).map(({ text }) => text),
  }
  const progress = new Progress(err)
  progress.say('Reading the catalog ...')
  const { files, findings, tables, views, orphans } = await withEngine(values.url, surroundings, (engine) =>
    introspect(engine, options),
  ).finally(() => progress.end())
  const made = files.map(({ path, text }) => ({ path: join(folder, path), text }))
  if (values.stdout === true) {
    out.write(
      files.length === 1
        ? (files[0]?.text ?? '')
        : made.map(({ path, text }) => `// ${relative(cwd, path)}\n${text}`).join('\n'),
    )
    return 0
  }
  const paint = colours(err, env)
  if (values.quiet !== true) {
    for (const { kind, where, message } of findings)
      err.write(
        `${paint(kind === 'left out' ? 'yellow' : 'dim', kind.padEnd(8))} ${printable(`${where}: ${message}`)}\n`,
      )
  }
  if (tables + views === 0)
    err.write(
      `${paint('yellow', 'hint')} there is no table or view in what was read: is it the right database?\n`,
    )
  if (values.force !== true) {
    const foreign = made.find(({ path }) =>
      present.some((one) => one.path === path && !isGenerated(one.text)),
    )
    if (foreign !== undefined)
      throw new CommandError(
        `${relative(cwd, foreign.path)} was not written by this command; --force replaces it. Nothing was written`,
      )
    const [lost] = orphans
    if (lost !== undefined)
      throw new CommandError(
        `There is code in the marked place "${lost.place}", which has no class any more: move it elsewhere, or --force drops it. Nothing was written`,
      )
  }
  const changed = made.filter(({ path, text }) =>
    present.every((one) => one.path !== path || one.text !== text),
  )
  const gone = present.filter(({ path, text }) => isGenerated(text) && made.every((one) => one.path !== path))
  for (const { path } of gone)
    err.write(
      `${paint('yellow', 'left over')} ${relative(cwd, path)}: nothing is generated into it any more\n`,
    )
  const leftOut = findings.filter(({ kind }) => kind === 'left out').length
  const summary = `${tables} tables and ${views} views in ${made.length} ${made.length === 1 ? 'file' : 'files'}`
  if (values.verify === true) {
    out.write(
      changed.length === 0
        ? `${summary}: up to date\n`
        : changed.map(({ path }) => `would change: ${relative(cwd, path)}\n`).join(''),
    )
    return changed.length === 0 && !(values.strict === true && leftOut > 0) ? 0 : 1
  }
  writeAll(changed)
  out.write(`${summary}, ${changed.length} written\n`)
  return values.strict === true && leftOut > 0 ? 1 : 0
}

function targetOf(out: string, cwd: string): string {
  const target = resolve(cwd, out)
  const isOtherFile = !out.endsWith('.ts') && /\.(?:[cm]?[jt]sx?|json)$/.test(out) && !isFolder(target)
  if (out === '' || isOtherFile)
    throw new CommandError(`--out takes a file that ends with .ts, or a folder, not ${JSON.stringify(out)}`)
  return target
}

function layoutOf(layout: string | undefined, isFile: boolean): Layout {
  if (layout === undefined) return isFile ? 'file' : 'schema'
  if (layout === 'file' && isFile) return layout
  if ((layout === 'schema' || layout === 'table') && !isFile) return layout
  throw new CommandError(
    isFile
      ? '--layout schema and table need a folder: --out ./entities'
      : '--layout takes schema or table; for one file name it: --out entities.ts',
  )
}

function extensionOf(extension: string | undefined): '.js' | '.ts' | '' {
  switch (extension) {
    case undefined:
    case '.js':
      return '.js'
    case '.ts':
      return '.ts'
    case 'none':
    case '':
      return ''
    default:
      throw new CommandError('--import-extension takes .js, .ts or none')
  }
}

function configOf(path: string | undefined, cwd: string): Pick<IntrospectOptions, 'names' | 'keys'> {
  if (path === undefined) return {}
  const text = read(resolve(cwd, path))
  if (text === undefined) throw new CommandError(`There is no file ${path}`)
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch (error) {
    throw new CommandError(`${path} is no JSON: ${(error as Error).message}`)
  }
  const isMap = typeof config === 'object' && config !== null && !Array.isArray(config)
  const unknown = isMap
    ? Object.keys(config as object).find((name) => name !== 'names' && name !== 'keys')
    : ''
  if (unknown !== undefined)
    throw new CommandError(`${path} may hold an object with "names" and "keys", and nothing else`)
  return config as Pick<IntrospectOptions, 'names' | 'keys'>
}
