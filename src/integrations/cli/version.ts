/** The version of the package that a script belongs to. */
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandError } from './terminal.js'

/** @param script The command, which may be a link in `node_modules/.bin`. */
export function versionOf(script: string): string {
  let folder = dirname(realpathSync(script))
  for (;;) {
    const version = versionIn(folder)
    if (version !== undefined) return version
    if (dirname(folder) === folder) throw new CommandError('There is no package.json of lifeguard')
    folder = dirname(folder)
  }
}

function versionIn(folder: string): string | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<
      string,
      unknown
    >
    return name === 'lifeguard' ? String(version) : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
