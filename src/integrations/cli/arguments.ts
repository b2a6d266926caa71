/** Names the options that there are, where the arguments of a command have one that does not exist. */
import { CommandError } from './terminal.js'

const UNKNOWN = /^Unknown option '(-[^']*)'/

/**
 * @param parse Calls `parseArgs`.
 * @param names Names of the options, without `--`.
 * @throws CommandError
 */
export function parsed<Values>(command: string, names: readonly string[], parse: () => Values): Values {
  try {
    return parse()
  } catch (error) {
    const [, given] = UNKNOWN.exec((error as Error).message) ?? []
    if (given === undefined) throw error
    const known = [...names, 'help'].map((name) => `--${name}`).join(', ')
    throw new CommandError(`lifeguard ${command} has no option ${given}; it has ${known}`)
  }
}
