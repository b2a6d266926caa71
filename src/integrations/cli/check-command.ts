/** `lifeguard check` */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Metadata } from '../../index.js'
import { checkEntities, type CheckReport } from '../introspect.js'
import { parsed } from './arguments.js'
import { withEngine } from './connect.js'
import { colours, CommandError, printable, Progress, type Surroundings } from './terminal.js'

export const CHECK_HELP = `Usage: lifeguard check <module>... [options]

Says whether entities and a database agree. The modules are those that export the entities or their base. Changes nothing.

  --url <url>      address; default: DATABASE_URL, or the PG* variables
  --extra-tables   tables and views without an entity are differences, too
  --sql            print the SQL that would bring the database to the entities; it is never run
  --json           print everything as JSON

TypeScript modules need Node 22.18 or newer, or a loader: node --import tsx node_modules/.bin/lifeguard check ...

Exit codes: 0 they agree, 1 they differ, 2 it could not be done.
`

const OPTIONS = {
  url: { type: 'string' },
  'extra-tables': { type: 'boolean' },
  sql: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

const ENTITY = Symbol.for('lifeguard.entity')

export async function checkCommand(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { out, err, cwd } = surroundings
  const { values, positionals } = parsed('check', Object.keys(OPTIONS), () =>
    parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true }),
  )
  if (positionals.length === 0) throw new CommandError('Which entities? lifeguard check ./entities.js')
  const bases = new Set<Metadata>()
  for (const path of positionals) {
    const found = basesIn(await load(resolve(cwd, path), path))
    if (found.length === 0) throw new CommandError(`${path} exports neither an entity nor a base`)
    for (const metadata of found) bases.add(metadata)
  }
  const progress = new Progress(err)
  progress.say('Comparing ...')
  const reports = await withEngine(values.url, surroundings, async (engine) => {
    const all: CheckReport[] = []
    for (const metadata of bases)
      all.push(await checkEntities(engine, { metadata }, { extraTables: values['extra-tables'] }))
    return all
  }).finally(() => progress.end())
  const report = joined(reports)
  if (values.json === true) out.write(`${JSON.stringify(report, null, 2)}\n`)
  else if (values.sql === true) out.write(report.sql)
  else out.write(textOf(report, surroundings))
  return report.agrees ? 0 : 1
}

async function load(path: string, shown: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
      throw new CommandError(
        `Node ${process.versions.node} cannot load ${shown}: use Node 22.18 or newer, or node --import tsx node_modules/.bin/lifeguard check ${shown}`,
      )
    }
    throw new CommandError(`${shown} cannot be loaded: ${message}`)
  }
}

/** Of all that a module exports, also as `module.exports`. */
function basesIn(module: Record<string, unknown>): Metadata[] {
  const defaults = module['default']
  const all = [
    ...Object.values(module),
    ...(typeof defaults === 'object' && defaults !== null ? Object.values(defaults) : []),
  ]
  return all.flatMap((one) => {
    if (typeof one === 'function' && ENTITY in one)
      return [(one as { readonly [ENTITY]: { readonly metadata: Metadata } })[ENTITY].metadata]
    const metadata = typeof one === 'object' && one !== null && 'metadata' in one ? one.metadata : undefined
    return typeof metadata === 'object' && metadata !== null && 'foreignKeys' in metadata
      ? [metadata as Metadata]
      : []
  })
}

function joined(reports: readonly CheckReport[]): CheckReport {
  return {
    agrees: reports.every(({ agrees }) => agrees),
    differences: reports.flatMap(({ differences }) => differences),
    tables: reports.reduce((sum, { tables }) => sum + tables, 0),
    sql: reports.map(({ sql }) => sql).join(''),
  }
}

function textOf({ differences, tables }: CheckReport, { out, env }: Surroundings): string {
  const paint = colours(out, env)
  if (differences.length === 0)
    return `${paint('green', 'ok')}: ${tables} tables and views agree with the database\n`
  const lines: string[] = []
  let where = ''
  for (const one of differences) {
    if (one.where !== where) lines.push(paint('bold', printable(one.where)))
    where = one.where
    const sign = { missing: '-', different: '~', extra: '+' }[one.kind]
    const harm =
      one.breaks === 'nothing'
        ? ''
        : paint(one.breaks === 'reading' ? 'red' : 'yellow', ` [breaks ${one.breaks}]`)
    lines.push(`  ${sign} ${printable(one.message)}${harm}`)
  }
  lines.push(
    '',
    `${differences.length} differences: - missing in the database, ~ different, + only in the database. --sql prints statements.`,
  )
  return `${lines.join('\n')}\n`
}
