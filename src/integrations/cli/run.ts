/** Runs the command that the arguments name, and turns its errors into messages and exit codes. */
import { LifeguardError } from '../../index.js'
import { SchemaNotFound } from '../introspect.js'
import { checkCommand, CHECK_HELP } from './check-command.js'
import { introspectCommand, INTROSPECT_HELP } from './introspect-command.js'
import { colours, CommandError, printable, type Surroundings } from './terminal.js'
import { versionOf } from './version.js'

const HELP = `Usage: lifeguard <command> [options]

Commands:
  introspect   writes entities for the tables of a database
  check        says whether entities and a database still agree

\`lifeguard <command> --help\` lists the options of a command, \`lifeguard --version\` prints the version.
`

/** @returns The exit code: 0 done; 1 what was asked about differs; 2 it could not be done. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { out, err, env, script } = surroundings
  const [command, ...rest] = args
  try {
    if (command === undefined || command === '--help' || command === '-h' || command === 'help') {
      out.write(HELP)
      return command === undefined ? 2 : 0
    }
    if (command === '--version' || command === '-v') {
      out.write(`${versionOf(script)}\n`)
      return 0
    }
    const isHelp = rest.includes('--help') || rest.includes('-h')
    switch (command) {
      case 'introspect':
        if (!isHelp) return await introspectCommand(rest, surroundings)
        out.write(INTROSPECT_HELP)
        return 0
      case 'check':
        if (!isHelp) return await checkCommand(rest, surroundings)
        out.write(CHECK_HELP)
        return 0
    }
    throw new CommandError(`There is no command ${JSON.stringify(command)}: introspect, check`)
  } catch (error) {
    const paint = colours(err, env)
    // A program that reads JSON gets the failure as JSON.
    if (command === 'check' && rest.includes('--json'))
      out.write(`${JSON.stringify({ error: described(error) }, null, 2)}\n`)
    err.write(`${paint('red', 'error')}: ${printable(messageOf(error))}\n`)
    return 2
  }
}

function described(error: unknown): { readonly code: string | null; readonly message: string } {
  return {
    code: error instanceof LifeguardError ? error.code : null,
    message: messageOf(error).split('\n')[0] ?? '',
  }
}

/** What went wrong, in a line for what is known; with its stack for what is not. */
function messageOf(error: unknown): string {
  if (error instanceof CommandError || error instanceof SchemaNotFound) return error.message
  if (error instanceof LifeguardError) return `${error.message} (${error.code})`
  const { code } = error as { readonly code?: unknown }
  // What parseArgs says is for people, too.
  if (typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS')) return (error as Error).message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
